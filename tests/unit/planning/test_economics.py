"""Money: the source's Plan/Act saving, what a fleet may cost an hour, and what its tokens cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.planning import economics
from heterofleet.planning.economics import Posted


@pytest.mark.parametrize(("steps", "saving"), [(5, 0.735), (10, 0.802), (20, 0.840)])
def test_the_saving_is_what_the_sources_formula_gives_not_its_percentages(steps: int, saving: float):
    assert economics.plan_act(steps, 8.5).saving == pytest.approx(saving, abs=0.0005)


@given(st.floats(1, 1000), st.floats(0, 1000))
def test_the_saving_is_the_formula_of_the_source(cost: float, steps: float):
    made = economics.plan_act(steps, cost)
    assert made.all_large == pytest.approx((1 + steps) * cost)
    assert made.mixed == pytest.approx(cost + steps)
    assert made.saving == pytest.approx((cost - 1) * steps / (cost * (1 + steps)), abs=1e-9)


@pytest.mark.parametrize(("steps", "cost"), [(5, 0), (-1, 2), (5, float("nan")), (float("inf"), 2)])
def test_a_cost_model_of_nothing_is_refused(steps: float, cost: float):
    with pytest.raises(ValueError, match="must be above 0"):
        economics.plan_act(steps, cost)


@given(st.floats(1, 1000), st.floats(0.1, 1000))
def test_at_the_break_even_escalation_the_mixed_fleet_costs_what_the_large_one_does(cost: float, steps: float):
    rate = economics.break_even_escalation(cost)
    made = economics.plan_act(steps, cost)
    assert made.mixed + rate * steps * cost == pytest.approx(made.all_large)


def test_tokens_cost_what_was_posted_and_answers_what_the_gpus_did():
    assert economics.posted_usd(2e6, 1e6, Posted(0.5, 2)) == 3.0
    assert economics.usd_per_token(economics.usd_per_hour(8, 2.5), 2e6) == 1e-5
    assert economics.usd_per_token(20, 0) is None
    assert economics.savings_ratio(30, 40) == 0.25
    assert economics.savings_ratio(30, 0) is None


@given(st.floats(1, 1e6), st.lists(st.floats(0, 1e5), max_size=200))
def test_money_that_follows_the_affordable_rate_never_passes_the_budget(budget: float, wanted: list[float]):
    spent, rate = 0.0, 0.0
    for wish in wanted:
        rate = min(wish, economics.affordable_usd_per_hour(budget, spent, rate))
        spent += rate / 60
        assert spent <= budget


def test_while_the_money_is_not_known_the_price_in_force_stays():
    assert economics.affordable_usd_per_hour(240, None, 3) == 10
    assert economics.affordable_usd_per_hour(240, None, 30) == 30


def test_a_rise_needs_more_room_than_what_runs():
    assert economics.affordable_usd_per_hour(100, 90, 9) == 9
    assert economics.affordable_usd_per_hour(100, 90, 0) == 8
    assert economics.affordable_usd_per_hour(100, 90, 20) == 10
