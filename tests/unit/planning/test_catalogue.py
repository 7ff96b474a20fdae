"""The catalogue: its data is sound, a user's facts beat it, and priors follow the source document."""

from dataclasses import replace

import pytest
import yaml

from heterofleet.api.model import ModelFacts, ModelSource
from heterofleet.planning import catalogue, memory
from heterofleet.planning.catalogue import Facts, Gpu, SizePrior

CATALOGUE = catalogue.load()
SOURCES = sorted(CATALOGUE.models)
NEEDED = (
    *("parameters", "active_parameters", "weight_bytes", "layers", "hidden_size", "vocab_size", "experts"),
    *("attention_heads", "kv_heads", "context_length", "family", "tokenizer", "template"),
)


@pytest.mark.parametrize("source", SOURCES)
def test_an_entry_weighs_what_its_architecture_adds_up_to(source: str) -> None:
    entry = CATALOGUE.models[source]
    from_architecture = memory.total_weight_bytes(replace(entry, weight_bytes=None, parameters=None))
    assert entry.weight_bytes == pytest.approx(from_architecture, rel=2e-4)


@pytest.mark.parametrize("source", SOURCES)
def test_an_entry_of_16_bit_weights_has_two_bytes_a_parameter(source: str) -> None:
    entry = CATALOGUE.models[source]
    if entry.quantization_block is None:
        assert entry.parameters is not None
        assert entry.weight_bytes == 2 * entry.parameters


@pytest.mark.parametrize("source", SOURCES)
def test_an_entry_knows_all_that_the_fit_and_the_pair_need(source: str) -> None:
    entry = CATALOGUE.models[source]
    unknown = [name for name in NEEDED if getattr(entry, name) is None]
    assert unknown == []
    assert (entry.head_dim or entry.kv_lora_rank) is not None
    assert entry.is_dense == (entry.parameters == entry.active_parameters)


def test_families_are_equal_exactly_where_tokenizer_and_template_are() -> None:
    entries = list(CATALOGUE.models.values())
    for one in entries:
        for other in entries:
            same = (one.tokenizer, one.template) == (other.tokenizer, other.template)
            assert (one.family == other.family) == same


def test_a_model_is_found_by_its_hub_name_whatever_the_case() -> None:
    found = CATALOGUE.model("hf://qwen/QWEN3-4B")
    assert found is not None
    assert (found.name, found.parameters) == ("QWEN3-4B", 4_022_468_096)


@pytest.mark.parametrize("source", ["pvc://weights/Qwen/Qwen3-4B", "file:///models/qwen", "hf://nobody/nothing"])
def test_other_sources_can_be_anything(source: str) -> None:
    assert CATALOGUE.facts(ModelSource(source=source)) is None


def test_an_entry_may_differ_from_another_in_a_few_fields_only() -> None:
    base, long = CATALOGUE.models["qwen/qwen3-4b"], CATALOGUE.models["qwen/qwen3-4b-instruct-2507"]
    assert long == replace(base, name="Qwen3-4B-2507", context_length=262_144)


def test_facts_of_the_user_beat_the_catalogue() -> None:
    model = ModelSource(source="hf://Qwen/Qwen3-4B", facts=ModelFacts(context_length=8192, kv_heads=4))
    known = CATALOGUE.model(model.source)
    assert known is not None
    assert CATALOGUE.facts(model) == replace(known, context_length=8192, kv_heads=4)


def test_bytes_of_the_catalogue_do_not_survive_another_number_of_parameters() -> None:
    model = ModelSource(source="hf://Qwen/Qwen3-4B", facts=ModelFacts(parameters=2_000_000_000))
    facts = CATALOGUE.facts(model)
    assert facts is not None
    assert memory.total_weight_bytes(facts) == 4_000_000_000


def test_a_family_of_the_user_stands_for_tokenizer_and_template() -> None:
    model = ModelSource(source="hf://Qwen/Qwen3-4B", facts=ModelFacts(family="mine"))
    facts = CATALOGUE.facts(model)
    assert facts is not None
    assert (facts.family, facts.tokenizer, facts.template) == ("mine", None, None)


def test_facts_alone_describe_a_model_that_nobody_knows() -> None:
    model = ModelSource(source="pvc://weights/mine", facts=ModelFacts(parameters=7_000_000_000, experts=0))
    assert CATALOGUE.facts(model) == Facts(name="pvc://weights/mine", parameters=7_000_000_000, experts=0)


def test_a_gpu_is_found_by_its_product_label_shared_or_not() -> None:
    a100 = Gpu("NVIDIA-A100-SXM4-80GB", 79.25, 8.0, 2048, 2.04, 312)
    assert CATALOGUE.gpu("NVIDIA-A100-SXM4-80GB") == a100
    assert CATALOGUE.gpu("NVIDIA-A100-SXM4-80GB-SHARED") == a100
    assert (a100.has_fp8, a100.has_bfloat16) == (False, True)
    assert CATALOGUE.gpu("NVIDIA-A100") is None
    assert CATALOGUE.gpu(None) is None


def test_a_mistyped_product_is_answered_with_the_ones_that_look_like_it() -> None:
    assert CATALOGUE.similar_products("A100-SXM4-80GB")[0] == "NVIDIA-A100-SXM4-80GB"
    assert CATALOGUE.similar_products("bicycle") == []


@pytest.mark.parametrize(
    "prior",
    [
        SizePrior(4_022_468_096, 1.0, 0.020),
        SizePrior(70_553_706_496, 8.5, 0.080),
        SizePrior(235_093_634_560, 18.2, 0.120),
    ],
)
def test_priors_are_the_source_documents_at_its_own_sizes(prior: SizePrior) -> None:
    assert CATALOGUE.size_prior(prior.parameters) == pytest.approx(prior)


def test_priors_rise_with_the_size_between_and_beyond_them() -> None:
    sizes = [1e9, 4e9, 8e9, 32e9, 71e9, 106e9, 236e9, 671e9]
    priors = [CATALOGUE.size_prior(size) for size in sizes]
    costs = [prior.relative_token_cost for prior in priors]
    latencies = [prior.latency_seconds for prior in priors]
    assert (costs, latencies) == (sorted(costs), sorted(latencies))
    assert costs[-1] == pytest.approx(35.3, abs=0.1)


def test_an_unknown_field_of_the_data_is_an_error() -> None:
    models = yaml.safe_load("{size_priors: [], models: [{name: x, sources: [a/x], wheels: 4}]}")
    with pytest.raises(TypeError, match="wheels"):
        catalogue.parse(models, {"gpus": []})
