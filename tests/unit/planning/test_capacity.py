"""What an instance sustains before it was measured: by hand, against the queueing model, and in its extremes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.api.scaling import Objective
from heterofleet.planning import capacity, catalogue
from heterofleet.planning.capacity import Rates, Shape
from unit.planning.situations import spec

LAX = Objective(ttft_seconds=600, inter_token_seconds=60, attainment=0.5)


def near(work: float, *, within_objective: bool = True) -> object:
    """A capacity but for the last digits."""
    return pytest.approx((work, within_objective))


ENGINE = Rates(10_000, 0.02, 0.0001, 0.0, 1_000_000, 100)


def test_a_full_batch_is_what_sequences_and_cache_allow():
    # 100 sequences: half of attainment means half of the time fewer; a step takes 20 ms and 0.1 ms for each.
    assert capacity.sustained(ENGINE, LAX, Shape(0, 100)) == near(100 / 0.03)


def test_prompts_take_their_part_of_each_step():
    # Each step starts one request of 1,000 prompt tokens for each 100 running ones that end after 100 tokens.
    found = capacity.sustained(ENGINE, LAX, Shape(1000, 100), alpha=0.1)
    assert found.work_per_second == pytest.approx(100 / (0.1 + 0.01) * 2)


def test_the_inter_token_objective_bounds_the_batch():
    objective = Objective(ttft_seconds=600, inter_token_seconds=0.025, attainment=0.5)
    assert capacity.sustained(ENGINE, objective, Shape(0, 100)).work_per_second == pytest.approx(50 / 0.025)


def test_a_promise_to_more_requests_leaves_more_room():
    promised = [
        capacity.sustained(
            ENGINE, Objective(inter_token_seconds=0.025, attainment=share), Shape(0, 100)
        ).work_per_second
        for share in (0.5, 0.9, 0.99)
    ]
    assert promised == sorted(promised, reverse=True)


def test_an_objective_that_one_request_misses_is_out_of_reach_and_the_best_is_told():
    out_of_reach = Objective(inter_token_seconds=0.001, attainment=0.5)
    assert capacity.sustained(ENGINE, out_of_reach, Shape(0, 100)) == near(100 / 0.03, within_objective=False)


@given(st.floats(0.01, 1), st.floats(0.01, 1), st.floats(1, 4000), st.floats(1, 2000))
def test_a_laxer_objective_never_sustains_less(first: float, second: float, prompt: float, answer: float):
    tight, lax = sorted((first, second))
    found = [
        capacity.sustained(ENGINE, Objective(inter_token_seconds=seconds), Shape(prompt, answer))
        for seconds in (tight, lax)
    ]
    if found[0].within_objective:
        assert found[0].work_per_second <= found[1].work_per_second + 1e-9


def test_the_prior_of_a_known_model_is_its_roofline():
    fleet = spec()
    tier = fleet.large.model_copy(
        update={"placement": fleet.large.placement.model_copy(update={"gpu_product": "NVIDIA-H100-80GB-HBM3"})}
    )
    known = capacity.rates(tier, catalogue.load())
    assert known is not None
    # 470 GB of weights over 8 x 3.35 TB/s x 0.75, and 5 ms.
    assert known.step_seconds == pytest.approx(0.005 + 470.19e9 / (8 * 3.35e12 * 0.75), rel=1e-3)
    # 22.2 billion active weights, two operations each, at 0.45 of 8 x 989 teraflops.
    assert known.prefill_tokens_per_second == pytest.approx(8 * 989e12 * 0.45 / (2 * 22.19e9), rel=1e-3)
    assert capacity.prior(tier, catalogue.load()).work_per_second > 1000


def test_the_prior_of_an_unknown_gpu_is_a_guess_at_the_objective():
    assert capacity.prior(spec().small, catalogue.load()) == near(16 / 0.1 * 1.5)


def test_a_prompt_token_weighs_its_prefill_in_tokens_of_an_answer():
    # 32 sequences decode in 23.2 ms, 0.725 ms a token; a prompt token takes 0.1 ms.
    assert capacity.prompt_weight(ENGINE, Shape(1000, 200), 32) == pytest.approx(0.1 / 0.725)
