"""What a fleet promises and may cost, as gauges."""

from typing import Any

from heterofleet.api.labels import FleetKey, Manifest
from heterofleet.control import gauges, promises

KEY = FleetKey("ns", "a")


def told(spec: Manifest) -> dict[str, dict[tuple[str, ...], float]]:
    """The values of each family by its labels, without the fleet's."""
    return {
        family.name.removeprefix(gauges.PREFIX): {
            tuple(value for name, value in sample.labels.items() if name not in ("namespace", "fleet")): sample.value
            for sample in family.samples
        }
        for family in promises.families({KEY: promises.of({"spec": spec})})
    }


def test_objectives_are_told_by_tier_with_the_weights_of_their_buckets():
    spec: dict[str, Any] = {
        "large": {"objective": {"ttftSeconds": 4, "interTokenSeconds": 0.1, "attainment": 0.95}},
        "small": {},
    }
    assert told(spec) == {
        "budget_usd_per_day": {},
        "budget_gpus": {},
        "objective_attainment": {("large",): 0.95, ("small",): 0.99},
        "objective_first_token_seconds": {("large",): 4, ("small",): 4},
        "objective_inter_token_seconds": {("large",): 0.1, ("small",): 0.1},
        "objective_first_token_weight": {
            (tier, le): share for tier in ("large", "small") for le, share in (("2.5", 0.4), ("5.0", 0.6))
        },
        "objective_inter_token_weight": {("large", "0.1"): 1.0, ("small", "0.1"): 1.0},
    }


def test_budgets_are_told_where_there_are_any():
    found = told({"budget": {"usdPerDay": 240}, "scaling": {"gpuBudget": 16}})
    assert (found["budget_usd_per_day"], found["budget_gpus"]) == ({(): 240}, {(): 16})


def test_a_spec_that_cannot_be_read_promises_nothing():
    assert promises.of({"spec": {"budget": {"usdPerDay": "much"}}}) == promises.NO_PROMISES
