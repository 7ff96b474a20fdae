"""What is learned from what happened, and how little a wild sample can do."""

from collections.abc import Sequence
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.api import planned
from heterofleet.api.labels import Tier
from heterofleet.planning import learning
from heterofleet.planning.learning import Estimate, Learned, Minute

BEGIN = learning.prior({Tier.LARGE: 300, Tier.SMALL: 60}, {Tier.LARGE: 1000, Tier.SMALL: 500})
ABSURD = [nan, inf, -inf, -1.0]


def minute(served: float | None, pressure: float | None, **facts: float | bool | None) -> Minute:
    return Minute({Tier.LARGE: served}, {Tier.LARGE: pressure}, **facts)  # type: ignore[arg-type]  # facts by name


def after(minutes: list[Minute], begin: Learned = BEGIN) -> Learned:
    for each in minutes:
        begin = learning.after_minute(begin, each)
    return begin


def capacity(learned: Learned) -> float:
    return learned.capacity[Tier.LARGE].value


def startup(samples: Sequence[float]) -> float:
    learned = BEGIN
    for seconds in samples:
        learned = learning.after_start(learned, Tier.LARGE, seconds)
    return learned.startup_seconds[Tier.LARGE].value


def test_the_first_start_counts_as_much_as_the_prior():
    assert startup([600]) == pytest.approx((300 * 600) ** 0.5)


def test_a_tier_whose_starts_became_slower_is_known_to_be_slow_after_a_dozen():
    assert startup([300] * 50 + [600] * 20) == pytest.approx(600, rel=0.1)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_one_wild_start_moves_a_settled_estimate_by_an_eighth_at_most(sample: float):
    settled = startup([300] * 50)
    assert settled / 1.125 <= startup([300] * 50 + [sample]) <= settled * 1.125


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=40))
def test_no_samples_lead_out_of_the_bounds(samples: list[float]):
    learned = after(
        [minute(sample, sample, escalated=sample, spilled=sample, prompt_weight=sample) for sample in samples]
    )
    assert 100 <= capacity(learned) <= 10_000
    assert 1 <= startup(samples) <= 86_400
    assert 0 <= learned.escalation_rate.value <= 1
    assert 0.05 <= learned.spill_over_share.value <= 0.5
    assert 0.005 <= learned.prompt_weight.value <= 1


@pytest.mark.parametrize("sample", [None, *ABSURD])
def test_what_is_no_number_is_no_sample(sample: float | None):
    assert after([minute(sample, sample, escalated=sample, spilled=sample, prompt_weight=sample)]) == BEGIN


def test_an_instance_that_keeps_its_objective_under_more_work_is_known_to_carry_it():
    assert capacity(after([minute(1800, 0.9)] * 100)) == pytest.approx(1800 * 1.05, rel=0.02)


def test_an_instance_that_misses_its_objective_is_known_to_carry_less():
    assert capacity(after([minute(800, 1.6)] * 100)) == pytest.approx(500, rel=0.05)


def test_an_idle_instance_tells_nothing_of_its_capacity():
    assert capacity(after([minute(200, 0.1)] * 100)) == 1000
    assert capacity(after([minute(200, 9.0)] * 100)) == 1000


def test_a_miss_beyond_the_known_capacity_is_no_news():
    assert capacity(after([minute(1500, 1.2)])) == 1000


def test_spill_over_is_planned_with_as_far_as_it_did_no_harm():
    assert after([minute(900, 0.8, spilled=0.3)] * 10).spill_over_share.value == pytest.approx(0.35)
    assert after([minute(900, 1.5, spilled=0.3)] * 3).spill_over_share.value == pytest.approx(0.25 * 0.8**3)
    assert after([minute(900, 0.8, spilled=0.0)] * 9).spill_over_share.value == 0.25


def test_the_forecast_error_is_the_share_of_minutes_above_the_forecast():
    minutes = [minute(None, None, covered=index % 20 != 0) for index in range(2000)]
    assert after(minutes).forecast_error.value == pytest.approx(0.05, rel=0.2)


def test_what_was_learned_survives_in_the_status_with_three_digits():
    learned = after([minute(1800, 0.9, escalated=0.0412345, spilled=0.1, prompt_weight=0.07, covered=True)] * 60)
    said = learning.told(learned)
    assert said == planned.Learned(
        prompt_weight=float(f"{learned.prompt_weight.value:.3g}"),
        escalation_rate=float(f"{learned.escalation_rate.value:.3g}"),
        spill_over_rate=float(f"{learned.spill_over_rate.value:.3g}"),
        forecast_error=0.0,
    )
    again = learning.resumed(BEGIN, said, {Tier.LARGE: 400.0}, {Tier.LARGE: 1700.0, Tier.SMALL: nan})
    assert again.startup_seconds == {Tier.LARGE: Estimate(400, 4), Tier.SMALL: Estimate(60)}
    assert again.capacity == {Tier.LARGE: Estimate(1700, 4), Tier.SMALL: Estimate(500)}
    assert again.escalation_rate.value == said.escalation_rate


def test_a_fleet_that_observed_nothing_says_nothing():
    assert learning.told(BEGIN) == planned.Learned()
    assert learning.resumed(BEGIN, planned.Learned(), {}, {}) == BEGIN


def test_one_bad_minute_among_the_first_is_no_rule():
    assert after([minute(None, None, covered=False)]).forecast_error.value < 0.02
