"""The saving of a plan is held against large instances that carry the same work alone."""

from dataclasses import replace

import pytest

from heterofleet.planning import allinlarge, plan
from unit.planning.situations import LOST, large, load, situation, small, spec


def test_a_mixed_fleet_saves_the_price_of_the_large_instances_that_it_does_without():
    # 1,000 work tokens/s: ten large ones of 8 GPUs at 2 USD are 160 USD/h; 1 large and 9 small ones are 34.
    seen = situation(spec(), large=large(1), small=small(9), plan=load(100), act=load(900))
    made = replace(plan.plan(seen), usd_per_hour=34.0)
    assert allinlarge.saving(seen, made) == pytest.approx(1 - 34 / 160)


def test_nothing_is_said_of_a_load_or_a_price_that_is_not_known():
    fleet = spec()
    seen = situation(fleet, large=large(1), small=small(9), plan=load(100), act=LOST)
    assert allinlarge.saving(seen, plan.plan(seen)) is None
    unpriced = situation(fleet, large=large(1, usd_per_gpu_hour=None), small=small(9), plan=load(100), act=load(900))
    assert allinlarge.saving(unpriced, plan.plan(unpriced)) is None


def test_minima_and_warm_instances_count_on_the_other_side_too():
    fleet = spec(large={"min": 2, "warm": 1})
    seen = situation(fleet, large=large(2), small=small(1), plan=load(10), act=load(10))
    made = replace(plan.plan(seen), usd_per_hour=50.0)
    assert allinlarge.saving(seen, made) == pytest.approx(1 - 50 / 48)
