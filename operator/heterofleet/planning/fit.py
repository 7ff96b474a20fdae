"""Answers "does the model fit" before anything is scheduled, with the arithmetic in the sentence.

Stands between `topology`, which packs an instance into pods, and the reconcile that writes `Accepted`: a tier's
model, layout, GPU and engine settings become a `Fit`. Per GPU of the fullest pipeline stage

    weights + working memory + KV cache of one sequence of maxModelLen  <=  gpuMemoryUtilization x memory

(`memory` has the terms), and vLLM must have kernels for the cut (`kernels`). Only what is known not to fit is
refused: an unknown model, GPU or size is UNKNOWN, and so is a refusal that an argument of the user's could undo.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

from heterofleet.api.engine import Dtype, Engine
from heterofleet.api.tier import TierSpec
from heterofleet.planning import kernels, memory, topology
from heterofleet.planning.catalogue import Catalogue, Facts, Gpu
from heterofleet.planning.memory import GIB, Sizing
from heterofleet.planning.topology import Layout, Sizes

_OVERRIDES: Final = frozenset(
    {"--quantization", "-q", "--cpu-offload-gb", "--hf-overrides", "--hf-config-path", "--kv-cache-memory-bytes"}
)
"""Arguments of vLLM that change what a model weighs or how long its context is."""

_LONG_CONTEXT: Final = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"
_LARGEST_SEARCHED_PIPELINE: Final = 16


class Status(StrEnum):
    FITS = "Fits"
    DOES_NOT_FIT = "DoesNotFit"
    UNKNOWN = "Unknown"


class Question(NamedTuple):
    """All that the answer depends on."""

    facts: Facts | None
    layout: Layout
    gpu: Gpu | None
    gpus_per_node: int = 8
    sizing: Sizing = Sizing()
    dtype: Dtype = Dtype.AUTO
    single_pod: bool = False
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fit:
    """The answer, and the numbers behind it where they are known (bytes on each GPU of the fullest stage)."""

    status: Status
    message: str
    weight_bytes: int = 0
    working_bytes: int = 0
    kv_bytes_per_token: int = 0
    budget_bytes: int = 0
    kv_tokens: int = 0
    """Tokens that the KV caches of one instance hold together."""

    @property
    def free_bytes(self) -> int:
        """What is left for the KV cache; negative if weights and working memory are too much already."""
        return self.budget_bytes - self.weight_bytes - self.working_bytes


def of_tier(tier: TierSpec, layout: Layout, catalogue: Catalogue, *, single_pod: bool = False) -> Fit:
    """Answer for a tier as its user wrote it; `single_pod` keeps the advice to what the small tier may have."""
    return judge(question(tier, layout, catalogue, single_pod=single_pod))


def question(tier: TierSpec, layout: Layout, catalogue: Catalogue, *, single_pod: bool = False) -> Question:
    """Gather what the answer depends on."""
    return Question(
        facts=catalogue.facts(tier.model),
        layout=layout,
        gpu=catalogue.gpu(tier.placement.gpu_product),
        gpus_per_node=tier.placement.gpus_per_node,
        sizing=sizing(tier.engine),
        dtype=tier.engine.dtype,
        single_pod=single_pod,
        overrides=_overrides(tier.engine),
    )


def sizing(engine: Engine) -> Sizing:
    """Read the settings that decide over memory."""
    element_bytes = 4 if engine.dtype is Dtype.FLOAT32 else 2
    kv_dtype = _argument(engine.extra_args, "--kv-cache-dtype") or "auto"
    return Sizing(
        memory_utilization=engine.gpu_memory_utilization,
        max_model_len=engine.max_model_len,
        max_num_seqs=engine.max_num_seqs,
        max_num_batched_tokens=engine.max_num_batched_tokens,
        element_bytes=element_bytes,
        kv_element_bytes=1 if kv_dtype.startswith("fp8") else element_bytes,
    )


def judge(asked: Question) -> Fit:
    """Answer with one sentence; where it does not fit the sentence says what to write instead."""
    answer = _verdict(asked)
    if answer.status is not Status.DOES_NOT_FIT:
        return replace(answer, message=f"{answer.message}.")
    if asked.overrides and asked.facts is not None and not kernels.mixture_problem(asked.facts, asked.layout):
        flags = ", ".join(asked.overrides)
        sentence = f"Not checked, since {flags} may change it: without that, {answer.message}."
        return replace(answer, status=Status.UNKNOWN, message=sentence)
    return replace(answer, message=f"{answer.message}{_advice(asked, answer)}.")


def smallest_layout(asked: Question) -> Layout | None:
    """The layout of the fewest GPUs that fits and takes an even share of a node or whole nodes; None if none does.

    Tensor groups stay in one pod. Of equally many GPUs the shorter pipeline is taken, then the expert parallelism
    that was asked for.
    """
    return next(
        (layout for layout in _candidates(asked) if _verdict(asked._replace(layout=layout)).status is Status.FITS),
        None,
    )


def _verdict(asked: Question) -> Fit:
    """The answer without advice and without a full stop."""
    facts, layout = asked.facts, asked.layout
    if facts is None:
        return Fit(Status.UNKNOWN, "The model is not in the catalogue: state model.facts to have its fit checked")
    problem = kernels.problem(facts, layout, asked.gpu, asked.dtype) or _context_problem(facts, asked.sizing)
    if problem is not None:
        return Fit(Status.DOES_NOT_FIT, f"{problem[0].upper()}{problem[1:]}" if problem[:4] == "the " else problem)
    if asked.gpu is None:
        return Fit(Status.UNKNOWN, "Set placement.gpuProduct to a GPU of the catalogue to have the memory checked")
    return _memory_verdict(facts, layout, asked.gpu, asked.sizing)


def _context_problem(facts: Facts, sized: Sizing) -> str | None:
    if facts.context_length and sized.max_model_len and sized.max_model_len > facts.context_length:
        return (
            f"maxModelLen {sized.max_model_len} is above the context of {facts.name}: "
            f"use at most {facts.context_length}"
        )
    return None


def _mends_itself(asked: Question, facts: Facts) -> bool:
    """Whether the sentence already says what to write, and no layout would help."""
    return bool(
        kernels.mixture_problem(facts, asked.layout)
        or kernels.dtype_problem(asked.gpu, asked.dtype)
        or _context_problem(facts, asked.sizing)
    )


def _memory_verdict(facts: Facts, layout: Layout, gpu: Gpu, sized: Sizing) -> Fit:
    stages = memory.stages(facts, layout, sized)
    if stages is None:
        return Fit(Status.UNKNOWN, f"State parameters or weightBytes of {facts.name} in model.facts to have it checked")
    working = memory.working_bytes(facts, layout, sized, gpu)
    budget = int(sized.memory_utilization * gpu.memory_bytes)
    length = sized.max_model_len or facts.context_length
    # The stage with the fewest tokens bounds all: vLLM gives every rank as many blocks as the poorest can hold.
    fullest = min(stages, key=lambda stage: (budget - working - stage.weight_bytes) / (stage.kv_bytes_per_token or 1))
    per_token = fullest.kv_bytes_per_token or 0
    free = budget - working - int(fullest.weight_bytes)
    tokens = max(0, free // per_token) if per_token else 0
    numbers = Fit(
        status=Status.FITS,
        message="",
        weight_bytes=int(fullest.weight_bytes),
        working_bytes=working,
        kv_bytes_per_token=per_token,
        budget_bytes=budget,
        kv_tokens=tokens * layout.data,
    )
    if free <= 0 or (per_token and length and tokens < length):
        return replace(
            numbers,
            status=Status.DOES_NOT_FIT,
            message=_too_much_text(facts, layout, gpu, sized, numbers, length=length),
        )
    if not per_token or not length:
        missing = "maxModelLen or contextLength" if per_token else "layers, kvHeads and headDim"
        message = f"The weights of {facts.name} fit, but its KV cache is not known: state {missing}"
        return replace(numbers, status=Status.UNKNOWN, message=message)
    return replace(numbers, message=_fits_text(facts, layout, gpu, sized, numbers, length=length))


def _fits_text(facts: Facts, layout: Layout, gpu: Gpu, sized: Sizing, fit: Fit, *, length: int) -> str:
    return (
        f"{facts.name} fits {layout}: each {gpu.product} holds {_gib(fit.weight_bytes)} of weights and "
        f"{_gib(fit.working_bytes)} of working memory, which leaves {_gib(fit.free_bytes)} of the "
        f"{_gib(fit.budget_bytes)} that gpuMemoryUtilization {sized.memory_utilization:g} allows for "
        f"{fit.kv_tokens} tokens of KV cache, {fit.kv_tokens / length:.1f} sequences of {length} tokens"
    )


def _too_much_text(facts: Facts, layout: Layout, gpu: Gpu, sized: Sizing, fit: Fit, *, length: int | None) -> str:
    terms = f"{_gib(fit.weight_bytes)} of weights + {_gib(fit.working_bytes)} of working memory"
    needed = fit.weight_bytes + fit.working_bytes
    if length and fit.kv_bytes_per_token:
        cache = length * fit.kv_bytes_per_token
        terms += f" + {_gib(cache)} of KV cache for one sequence of {length} tokens"
        needed += cache
    return (
        f"{facts.name} does not fit {layout}: each GPU would hold {terms} = {_gib(needed)}, more than the "
        f"{_gib(fit.budget_bytes)} that gpuMemoryUtilization {sized.memory_utilization:g} allows of "
        f"{gpu.product} ({_gib(gpu.memory_bytes)})"
    )


def _advice(asked: Question, answer: Fit) -> str:
    """Say what to write instead: the other switch of expertParallel, a shorter context, the smallest layout."""
    if asked.facts is None or _mends_itself(asked, asked.facts):
        return ""
    options = []
    switched = replace(asked.layout, expert_parallel=not asked.layout.expert_parallel)
    if asked.facts.is_mixture and _verdict(asked._replace(layout=switched)).status is Status.FITS:
        options.append(str(switched))
    if answer.kv_tokens // asked.layout.data >= 1024:
        options.append(f"maxModelLen {answer.kv_tokens // asked.layout.data // 1024 * 1024}")
    smallest = smallest_layout(asked)
    if smallest is not None and smallest not in (asked.layout, switched):
        options.append(f"{smallest}, the smallest that fits")
    if not options:
        return "" if smallest else "; no layout of this GPU with tensor inside a pod fits"
    return f"; use {', or '.join(options)}"


def _candidates(asked: Question) -> Iterator[Layout]:
    tensors = [2**exponent for exponent in range(asked.gpus_per_node.bit_length())]
    pipelines = range(1, 2 if asked.single_pod else _LARGEST_SEARCHED_PIPELINE + 1)
    wanted = asked.layout.expert_parallel
    switches = (wanted, not wanted) if asked.facts is not None and asked.facts.is_mixture else (False,)
    sizes = sorted((t * p, p, s, t) for t in tensors for p in pipelines for s in range(len(switches)))
    node = asked.gpus_per_node
    for world, pipeline, switch, tensor in sizes:
        if world % node and node % world:
            continue
        packed = topology.lay_out(Sizes(tensor, pipeline, 1, switches[switch]), node)
        if isinstance(packed, Layout) and not packed.spans_pods:
            yield packed


def _overrides(engine: Engine) -> tuple[str, ...]:
    flags = [flag for flag in sorted(_OVERRIDES) if _argument(engine.extra_args, flag) is not None]
    return (*flags, *(variable.name for variable in engine.env if variable.name == _LONG_CONTEXT))


def _argument(arguments: list[str], flag: str) -> str | None:
    """The value of `flag`, written as `--flag value` or `--flag=value`; None if it is not there."""
    for index, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name.replace("_", "-") == flag:
            return value or next(iter(arguments[index + 1 : index + 2]), "")
    return None


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"
