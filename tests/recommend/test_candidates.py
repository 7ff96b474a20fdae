"""Shapes that fit, pairs by name, sizes of the source, and loads made up from answers."""

from math import nan

import numpy as np
import pytest

from heterofleet.api.labels import Tier
from heterofleet.api.routing import RequestClass
from heterofleet.planning import capacity, catalogue
from heterofleet.recommend import answers, candidates, loadprofile, modelpairs, sizes
from heterofleet.recommend.answers import Answers
from heterofleet.recommend.errors import NothingFits, Unrecommendable
from heterofleet.recommend.modelpairs import PAIRS
from heterofleet.recommend.wishes import Wishes

KNOWN = catalogue.load()


def cuts(wishes: Wishes, tier: Tier) -> set[tuple[int, int, bool]]:
    found = candidates.fitting(tier, wishes, KNOWN, capacity.USUAL)
    return {(each.shape.tensor, each.shape.pipeline, each.shape.expert_parallel) for each in found}


def test_each_number_of_gpus_has_the_first_cut_that_fits() -> None:
    assert cuts(Wishes(), Tier.LARGE) == {(4, 1, False), (8, 1, True)}
    assert cuts(Wishes(), Tier.SMALL) == {(1, 1, False), (2, 1, False), (4, 1, False), (8, 1, False)}


def test_a_model_that_no_node_holds_takes_whole_nodes() -> None:
    found = candidates.fitting(Tier.LARGE, Wishes(pair=PAIRS["deepseek"]), KNOWN, capacity.USUAL)
    assert min(each.shape.gpus for each in found) == 16


def test_a_model_that_fits_no_number_of_gpus_is_refused_with_what_is_missing() -> None:
    small = Wishes(gpu="NVIDIA-A10G", gpus_per_node=1)
    with pytest.raises(NothingFits, match=r"the large model fits no number of these GPUs: .* choose a GPU with more"):
        candidates.fitting(Tier.LARGE, small, KNOWN, capacity.USUAL)


def test_the_shortlist_has_every_cut_before_a_second_of_one() -> None:
    found = candidates.fitting(Tier.SMALL, Wishes(), KNOWN, capacity.USUAL)
    assert {shape.gpus for shape in candidates.shortlist(found, 4)} == {1, 2, 4, 8}


def test_the_sources_pairs_are_known_and_only_the_first_is_of_one_family() -> None:
    assert {name: PAIRS[name].match(KNOWN).matched for name in ("qwen3", "deepseek", "glm")} == {
        "qwen3": True,
        "deepseek": False,
        "glm": False,
    }
    assert all(modelpairs.facts_missing(pair, KNOWN) is None for pair in PAIRS.values())


@pytest.mark.parametrize(("name", "hint"), [("qwen", "did you mean qwen3"), ("x", "choose from qwen3, deepseek")])
def test_a_wrong_pair_is_refused_with_the_right_ones(name: str, hint: str) -> None:
    with pytest.raises(Unrecommendable, match=hint):
        modelpairs.chosen(name)


def test_a_model_of_which_nothing_is_known_is_named() -> None:
    own = modelpairs.chosen("hf://Qwen/Qwen3-32C+hf://Qwen/Qwen3-4B")
    assert modelpairs.facts_missing(own, KNOWN) == (
        "the large model hf://Qwen/Qwen3-32C is not in the catalogue, so nothing says which GPUs it takes;"
        " did you mean hf://qwen/qwen3-32b?"
    )


@pytest.mark.parametrize(
    ("qps", "size"), [(30, sizes.SMALL), (100, sizes.MEDIUM), (1000, sizes.MEDIUM), (3000, sizes.LARGE)]
)
def test_a_size_of_the_source_is_chosen_by_requests_a_second(qps: float, size: sizes.Size) -> None:
    assert sizes.of(qps) is size


def test_the_sizes_are_the_sources_in_gpus() -> None:
    assert [size.gpus for size in (sizes.SMALL, sizes.MEDIUM, sizes.LARGE)] == [8, 24, 96]


@pytest.mark.parametrize("value", [0.0, -1.0, nan, 1e9])
def test_answers_that_are_no_load_are_refused(value: float) -> None:
    with pytest.raises(Unrecommendable, match="requests a second are not between"):
        Answers(value)


def test_a_made_up_load_has_the_rate_the_steps_and_the_tokens_that_were_answered() -> None:
    found = loadprofile.of(answers.trace(Answers(50, 4, 800, 300)), None, batch=False)
    assert found.peak_qps == pytest.approx(50, rel=0.05)
    assert found.steps == pytest.approx(4, rel=0.02)
    assert (found.plan.prompt_tokens, found.act.output_tokens) == pytest.approx((800, 300))
    assert (found.escalation, found.escalation_measured) == (0.05, False)
    night = answers.trace(Answers(50)).classes[RequestClass.ACT].requests[2 * 60 : 3 * 60].mean()
    assert night < 0.4 * answers.trace(Answers(50)).classes[RequestClass.ACT].requests.max()


def test_a_batch_is_the_same_all_day_and_the_same_seed_gives_the_same_load() -> None:
    first, again = (answers.trace(Answers(50, batch=True), seed=3).classes[RequestClass.ACT].requests for _ in range(2))
    assert np.array_equal(first, again)
    assert first.max() < 1.2 * first.min()
