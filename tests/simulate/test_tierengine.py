"""A tier is played by the profile of its model on its GPUs, or by a named one; or else it is said what to name."""

import pytest

from heterofleet.api.labels import Tier
from heterofleet.api.tier import TierSpec
from heterofleet.planning import catalogue
from heterofleet.simulate import profile, tierengine
from heterofleet.simulate.tierengine import UnknownEngine

KNOWN = catalogue.load()


def tier(source: str = "hf://Qwen/Qwen3-32B", gpu: str | None = "NVIDIA-A100-SXM4-80GB", **fields: object) -> TierSpec:
    body = {"model": {"source": source}, "placement": {"gpuProduct": gpu} if gpu else {}, **fields}
    return TierSpec.model_validate({"parallelism": {"tensor": 2}, **body})


def test_a_model_of_the_catalogue_is_derived_from_its_sizes() -> None:
    two, four = (tierengine.of(Tier.LARGE, tier(parallelism={"tensor": gpus}), KNOWN) for gpus in (2, 4))
    assert (two.gpus, four.gpus) == (2, 4)
    assert two.profile.name == "large-derived"
    assert four.profile.prefill_tokens_per_second == pytest.approx(2 * two.profile.prefill_tokens_per_second)
    assert four.profile.step_seconds < two.profile.step_seconds
    assert four.profile.kv_tokens > two.profile.kv_tokens


def test_the_engine_settings_of_the_tier_hold() -> None:
    set_ = tier(engine={"maxNumSeqs": 32, "maxModelLen": 4096, "maxNumBatchedTokens": 1024})
    for named in (None, "a100-tp8-70b"):
        played = tierengine.of(Tier.LARGE, set_, KNOWN, named).profile
        assert (played.max_num_seqs, played.max_model_len, played.max_num_batched_tokens) == (32, 4096, 1024)


def test_weights_that_stay_on_the_node_start_sooner() -> None:
    fetched = tierengine.of(Tier.LARGE, tier(), KNOWN)
    kept = tierengine.of(Tier.LARGE, tier(storage={"cache": {"hostPath": {"path": "/models"}}}), KNOWN)
    said = tierengine.of(Tier.LARGE, tier(), KNOWN, startup_seconds=90)
    assert fetched.startup_seconds > kept.startup_seconds > 120
    assert said.startup_seconds == 90


def test_a_named_profile_is_taken_for_any_model() -> None:
    played = tierengine.of(Tier.SMALL, tier("pvc://models/own", None), KNOWN, "tiny-small")
    assert played.profile.kv_token_seconds == profile.load()["tiny-small"].kv_token_seconds
    assert played.startup_seconds == 60


@pytest.mark.parametrize(
    ("spec", "named", "sentence"),
    [
        (tier(), "huge", "large: no profile 'huge'; choose from tiny, tiny-large"),
        (tier(gpu="NVIDIA-L4"), None, "cannot be derived for GPU NVIDIA-L4: choose one with --profile large=NAME"),
        (tier(gpu=None), None, "cannot be derived for GPU without a product: choose one with --profile large=NAME"),
        (tier("pvc://models/own"), None, "cannot be derived for pvc://models/own: choose one with --profile"),
    ],
)
def test_an_unknown_engine_is_refused_with_what_to_name(spec: TierSpec, named: str | None, sentence: str) -> None:
    with pytest.raises(UnknownEngine) as refused:
        tierengine.of(Tier.LARGE, spec, KNOWN, named)
    assert sentence in str(refused.value)
