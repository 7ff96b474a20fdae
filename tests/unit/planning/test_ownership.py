"""Ownership: the source's table of 6.1 recomputed, and what buying and renting come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.planning import ownership
from heterofleet.planning.ownership import SOURCE_ALL_LARGE, SOURCE_MIXED, Assumptions, Costs

USD = st.floats(1, 1e9)
COSTS = st.builds(Costs, USD, USD, USD, USD, st.just(0.0))


def test_the_sources_table_adds_up_and_its_conclusions_are_named_for_what_they_are() -> None:
    made = ownership.of(SOURCE_ALL_LARGE, SOURCE_MIXED, 3)
    assert (made.all_large.total, made.mixed.total, made.saving) == (3_600e3, 1_910e3, 1_690e3)
    assert made.saving_a_year == pytest.approx(563_333, abs=1)
    assert made.ratio == pytest.approx(1.885, abs=5e-4)
    assert made.return_on_investment == pytest.approx(0.885, abs=5e-4)
    assert made.payback_months_on_hardware == pytest.approx(25.6, abs=0.05)
    assert made.payback_months_on_the_whole == pytest.approx(40.7, abs=0.05)


@given(COSTS, COSTS, st.floats(0.5, 20))
def test_return_ratio_saving_and_payback_are_one_story(all_large: Costs, mixed: Costs, years: float) -> None:
    made = ownership.of(all_large, mixed, years)
    assert made.return_on_investment == pytest.approx(made.ratio - 1, abs=1e-9)
    assert made.saving_a_year * years == pytest.approx(made.saving)
    if made.saving <= 0:
        assert (made.payback_months_on_hardware, made.payback_months_on_the_whole) == (None, None)
    else:
        months = made.payback_months_on_the_whole
        assert months is not None
        assert months / 12 * made.saving_a_year == pytest.approx(mixed.total)


def test_a_bought_gpu_pays_for_power_and_a_rented_one_does_not() -> None:
    bought = Assumptions(years=2, usd_per_gpu=20_000, licence_usd_per_gpu_year=500, operations_usd_a_year=10_000)
    power = 10 * 0.8 * 1.4 * 8766 * 2 * 0.12
    assert ownership.costs(10, bought) == pytest.approx((200_000, power, 20_000, 10_000, 0))
    rented = Assumptions(years=2, usd_per_gpu_hour=2, operations_usd_a_year=10_000)
    assert ownership.costs(10, rented) == pytest.approx((0, 0, 20_000, 0, 10 * 8766 * 2 * 2))


@given(st.floats(1, 1e4), st.floats(1, 1e5))
def test_twice_the_gpus_cost_twice_but_for_operations(gpus: float, usd: float) -> None:
    assumed = Assumptions(usd_per_gpu=usd, operations_usd_a_year=7, licence_usd_per_gpu_year=3)
    once, twice = ownership.costs(gpus, assumed), ownership.costs(2 * gpus, assumed)
    assert twice == pytest.approx((2 * once.hardware, 2 * once.power, once.operations, 2 * once.licences, 0))


@pytest.mark.parametrize(
    ("assumed", "sentence"),
    [
        (Assumptions(), "bought or rented: give either"),
        (Assumptions(usd_per_gpu=1, usd_per_gpu_hour=1), "bought or rented: give either"),
        (Assumptions(usd_per_gpu=-1), "usd_per_gpu -1: give a number, 0 or more"),
        (Assumptions(usd_per_gpu=float("nan")), "usd_per_gpu nan: give a number"),
        (Assumptions(usd_per_gpu=1e13), "usd_per_gpu 1e[+]13: give a number"),
        (Assumptions(usd_per_gpu_hour=52.8), "which is 2.2 if this is a day's"),
        (Assumptions(usd_per_gpu=1, usd_per_kwh=12), "give USD, such as 0.12 for 12 cents"),
        (Assumptions(usd_per_gpu=1, overhead=0.4), "give 1 or more"),
        (Assumptions(usd_per_gpu=1, years=0), "0 years: give a number above 0, at most 50"),
    ],
)
def test_assumptions_that_mean_nothing_are_refused(assumed: Assumptions, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ownership.costs(8, assumed)


def test_rent_lays_nothing_out_so_that_there_is_no_payback_to_wait_for() -> None:
    made = ownership.rented(480, 240, 2)
    assert (made.all_large.total, made.mixed.rent) == pytest.approx((480 * 730.5, 240 * 730.5))
    assert (made.payback_months_on_hardware, made.payback_months_on_the_whole) == (None, None)
    assert made.return_on_investment == pytest.approx(1.0)


def test_costs_that_are_no_money_are_refused() -> None:
    with pytest.raises(ValueError, match="power nan of the mixed fleet: give USD over all 3 years, 0 or more"):
        ownership.of(SOURCE_ALL_LARGE, SOURCE_MIXED._replace(power=float("nan")), 3)
    with pytest.raises(ValueError, match="the mixed fleet costs nothing"):
        ownership.of(SOURCE_ALL_LARGE, Costs(0, 0, 0, 0), 3)
    with pytest.raises(ValueError, match="-1 GPUs: give a number from 0"):
        ownership.costs(-1, Assumptions(usd_per_gpu=1))
