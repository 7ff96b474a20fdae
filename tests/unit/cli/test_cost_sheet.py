"""The rows that `cost` shows: what is compared, and what must not be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.cli import costsheet
from heterofleet.cli.costsheet import ALL_LARGE, ALL_SMALL, MIXED, Inputs, Played, Row
from heterofleet.planning.planact import Rates

HOURS = {ALL_LARGE: 480.0, ALL_SMALL: 48.0, MIXED: 240.0}
USD = {ALL_LARGE: 960.0, ALL_SMALL: 96.0, MIXED: 480.0}


def test_a_trace_is_told_by_the_day_and_by_the_million_work_tokens() -> None:
    made = costsheet.of_trace("", Played(HOURS, USD, 2, 4e6, late=0.01))
    assert made.rows == (
        Row(ALL_LARGE, None, 10, 240, 480),
        Row(ALL_SMALL, None, 1, 24, 48),
        Row(MIXED, None, 5, 120, 240),
    )
    assert (made.saving, made.sentences) == (0.5, ("The mixed fleet saves 50.0% against large models alone.",))


def test_a_fleet_that_does_not_carry_the_trace_is_not_said_to_save() -> None:
    made = costsheet.of_trace("", Played(HOURS, USD, 2, 4e6, late=0.71))
    assert made.saving is None
    assert made.sentences == (
        "The mixed fleet does not carry this load: 71% of the work comes while its instances are too few, so that its"
        " money is not compared. Raise instances.max of its tiers, or scaling.gpuBudget.",
    )


def test_a_fleet_that_costs_more_is_said_to() -> None:
    made = costsheet.of_trace("", Played(HOURS, USD | {MIXED: 1200.0}, 2, 4e6, late=0.0))
    assert made.sentences == ("The mixed fleet costs 25.0% more than large models alone.",)


@given(st.floats(0, 1000), st.floats(0.1, 1000), st.floats(0, 1), st.floats(0.01, 1000), st.floats(0.01, 1e6))
def test_money_of_inputs_stands_in_the_ratio_of_their_tasks(
    steps: float, cost: float, escalation: float, usd: float, millions: float
) -> None:
    made = costsheet.of_inputs(Inputs(steps, cost, Rates(escalation=escalation), usd, millions))
    large, _, mixed = made.rows
    assert large.usd_per_million_tokens == pytest.approx(cost * usd)
    for row in made.rows:
        assert row.usd_per_day == pytest.approx((row.usd_per_million_tokens or 0) * millions)
    assert made.saving == pytest.approx(1 - (mixed.usd_per_day or 0) / (large.usd_per_day or 1), abs=1e-6)
