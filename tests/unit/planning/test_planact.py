"""Plan/Act: the source's table, the shape of the saving, and break-evens that agree with the formula."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from heterofleet.planning import planact
from heterofleet.planning.planact import Rates

COSTS = st.floats(1.01, 1000)
STEPS = st.floats(0.1, 1000)
SHARES = st.floats(0, 1)
RATES = st.builds(Rates, escalation=SHARES, retry=SHARES, review=SHARES, review_steps=st.floats(0, 100))


@pytest.mark.parametrize(("steps", "said", "computed"), [(5, 0.62, 0.7353), (10, 0.70, 0.8021), (20, 0.75, 0.8403)])
def test_the_sources_percentages_do_not_follow_from_its_formula(steps: int, said: float, computed: float) -> None:
    saving = planact.cost(steps, 8.5).saving
    assert saving == pytest.approx(computed, abs=5e-5)
    assert saving - said > 0.08


@pytest.mark.parametrize("steps", [5, 10, 20])
def test_the_sources_costs_are_as_it_writes_them(steps: int) -> None:
    made = planact.cost(steps, 8.5)
    assert (made.all_large, made.mixed) == (8.5 + 8.5 * steps, 8.5 + steps)
    assert made.saving == pytest.approx(7.5 * steps / (8.5 + 8.5 * steps))


@given(COSTS, STEPS)
def test_the_saving_is_a_share_that_grows_with_steps_and_relative_cost(cost: float, steps: float) -> None:
    saving = planact.cost(steps, cost).saving
    assert 0 < saving < 1
    assert saving < planact.most_saving(cost) + 1e-12
    assert planact.cost(steps * 1.1, cost).saving > saving
    assert planact.cost(steps, cost * 1.1).saving > saving


@given(st.floats(0.01, 1), STEPS)
def test_a_large_model_that_is_no_dearer_leaves_nothing_to_save(cost: float, steps: float) -> None:
    assert planact.cost(steps, cost).saving <= 1e-12
    sentence = planact.never_pays(cost)
    assert sentence is not None
    assert sentence.startswith("a mixed fleet never pays, because a token of the large model")


@given(COSTS, STEPS, RATES, RATES)
def test_what_fails_more_often_saves_less(cost: float, steps: float, one: Rates, other: Rates) -> None:
    worse = Rates(*(max(pair) for pair in zip(one, other, strict=True)))
    assert planact.cost(steps, cost, worse).saving <= planact.cost(steps, cost, one).saving + 1e-12


@given(COSTS, RATES, st.floats(0, 0.99))
def test_the_break_even_in_steps_is_where_the_formula_gives_that_saving(
    cost: float, rates: Rates, wanted: float
) -> None:
    steps = planact.steps_for(wanted, cost, rates)
    if steps is None:
        assert planact.cost(1e6, cost, rates).saving <= wanted + 1e-9
        return
    assume(steps <= planact.MOST)
    assert planact.cost(steps, cost, rates).saving == pytest.approx(wanted, abs=1e-6)


@given(STEPS, RATES)
def test_the_break_even_in_relative_cost_is_where_both_cost_the_same_whatever_n_is(steps: float, rates: Rates) -> None:
    cost = planact.break_even_cost(rates)
    assume(cost is None or cost <= planact.MOST)
    if cost is None:
        assert rates.escalation == 1
        assert planact.cost(steps, 1e6, rates).saving <= 0
        return
    made = planact.cost(steps, cost, rates)
    assert made.mixed == pytest.approx(made.all_large)


@given(COSTS, STEPS)
def test_at_the_break_even_escalation_the_mixed_fleet_costs_what_the_large_one_does(cost: float, steps: float) -> None:
    made = planact.cost(steps, cost, Rates(escalation=planact.break_even_escalation(cost)))
    assert made.mixed == pytest.approx(made.all_large)


def test_a_review_costs_what_it_does_in_steps() -> None:
    rates = Rates(escalation=0.1, retry=0.2, review=0.01, review_steps=50)
    assert planact.step_cost(8.5, rates) == pytest.approx(1 + 0.2 + 0.85 + 0.5)
    assert planact.never_pays(8.5, rates) is None
    assert planact.never_pays(2.0, Rates(escalation=0.6)) == (
        "a mixed fleet never pays at these rates, because a step on the small model comes to 2.20 with all that follows"
        " it, and on the large one to 2"
    )


def test_without_steps_nothing_is_saved() -> None:
    assert planact.cost(0, 8.5) == (8.5, 8.5, 0.0)


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), 1e7])
def test_steps_that_are_no_number_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="give a number from 0 to 1,000,000"):
        planact.cost(bad, 8.5)


@pytest.mark.parametrize("bad", [-1, 0, float("nan"), float("inf"), 1e7])
def test_a_relative_cost_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"such as 8\.5"):
        planact.cost(5, bad)


def test_percent_in_place_of_a_share_is_told_how_to_be_written() -> None:
    with pytest.raises(ValueError, match=r"^retry rate 62: give a share of steps from 0 to 1; write 0.62 for 62 %$"):
        planact.cost(5, 8.5, Rates(retry=62))
    with pytest.raises(ValueError, match=r"^escalation rate -0.1: give a share of steps from 0 to 1$"):
        planact.cost(5, 8.5, Rates(escalation=-0.1))
    with pytest.raises(ValueError, match=r"write 0\.3 for 30 %"):
        planact.steps_for(30, 8.5)
