"""Which cuts of a model vLLM's layers and kernels accept, whatever memory there is.

Stands below `fit`, beside `memory`. Each rule is one that vLLM 0.32 enforces when it loads the model, some of
them only after minutes: a block-quantised mixture passes the check of its configuration and dies at load. The
rules, in the order in which they are asked:

    mixture or not   expert parallelism and data > 1 need experts
    dtype            bfloat16 needs compute capability 8.0
    heads            attention_heads % tensor == 0; kv_heads and tensor divide one another
    layers           pipeline <= layers
    experts          whole experts over at most as many GPUs as there are experts, else
                     moe_intermediate_size % (tensor x data) == 0
    FP8 blocks       each size that tensor cuts is a multiple of the block, see `_block_problem`
"""

from math import gcd
from typing import Final

from heterofleet.api.engine import Dtype
from heterofleet.planning.catalogue import Facts, Gpu
from heterofleet.planning.topology import Layout

_SMALLEST_REFINED_BLOCK: Final = 32
"""Edge below which vLLM's Triton kernels do not divide a block of FP8 scales."""


def problem(facts: Facts, layout: Layout, gpu: Gpu | None, dtype: Dtype = Dtype.AUTO) -> str | None:
    """Say why vLLM could not load this cut, as a clause; None where nothing known speaks against it."""
    return (
        mixture_problem(facts, layout)
        or dtype_problem(gpu, dtype)
        or _heads_problem(facts, layout)
        or _layers_problem(facts, layout)
        or _experts_problem(facts, layout)
        or _block_problem(facts, layout, gpu)
    )


def mixture_problem(facts: Facts, layout: Layout) -> str | None:
    """Refuse on a dense model what only a mixture of experts can use."""
    if not facts.is_dense:
        return None
    if layout.expert_parallel:
        return f"{facts.name} is dense and has no experts to spread, so expertParallel must be off"
    if layout.data > 1:
        return (
            f"{facts.name} is dense, so data {layout.data} would only repeat it inside one instance: "
            f"use data 1 and {layout.data} instances"
        )
    return None


def _heads_problem(facts: Facts, layout: Layout) -> str | None:
    heads, kv_heads, tensor = facts.attention_heads, facts.kv_heads, layout.tensor
    if heads and heads % tensor:
        return f"the {heads} attention heads of {facts.name} cannot be divided by tensor {tensor}"
    if kv_heads and facts.kv_lora_rank is None and kv_heads % tensor and tensor % kv_heads:
        return f"the {kv_heads} KV heads of {facts.name} neither divide tensor {tensor} nor are divided by it"
    return None


def _layers_problem(facts: Facts, layout: Layout) -> str | None:
    if facts.layers and layout.pipeline > facts.layers:
        return f"{facts.name} has {facts.layers} layers, too few for pipeline {layout.pipeline}"
    return None


def _experts_problem(facts: Facts, layout: Layout) -> str | None:
    if not facts.experts:
        return None
    if layout.expert_parallel_size > facts.experts:
        return (
            f"the {facts.experts} experts of {facts.name} cannot be spread over "
            f"{layout.expert_parallel_size} GPUs (tensor x data)"
        )
    width, cut = facts.moe_intermediate_size, layout.tensor * layout.data
    if width and not layout.expert_parallel and width % cut:
        return f"moe_intermediate_size {width} of {facts.name} cannot be divided by {_cut_text(layout)} = {cut}"
    return None


def _block_problem(facts: Facts, layout: Layout, gpu: Gpu | None) -> str | None:
    """Check that each cut size holds whole blocks of FP8 scales.

    Dense layers and shared experts are cut by tensor and must hold whole blocks on every GPU. Routed experts
    without expert parallelism are cut by tensor x data: GPUs without FP8 units load them through Marlin, which
    takes the checkpoint's block only; on the others Triton divides a block down to `_SMALLEST_REFINED_BLOCK`.
    """
    block = facts.quantization_block
    if block is None:
        return None
    shared = facts.shared_experts * (facts.moe_intermediate_size or 0)
    for name, size in (("intermediate_size", facts.intermediate_size), ("shared expert size", shared)):
        if size and layout.tensor > 1 and size % (layout.tensor * block):
            return (
                f"{name} {size} of {facts.name} / tensor {layout.tensor} = {size / layout.tensor:g} "
                f"is no multiple of its FP8 block of {block}"
            )
    if not facts.is_mixture or layout.expert_parallel or not facts.moe_intermediate_size:
        return None
    cut = layout.tensor * layout.data
    part = facts.moe_intermediate_size // cut
    refined = gcd(block, part, facts.hidden_size or block)
    if cut == 1 or part % block == 0 or gpu is None or (gpu.has_fp8 and refined >= _SMALLEST_REFINED_BLOCK):
        return None
    return (
        f"moe_intermediate_size {facts.moe_intermediate_size} of {facts.name} / {_cut_text(layout)} {cut} = {part} "
        f"is no multiple of its FP8 block of {block}, as {gpu.product}"
        + ("'s kernels need" if gpu.has_fp8 else " without FP8 units needs")
    )


def dtype_problem(gpu: Gpu | None, dtype: Dtype) -> str | None:
    """Refuse bfloat16 on GPUs without it."""
    if gpu is not None and dtype is Dtype.BFLOAT16 and not gpu.has_bfloat16:
        return f"{gpu.product} (compute capability {gpu.compute_capability}) has no bfloat16: use dtype float16"
    return None


def _cut_text(layout: Layout) -> str:
    return "tensor" if layout.data == 1 else f"(tensor {layout.tensor} x data {layout.data})"
