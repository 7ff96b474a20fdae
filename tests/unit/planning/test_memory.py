"""Bytes of one GPU: the worked numbers, and what holds for every model of the catalogue and every cut of it."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.planning import catalogue, memory
from heterofleet.planning.catalogue import Facts
from heterofleet.planning.memory import GIB, Sizing, Stage
from heterofleet.planning.topology import Layout

CATALOGUE = catalogue.load()
A100 = CATALOGUE.gpus["NVIDIA-A100-SXM4-80GB"]
QWEN_235B_FP8 = CATALOGUE.models["qwen/qwen3-235b-a22b-fp8"]
QWEN_4B = CATALOGUE.models["qwen/qwen3-4b"]
DEEPSEEK_R1 = CATALOGUE.models["deepseek-ai/deepseek-r1"]

MODELS = st.sampled_from([CATALOGUE.models[source] for source in sorted(CATALOGUE.models)])
POWERS = st.sampled_from([1, 2, 4, 8])


def cut(tensor: int, pipeline: int = 1, data: int = 1, *, experts: bool = False) -> Layout:
    return Layout(tensor, pipeline, data, experts, gpus_per_pod=1)


def held(facts: Facts, layout: Layout) -> float:
    """Bytes of weights on all GPUs of an instance together."""
    stages = memory.stages(facts, layout, Sizing())
    assert stages is not None
    return sum(stage.weight_bytes for stage in stages) * layout.tensor * layout.data


def fullest(facts: Facts, layout: Layout) -> float:
    stages = memory.stages(facts, layout, Sizing())
    assert stages is not None
    return max(stage.weight_bytes for stage in stages)


def test_one_gpu_holds_the_whole_model() -> None:
    stages = memory.stages(QWEN_4B, cut(1), Sizing())
    assert stages is not None
    assert stages == (Stage(stages[0].weight_bytes, 2 * 8 * 128 * 2 * 36),)
    assert stages[0].weight_bytes == pytest.approx(8_044_936_192)


def test_kv_heads_are_repeated_where_tensor_is_larger_than_their_number() -> None:
    # 2 (key and value) x 1 head x 128 x 2 bytes x 94 layers, at tensor 4 as at tensor 8.
    for tensor in (4, 8):
        stages = memory.stages(QWEN_235B_FP8, cut(tensor, experts=True), Sizing())
        assert stages is not None
        assert [stage.kv_bytes_per_token for stage in stages] == [48_128]


def test_every_gpu_keeps_the_latent_vector_of_latent_attention_whole() -> None:
    stages = memory.stages(DEEPSEEK_R1, cut(8, 2), Sizing())
    assert stages is not None
    assert [stage.kv_bytes_per_token for stage in stages] == [(512 + 64) * 2 * 31, (512 + 64) * 2 * 30]


def test_an_fp8_cache_takes_half_the_bytes() -> None:
    stages = memory.stages(QWEN_4B, cut(1), Sizing(kv_element_bytes=1))
    assert stages is not None
    assert stages[0].kv_bytes_per_token == 2 * 8 * 128 * 36


def test_the_worked_example_of_qwen3_235b_in_fp8_on_eight_gpus() -> None:
    assert fullest(QWEN_235B_FP8, cut(4)) / GIB == pytest.approx(55.1, abs=0.05)
    assert fullest(QWEN_235B_FP8, cut(8, experts=True)) / GIB == pytest.approx(27.7, abs=0.05)
    assert fullest(QWEN_235B_FP8, cut(8, 4, experts=True)) / GIB == pytest.approx(7.0, abs=0.05)


def test_experts_that_do_not_divide_leave_one_gpu_with_one_more() -> None:
    even, uneven = cut(1, 1, 64, experts=True), cut(1, 1, 96, experts=True)
    # 128 experts over 64 GPUs are 2 each; over 96 some GPU still holds 2.
    assert fullest(QWEN_235B_FP8, even) == pytest.approx(fullest(QWEN_235B_FP8, uneven))


def test_experts_are_cut_by_tensor_and_data_where_they_are_not_spread() -> None:
    assert fullest(QWEN_235B_FP8, cut(1, 1, 8)) == pytest.approx(fullest(QWEN_235B_FP8, cut(1, 1, 8, experts=True)))


@pytest.mark.parametrize(
    ("layers", "pipeline", "counts"),
    [
        (94, 1, [94]),
        (94, 4, [23, 24, 24, 23]),
        (61, 2, [31, 30]),
        (61, 4, [15, 15, 16, 15]),
        (7, 4, [2, 2, 2, 1]),
        (4, 4, [1, 1, 1, 1]),
    ],
)
def test_layers_that_are_left_over_go_to_the_stages_before_the_last(
    layers: int, pipeline: int, counts: list[int]
) -> None:
    assert memory.stage_layers(layers, pipeline) == counts


def test_the_least_a_gpu_can_hold_is_assumed_where_the_architecture_is_unknown() -> None:
    facts = Facts(name="mine", parameters=80_000_000_000, layers=80)
    assert memory.stages(facts, cut(4, 2), Sizing()) == (Stage(20e9, None),)


def test_nothing_is_known_of_a_model_without_a_size() -> None:
    assert memory.stages(Facts(name="mine", layers=80), cut(1), Sizing()) is None


def test_float32_doubles_16_bit_weights_and_leaves_quantised_ones() -> None:
    assert memory.total_weight_bytes(QWEN_4B, element_bytes=4) == 2 * 8_044_936_192
    assert memory.total_weight_bytes(QWEN_235B_FP8, element_bytes=4) == QWEN_235B_FP8.weight_bytes


def test_a_larger_batch_needs_more_working_memory() -> None:
    small, large = (
        memory.working_bytes(QWEN_235B_FP8, cut(8), Sizing(max_num_batched_tokens=tokens), A100)
        for tokens in (2048, 12_288)
    )
    assert GIB < small < large < 4 * GIB


@given(MODELS, POWERS, st.integers(1, 6), POWERS, st.booleans())
def test_no_weight_is_lost_and_little_is_repeated(
    facts: Facts, tensor: int, pipeline: int, data: int, experts: bool
) -> None:
    layout = cut(tensor, pipeline, data if facts.is_mixture else 1, experts=experts and facts.is_mixture)
    assert facts.weight_bytes is not None
    assert held(facts, layout) >= facts.weight_bytes * (1 - 1e-9)
    if layout.data == 1:
        # Repeated: low-rank projections, routers, KV heads beyond their number, tied embeddings of two stages.
        assert held(facts, layout) <= 1.25 * facts.weight_bytes


@given(MODELS, POWERS, st.integers(1, 6), st.booleans())
def test_more_gpus_never_hold_more_weights_each(facts: Facts, tensor: int, pipeline: int, experts: bool) -> None:
    spread = experts and facts.is_mixture
    here = fullest(facts, cut(tensor, pipeline, experts=spread))
    assert fullest(facts, cut(2 * tensor, pipeline, experts=spread)) <= here
    assert fullest(facts, cut(tensor, 2 * pipeline, experts=spread)) <= here


@given(st.integers(1, 200), st.integers(1, 64))
def test_stages_hold_every_layer_and_differ_by_at_most_one(layers: int, pipeline: int) -> None:
    counts = memory.stage_layers(layers, pipeline)
    assert (sum(counts), len(counts)) == (layers, pipeline)
    assert max(counts) - min(counts) <= 1
    assert counts[-1] == min(counts, default=inf)
