"""Does the model fit: the sentences people read, and what holds for every model, GPU and layout."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from heterofleet.api.tier import TierSpec
from heterofleet.planning import catalogue, fit, topology
from heterofleet.planning.catalogue import Facts, Gpu
from heterofleet.planning.fit import Fit, Question, Status
from heterofleet.planning.memory import Sizing
from heterofleet.planning.topology import Layout, Sizes

CATALOGUE = catalogue.load()
A100 = CATALOGUE.gpus["NVIDIA-A100-SXM4-80GB"]
MODELS = st.sampled_from([CATALOGUE.models[source] for source in sorted(CATALOGUE.models)])
GPUS = st.sampled_from([CATALOGUE.gpus[product] for product in sorted(CATALOGUE.gpus)])
SIZES = st.builds(
    Sizes,
    tensor=st.sampled_from([1, 2, 4, 8]),
    pipeline=st.integers(1, 4),
    data=st.sampled_from([1, 2]),
    expert_parallel=st.booleans(),
    gpus_per_pod=st.none(),
)


def model(name: str) -> Facts:
    facts = CATALOGUE.model(f"hf://{name}")
    assert facts is not None
    return facts


def lay(tensor: int, pipeline: int = 1, *, experts: bool = False) -> Layout:
    layout = topology.lay_out(Sizes(tensor, pipeline, 1, experts), gpus_per_node=8)
    assert isinstance(layout, Layout)
    return layout


def judge(name: str, layout: Layout, length: int | None = 32_768, gpu: Gpu | None = A100) -> Fit:
    return fit.judge(Question(model(name), layout, gpu, sizing=Sizing(max_model_len=length)))


def tier(**fields: Any) -> TierSpec:
    spec = {
        "model": {"source": "hf://Qwen/Qwen3-4B"},
        "placement": {"gpuProduct": "NVIDIA-A100-SXM4-80GB"},
    }
    return TierSpec.model_validate(spec | fields)


def of_tier(**fields: Any) -> Fit:
    spec = tier(**fields)
    layout = topology.lay_out(spec.parallelism, spec.placement.gpus_per_node)
    assert isinstance(layout, Layout)
    return fit.of_tier(spec, layout, CATALOGUE)


@pytest.mark.parametrize(
    ("name", "layout", "length", "status", "sentence"),
    [
        (
            "Qwen/Qwen3-235B-A22B-Instruct-2507-FP8",
            lay(8, 4, experts=True),
            32_768,
            Status.FITS,
            "Qwen3-235B-A22B-Instruct-2507-FP8 fits tensor 8 x pipeline 4 with expertParallel in 4 pods of 8 GPUs: "
            "each NVIDIA-A100-SXM4-80GB holds 7.0 GiB of weights and 1.9 GiB of working memory, which leaves "
            "62.5 GiB of the 71.3 GiB that gpuMemoryUtilization 0.9 allows for 5457803 tokens of KV cache, "
            "166.6 sequences of 32768 tokens.",
        ),
        (
            "Qwen/Qwen3-235B-A22B-Instruct-2507-FP8",
            lay(8),
            32_768,
            Status.DOES_NOT_FIT,
            "moe_intermediate_size 1536 of Qwen3-235B-A22B-Instruct-2507-FP8 / tensor 8 = 192 is no multiple of its "
            "FP8 block of 128, as NVIDIA-A100-SXM4-80GB without FP8 units needs; use tensor 8 x pipeline 1 with "
            "expertParallel in 1 pod of 8 GPUs, or tensor 4 x pipeline 1 in 1 pod of 4 GPUs, the smallest that fits.",
        ),
        (
            "Qwen/Qwen3-235B-A22B-Instruct-2507",
            lay(4),
            32_768,
            Status.DOES_NOT_FIT,
            "Qwen3-235B-A22B-Instruct-2507 does not fit tensor 4 x pipeline 1 in 1 pod of 4 GPUs: each GPU would hold "
            "109.5 GiB of weights + 1.8 GiB of working memory + 1.5 GiB of KV cache for one sequence of 32768 tokens "
            "= 112.9 GiB, more than the 71.3 GiB that gpuMemoryUtilization 0.9 allows of NVIDIA-A100-SXM4-80GB "
            "(79.2 GiB); use tensor 8 x pipeline 1 in 1 pod of 8 GPUs, the smallest that fits.",
        ),
        (
            "meta-llama/Llama-3.3-70B-Instruct",
            lay(2),
            None,
            Status.DOES_NOT_FIT,
            "Llama-3.3-70B-Instruct does not fit tensor 2 x pipeline 1 in 1 pod of 2 GPUs: each GPU would hold "
            "65.7 GiB of weights + 1.9 GiB of working memory + 20.0 GiB of KV cache for one sequence of 131072 tokens "
            "= 87.6 GiB, more than the 71.3 GiB that gpuMemoryUtilization 0.9 allows of NVIDIA-A100-SXM4-80GB "
            "(79.2 GiB); use maxModelLen 23552, or tensor 4 x pipeline 1 in 1 pod of 4 GPUs, the smallest that fits.",
        ),
        (
            "Qwen/Qwen3-4B",
            lay(1),
            65_536,
            Status.DOES_NOT_FIT,
            "maxModelLen 65536 is above the context of Qwen3-4B: use at most 40960.",
        ),
        (
            "Qwen/Qwen3-4B",
            lay(2, experts=True),
            32_768,
            Status.DOES_NOT_FIT,
            "Qwen3-4B is dense and has no experts to spread, so expertParallel must be off.",
        ),
        (
            "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
            lay(8),
            32_768,
            Status.DOES_NOT_FIT,
            "The 28 attention heads of DeepSeek-R1-Distill-Qwen-7B cannot be divided by tensor 8; use "
            "tensor 1 x pipeline 1 in 1 pod of 1 GPU, the smallest that fits.",
        ),
    ],
)
def test_the_answer_is_one_sentence_with_its_arithmetic_and_what_to_write_instead(
    name: str, layout: Layout, length: int | None, status: Status, sentence: str
) -> None:
    answer = judge(name, layout, length)
    assert (answer.status, answer.message) == (status, sentence)


@pytest.mark.parametrize(
    ("name", "gpus_per_node", "smallest"),
    [
        ("Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", 4, "tensor 4 x pipeline 1 in 1 pod of 4 GPUs"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", 8, "tensor 4 x pipeline 1 in 1 pod of 4 GPUs"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507", 4, "tensor 4 x pipeline 2 in 2 pods of 4 GPUs"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507", 8, "tensor 8 x pipeline 1 in 1 pod of 8 GPUs"),
        ("meta-llama/Llama-3.3-70B-Instruct", 8, "tensor 4 x pipeline 1 in 1 pod of 4 GPUs"),
        ("deepseek-ai/DeepSeek-R1", 8, "tensor 8 x pipeline 2 in 2 pods of 8 GPUs"),
        ("zai-org/GLM-4.5-Air", 8, "tensor 4 x pipeline 1 in 1 pod of 4 GPUs"),
        ("Qwen/Qwen3-4B", 8, "tensor 1 x pipeline 1 in 1 pod of 1 GPU"),
        ("zai-org/GLM-4-9B-0414", 8, "tensor 1 x pipeline 1 in 1 pod of 1 GPU"),
    ],
)
def test_the_smallest_layouts_of_the_source_documents_models_on_its_a100(
    name: str, gpus_per_node: int, smallest: str
) -> None:
    asked = Question(model(name), lay(1), A100, gpus_per_node, Sizing(max_model_len=32_768))
    assert str(fit.smallest_layout(asked)) == smallest


def test_the_small_tier_is_not_advised_a_pipeline() -> None:
    asked = Question(model("deepseek-ai/DeepSeek-R1"), lay(1), A100, single_pod=True)
    assert fit.smallest_layout(asked) is None
    assert fit.judge(asked).message.endswith("; no layout of this GPU with tensor inside a pod fits.")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            Question(None, lay(8), A100),
            "The model is not in the catalogue: state model.facts to have its fit checked.",
        ),
        (
            Question(model("Qwen/Qwen3-4B"), lay(1), None),
            "Set placement.gpuProduct to a GPU of the catalogue to have the memory checked.",
        ),
        (
            Question(Facts(name="mine", layers=2), lay(1), A100),
            "State parameters or weightBytes of mine in model.facts to have it checked.",
        ),
        (
            Question(Facts(name="mine", parameters=7_000_000_000), lay(1), A100),
            "The weights of mine fit, but its KV cache is not known: state layers, kvHeads and headDim.",
        ),
        (
            Question(Facts(name="mine", parameters=7_000_000_000, layers=32, kv_heads=8, head_dim=128), lay(1), A100),
            "The weights of mine fit, but its KV cache is not known: state maxModelLen or contextLength.",
        ),
    ],
)
def test_what_is_not_known_is_not_refused(asked: Question, sentence: str) -> None:
    answer = fit.judge(asked)
    assert (answer.status, answer.message) == (Status.UNKNOWN, sentence)


def test_weights_that_are_known_to_be_too_much_are_refused_whatever_else_is_unknown() -> None:
    asked = Question(Facts(name="mine", parameters=70_000_000_000), lay(1), A100)
    assert fit.judge(asked).status is Status.DOES_NOT_FIT


def test_an_argument_that_changes_the_weights_makes_a_refusal_unknown() -> None:
    answer = of_tier(
        model={"source": "hf://meta-llama/Llama-3.3-70B-Instruct"}, engine={"extraArgs": ["--quantization=fp8"]}
    )
    assert answer.status is Status.UNKNOWN
    assert answer.message.startswith("Not checked, since --quantization may change it: without that, Llama-3.3-70B")


def test_a_longer_context_may_be_allowed_by_the_engines_environment() -> None:
    long = {"maxModelLen": 65_536}
    allowed = long | {"env": [{"name": "VLLM_ALLOW_LONG_MAX_MODEL_LEN", "value": "1"}]}
    assert of_tier(engine=long).status is Status.DOES_NOT_FIT
    assert of_tier(engine=allowed).status is Status.UNKNOWN


def test_no_argument_makes_a_dense_model_a_mixture() -> None:
    answer = of_tier(parallelism={"data": 2}, engine={"extraArgs": ["--quantization", "fp8"]})
    assert answer.status is Status.DOES_NOT_FIT


@pytest.mark.parametrize("arguments", [["--kv-cache-dtype", "fp8"], ["--kv-cache-dtype=fp8_e5m2"]])
def test_an_fp8_cache_holds_twice_the_tokens(arguments: list[str]) -> None:
    usual, halved = of_tier(), of_tier(engine={"extraArgs": arguments})
    assert halved.kv_bytes_per_token * 2 == usual.kv_bytes_per_token
    assert halved.kv_tokens // 2 == usual.kv_tokens


def test_a_tier_is_asked_with_its_own_engine_and_gpu() -> None:
    spec = tier(
        engine={
            "gpuMemoryUtilization": 0.8,
            "maxModelLen": 4096,
            "maxNumSeqs": 8,
            "maxNumBatchedTokens": 1024,
            "dtype": "float32",
        },
        placement={"gpuProduct": "NVIDIA-L40S", "gpusPerNode": 4},
    )
    assert fit.question(spec, lay(1), CATALOGUE, single_pod=True) == Question(
        facts=model("Qwen/Qwen3-4B"),
        layout=lay(1),
        gpu=CATALOGUE.gpus["NVIDIA-L40S"],
        gpus_per_node=4,
        sizing=Sizing(0.8, 4096, 8, 1024, element_bytes=4, kv_element_bytes=4),
        dtype=spec.engine.dtype,
        single_pod=True,
    )


@given(MODELS, GPUS, SIZES, st.integers(1, 100))
def test_more_memory_never_fits_worse(facts: Facts, gpu: Gpu, sizes: Sizes, more_gib: int) -> None:
    layout = topology.lay_out(sizes, gpus_per_node=8)
    assume(isinstance(layout, Layout))
    assert isinstance(layout, Layout)
    larger = replace(gpu, memory_gib=gpu.memory_gib + more_gib)
    here, there = (fit.judge(Question(facts, layout, one)) for one in (gpu, larger))
    assert here.kv_tokens <= there.kv_tokens
    assert here.status is not Status.FITS or there.status is Status.FITS


@given(MODELS, GPUS, st.sampled_from([1, 2, 4]), st.integers(1, 3))
def test_a_pipeline_twice_as_long_never_fits_worse(facts: Facts, gpu: Gpu, tensor: int, pipeline: int) -> None:
    # From two stages on, since a second GPU brings the buffers of collectives with it.
    short, long = (
        fit.judge(Question(facts, Layout(tensor, stages, 1, False, tensor * stages), gpu))
        for stages in (2 * pipeline, 4 * pipeline)
    )
    assert short.kv_tokens <= long.kv_tokens
    assert short.status is not Status.FITS or long.status is Status.FITS


@given(MODELS, GPUS, st.sampled_from([512, 4096, 32_768]))
def test_the_smallest_layout_fits_and_a_longer_sequence_never_needs_fewer_gpus(
    facts: Facts, gpu: Gpu, length: int
) -> None:
    asked = Question(facts, lay(1), gpu, sizing=Sizing(max_model_len=length))
    smallest = fit.smallest_layout(asked)
    if smallest is None:
        return
    assert fit.judge(asked._replace(layout=smallest)).status is Status.FITS
    shorter = fit.smallest_layout(asked._replace(sizing=Sizing(max_model_len=length // 2)))
    assert shorter is not None
    assert shorter.world <= smallest.world


@given(MODELS, st.none() | GPUS, SIZES, st.none() | st.integers(16, 500_000))
def test_every_answer_is_one_sentence(facts: Facts, gpu: Gpu | None, sizes: Sizes, length: int | None) -> None:
    layout = topology.lay_out(sizes, gpus_per_node=8)
    assume(isinstance(layout, Layout))
    assert isinstance(layout, Layout)
    answer = fit.judge(Question(facts, layout, gpu, sizing=Sizing(max_model_len=length)))
    assert answer.message.endswith(".")
    assert not answer.message.endswith("..")
