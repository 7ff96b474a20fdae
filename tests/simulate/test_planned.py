"""The product in the fluid: the operator's own forecast and plan, within the bounds of its fleet."""

from typing import Any

import numpy as np
import pytest

from heterofleet.api.labels import Tier
from heterofleet.api.v1alpha1 import FleetSpec
from heterofleet.planning import plan
from heterofleet.planning.series import DAY
from heterofleet.simulate.fluid import Load, Pool, Run, run
from heterofleet.simulate.planned import Planned, Unforeseen, window_seconds

POOLS = {Tier.LARGE: Pool(600.0, 5, first=4, gpus=4), Tier.SMALL: Pool(600.0, 1, first=4)}


def spec(**scaling: Any) -> FleetSpec:
    return FleetSpec.model_validate(
        {
            "large": {
                "model": {"source": "hf://Qwen/Qwen3-235B-A22B"},
                "parallelism": {"tensor": 4},
                "instances": {"min": 1, "max": 40},
            },
            "small": {"model": {"source": "hf://Qwen/Qwen3-4B"}, "instances": {"min": 1, "max": 40}},
            "scaling": scaling,
        }
    )


def load(minutes: int = 2 * DAY) -> Load:
    """Both tiers' work rises and falls between one and nine instances within the day, in turn."""
    angle = 2 * np.pi * np.arange(minutes) / DAY
    return Load({Tier.LARGE: 600.0 * (5 - 4 * np.cos(angle)), Tier.SMALL: 600.0 * (5 + 4 * np.cos(angle))})


def played(**scaling: Any) -> Run:
    fleet = spec(**scaling)
    return run(load(), POOLS, Planned(fleet, POOLS), spill_over=fleet.scaling.spill_over)


def test_a_load_that_comes_and_goes_is_followed_without_a_violating_minute_after_the_first_day() -> None:
    made = played().within(slice(DAY, None))
    assert made.violating_share < 0.01
    assert made.gpu_hours < 1.2 * 24 * 5 * (4 + 1)


def test_no_minute_holds_more_gpus_than_the_budget() -> None:
    made = played(gpuBudget=24)
    held = np.sum([track.held * track.gpus for track in made.tracks.values()], axis=0)
    assert held.max() <= 24


def test_what_is_decided_is_what_the_operator_would_plan() -> None:
    policy = Planned(spec(), POOLS)
    run(load(90), POOLS, policy)
    assert policy.situation is not None
    assert plan.plan(policy.situation) == policy.last


def test_the_window_is_the_start_up_and_the_time_until_the_next_plan() -> None:
    assert window_seconds(POOLS[Tier.LARGE], spec(intervalSeconds=30)) == 330.0


def test_while_telemetry_is_missing_no_count_falls() -> None:
    work = load(DAY)
    seen = np.ones(DAY, dtype=np.bool_)
    seen[900:] = False
    gapped = Load(
        {tier: np.where(seen, series, 0.0) for tier, series in work.arriving.items()}, dict.fromkeys(Tier, seen)
    )
    made = run(gapped, POOLS, Planned(spec(), POOLS))
    for track in made.tracks.values():
        assert (np.diff(track.ready[905:]) >= 0).all()


def test_without_foresight_a_rising_load_violates() -> None:
    made = run(load(DAY), POOLS, Planned(spec(spillOver=False), POOLS, Unforeseen()))
    assert made.violating_share > 0.02


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_escalated_work_is_planned_for_and_never_taken_for_the_plan_class(rate: float) -> None:
    work = Load({Tier.LARGE: np.full(200, 600.0), Tier.SMALL: np.full(200, 1200.0)}, {}, rate)
    policy = Planned(spec(spillOver=False), POOLS, escalation_rate=rate)
    made = run(work, POOLS, policy)
    assert policy.situation is not None
    assert [item.offered for item in policy.situation.loads.values()] == [10.0, 20.0]
    assert made.tracks[Tier.LARGE].violating.any() == np.False_
