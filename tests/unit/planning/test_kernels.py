"""Cuts that vLLM would not load, each as its own rule."""

from dataclasses import replace

import pytest

from heterofleet.api.engine import Dtype
from heterofleet.planning import catalogue, kernels
from heterofleet.planning.catalogue import Facts
from heterofleet.planning.topology import Layout

CATALOGUE = catalogue.load()
A100 = CATALOGUE.gpus["NVIDIA-A100-SXM4-80GB"]
H100 = CATALOGUE.gpus["NVIDIA-H100-80GB-HBM3"]
V100 = CATALOGUE.gpus["Tesla-V100-SXM2-32GB"]
QWEN_235B_FP8 = CATALOGUE.models["qwen/qwen3-235b-a22b-fp8"]
QWEN_235B = CATALOGUE.models["qwen/qwen3-235b-a22b"]
QWEN_4B = CATALOGUE.models["qwen/qwen3-4b"]
QWEN_4B_FP8 = CATALOGUE.models["qwen/qwen3-4b-fp8"]
DISTIL_7B = CATALOGUE.models["deepseek-ai/deepseek-r1-distill-qwen-7b"]
DEEPSEEK_R1 = CATALOGUE.models["deepseek-ai/deepseek-r1"]


def cut(tensor: int, pipeline: int = 1, data: int = 1, *, experts: bool = False) -> Layout:
    return Layout(tensor, pipeline, data, experts, gpus_per_pod=1)


def test_a_block_of_fp8_scales_is_not_cut_on_gpus_without_fp8_units() -> None:
    assert kernels.problem(QWEN_235B_FP8, cut(8), A100) == (
        "moe_intermediate_size 1536 of Qwen3-235B-A22B-FP8 / tensor 8 = 192 is no multiple of its FP8 block of 128, "
        "as NVIDIA-A100-SXM4-80GB without FP8 units needs"
    )


@pytest.mark.parametrize("layout", [cut(1), cut(2), cut(4), cut(8, experts=True), cut(4, 1, 4, experts=True)])
def test_whole_blocks_and_whole_experts_load_on_gpus_without_fp8_units(layout: Layout) -> None:
    assert kernels.problem(QWEN_235B_FP8, layout, A100) is None


def test_data_parallel_ranks_cut_experts_too_unless_they_are_spread() -> None:
    assert kernels.problem(QWEN_235B_FP8, cut(4, 1, 2), A100) == (
        "moe_intermediate_size 1536 of Qwen3-235B-A22B-FP8 / (tensor 4 x data 2) 8 = 192 is no multiple of its "
        "FP8 block of 128, as NVIDIA-A100-SXM4-80GB without FP8 units needs"
    )


def test_gpus_with_fp8_units_divide_a_block_down_to_32() -> None:
    assert kernels.problem(QWEN_235B_FP8, cut(8), H100) is None
    narrow = replace(QWEN_235B_FP8, moe_intermediate_size=8 * 80)
    assert kernels.problem(narrow, cut(8), H100) == (
        "moe_intermediate_size 640 of Qwen3-235B-A22B-FP8 / tensor 8 = 80 is no multiple of its FP8 block of 128, "
        "as NVIDIA-H100-80GB-HBM3's kernels need"
    )


def test_a_gpu_that_is_not_known_is_not_accused() -> None:
    assert kernels.problem(QWEN_235B_FP8, cut(8), None) is None


def test_16_bit_weights_have_no_blocks() -> None:
    assert kernels.problem(QWEN_235B, cut(8), A100) is None


def test_a_dense_layer_holds_whole_blocks_on_any_gpu() -> None:
    assert kernels.problem(QWEN_4B_FP8, cut(8), H100) == (
        "intermediate_size 9728 of Qwen3-4B-FP8 / tensor 8 = 1216 is no multiple of its FP8 block of 128"
    )
    assert kernels.problem(QWEN_4B_FP8, cut(4), H100) is None


def test_shared_experts_are_cut_by_tensor_even_where_the_others_are_spread() -> None:
    wide = replace(DEEPSEEK_R1, intermediate_size=128 * 128)
    assert kernels.problem(wide, cut(32, experts=True), H100) == (
        "shared expert size 2048 of DeepSeek-R1 / tensor 32 = 64 is no multiple of its FP8 block of 128"
    )
    assert kernels.problem(DEEPSEEK_R1, cut(16, experts=True), H100) is None


@pytest.mark.parametrize(
    ("facts", "layout", "clause"),
    [
        (
            DISTIL_7B,
            cut(8),
            "the 28 attention heads of DeepSeek-R1-Distill-Qwen-7B cannot be divided by tensor 8",
        ),
        (
            replace(DISTIL_7B, attention_heads=36),
            cut(6),
            "the 4 KV heads of DeepSeek-R1-Distill-Qwen-7B neither divide tensor 6 nor are divided by it",
        ),
        (DISTIL_7B, cut(1, 29), "DeepSeek-R1-Distill-Qwen-7B has 28 layers, too few for pipeline 29"),
        (
            QWEN_235B,
            cut(4, 1, 64, experts=True),
            "the 128 experts of Qwen3-235B-A22B cannot be spread over 256 GPUs (tensor x data)",
        ),
        (
            QWEN_235B,
            cut(1, 1, 5),
            "moe_intermediate_size 1536 of Qwen3-235B-A22B cannot be divided by (tensor 1 x data 5) = 5",
        ),
    ],
)
def test_a_size_that_does_not_divide_is_named(facts: Facts, layout: Layout, clause: str) -> None:
    assert kernels.problem(facts, layout, A100) == clause


def test_a_dense_model_has_no_experts_to_spread() -> None:
    assert kernels.problem(QWEN_4B, cut(2, experts=True), A100) == (
        "Qwen3-4B is dense and has no experts to spread, so expertParallel must be off"
    )


def test_a_dense_model_is_repeated_by_instances_and_not_by_data() -> None:
    assert kernels.problem(QWEN_4B, cut(1, 1, 4), A100) == (
        "Qwen3-4B is dense, so data 4 would only repeat it inside one instance: use data 1 and 4 instances"
    )


def test_a_model_that_is_not_known_to_be_dense_may_have_both() -> None:
    assert kernels.problem(Facts(name="mine"), cut(2, 1, 2, experts=True), A100) is None


def test_bfloat16_needs_units_for_it() -> None:
    assert kernels.problem(QWEN_4B, cut(1), V100, Dtype.BFLOAT16) == (
        "Tesla-V100-SXM2-32GB (compute capability 7.0) has no bfloat16: use dtype float16"
    )
    assert kernels.problem(QWEN_4B, cut(1), V100, Dtype.FLOAT16) is None
    assert kernels.problem(QWEN_4B, cut(1), A100, Dtype.BFLOAT16) is None
