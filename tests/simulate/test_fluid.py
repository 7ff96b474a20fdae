"""The fluid of a fleet: what is held, ready, late and waiting, by hand; and the oracle, by trying everything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heterofleet.api.labels import Tier
from heterofleet.simulate import oracle
from heterofleet.simulate.fluid import Fleet, Independent, Load, Pool, Run, Seen, run


@dataclass
class Script:
    """Counts as they are written down, and what was seen before each."""

    counts: Sequence[int]
    seen: list[Seen] = field(default_factory=list)

    def decide(self, seen: Seen) -> int:
        self.seen.append(seen)
        return self.counts[seen.minute]


@dataclass(frozen=True)
class Always:
    counts: Mapping[Tier, int]

    def decide(self, fleet: Fleet) -> Mapping[Tier, int]:
        del fleet
        return self.counts


def alone(work: Sequence[float], pool: Pool, counts: Sequence[int], seen: Sequence[bool] | None = None) -> Run:
    known = {} if seen is None else {Tier.LARGE: np.array(seen)}
    load = Load({Tier.LARGE: np.array(work, dtype=float)}, known)
    return run(load, {Tier.LARGE: pool}, Independent({Tier.LARGE: Script(counts)}))


def test_an_instance_serves_after_its_start_up_and_costs_from_its_order() -> None:
    made = alone([10, 10, 10, 10, 10], Pool(10.0, startup_minutes=2), [2, 2, 2, 2, 2])
    track = made.tracks[Tier.LARGE]
    assert track.ready.tolist() == [1, 1, 1, 2, 2]
    assert track.booting.tolist() == [0, 1, 1, 0, 0]
    assert made.gpu_hours == pytest.approx((1 + 2 + 2 + 2 + 2) / 60)


def test_what_drains_costs_until_it_is_gone_and_serves_nothing() -> None:
    made = alone([20] * 5, Pool(10.0, 1, first=3, drain_minutes=2, gpus=4), [1, 1, 1, 1, 1])
    track = made.tracks[Tier.LARGE]
    assert (track.ready.tolist(), track.draining.tolist()) == ([3, 1, 1, 1, 1], [0, 2, 2, 0, 0])
    assert made.gpu_hours == pytest.approx(4 * (3 + 3 + 3 + 1 + 1) / 60)


def test_what_still_starts_is_cancelled_before_what_serves() -> None:
    track = alone([5] * 4, Pool(10.0, 3, first=1), [3, 1, 1, 1]).tracks[Tier.LARGE]
    assert (track.ready.tolist(), track.booting.tolist()) == ([1, 1, 1, 1], [0, 2, 0, 0])


def test_a_minute_violates_when_the_work_that_arrives_is_more_than_what_is_ready_carries() -> None:
    made = alone([10, 15, 4, 4], Pool(10.0, 1), [1, 1, 1, 1])
    assert made.tracks[Tier.LARGE].violating.tolist() == [False, True, False, False]
    assert made.violating_share == 0.25
    assert made.violating_work_share == pytest.approx(5 / 33)
    assert made.within_objective == pytest.approx(28)


def test_what_waits_is_served_first_and_delays_what_comes_after() -> None:
    made = alone([10, 25, 10, 0, 0], Pool(10.0, 1), [1] * 5)
    assert made.tracks[Tier.LARGE].waiting.tolist() == [0, 15, 15, 5, 0]
    assert made.tracks[Tier.LARGE].delay_minutes().tolist() == [0, 2, 2, 1, 0]
    assert made.delay_minutes(0.2) == 0
    assert made.delay_minutes(0.99) == 2


def test_a_part_of_the_minutes_is_judged_by_itself() -> None:
    made = alone([15, 5, 15, 5], Pool(10.0, 1), [1, 1, 1, 1]).within(slice(2, 4))
    assert [made.violating_share, made.gpu_hours] == pytest.approx([0.5, 2 / 60])


def test_a_policy_is_not_told_a_zero_where_telemetry_is_missing() -> None:
    script = Script([1, 1])
    load = Load({Tier.LARGE: np.array([7.0, 0.0])}, {Tier.LARGE: np.array([True, False])})
    run(load, {Tier.LARGE: Pool(10.0, 1)}, Independent({Tier.LARGE: script}))
    assert [seen.arrived for seen in script.seen] == [7.0, None]


def joint(spill_over: bool, gpu_budget: int | None = None, escalation_rate: float = 0.0) -> Run:
    load = Load({Tier.LARGE: np.array([5.0, 5.0, 5.0]), Tier.SMALL: np.array([4.0, 14.0, 30.0])}, {}, escalation_rate)
    pools = {Tier.LARGE: Pool(10.0, 5, gpus=4), Tier.SMALL: Pool(10.0, 1)}
    return run(load, pools, Always({Tier.LARGE: 2, Tier.SMALL: 2}), spill_over=spill_over, gpu_budget=gpu_budget)


def test_idle_large_instances_take_what_the_small_tier_cannot_carry() -> None:
    apart, together = joint(spill_over=False), joint(spill_over=True)
    assert apart.tracks[Tier.SMALL].violating.tolist() == [False, True, True]
    assert together.tracks[Tier.SMALL].violating.tolist() == [False, False, True]
    assert together.tracks[Tier.SMALL].within.tolist() == [4.0, 14.0, 25.0]
    assert together.tracks[Tier.SMALL].waiting.tolist() == [0.0, 0.0, 5.0]


def test_no_instance_starts_without_free_gpus() -> None:
    assert _gpus(joint(spill_over=False, gpu_budget=6)) == [5, 6, 6]


def _gpus(made: Run) -> list[int]:
    held = [track.held * track.gpus for track in made.tracks.values()]
    return [int(gpus) for gpus in np.sum(held, axis=0)]


def test_escalated_work_arrives_at_the_large_tier_beside_its_own() -> None:
    made = joint(spill_over=False, escalation_rate=0.5)
    assert made.tracks[Tier.LARGE].arrived.tolist() == [7.0, 12.0, 20.0]
    assert made.tracks[Tier.SMALL].arrived.tolist() == [4.0, 14.0, 30.0]


works = st.lists(st.integers(0, 3), min_size=1, max_size=7)


@settings(max_examples=60, deadline=None)
@given(work=works, startup=st.integers(0, 2), drain=st.integers(0, 1))
def test_nobody_does_better_than_the_oracle(work: list[int], startup: int, drain: int) -> None:
    """Every sequence of counts is tried; those without a violation cost at least as much."""
    pool = Pool(1.0, startup, drain_minutes=drain)
    known = oracle.schedule(np.array(work, dtype=float), pool)
    best = _held_by_oracle(work, pool)
    assert not best.tracks[Tier.LARGE].violating.any()
    assert best.tracks[Tier.LARGE].ready.tolist()[0] + best.tracks[Tier.LARGE].booting.tolist()[0] == known[0]
    if len(work) > 4:
        return
    for first, counts in product(range(max(work) + 1), product(range(max(work) + 1), repeat=len(work) - 1)):
        tried = alone(work, Pool(1.0, startup, first=first, drain_minutes=drain), [*counts, 0])
        assert tried.tracks[Tier.LARGE].violating.any() or tried.gpu_hours >= best.gpu_hours - 1e-9


def _held_by_oracle(work: Sequence[float], pool: Pool) -> Run:
    known = oracle.schedule(np.array(work, dtype=float), pool)
    own = Pool(pool.capacity, pool.startup_minutes, int(known[0]), pool.drain_minutes)
    load = Load({Tier.LARGE: np.array(work, dtype=float)})
    return run(load, {Tier.LARGE: own}, Independent({Tier.LARGE: oracle.Oracle(known)}))


def test_the_oracle_keeps_what_is_soon_needed_again_and_stops_what_is_not() -> None:
    pool = Pool(1.0, startup_minutes=2)
    assert oracle.schedule(np.array([1.0, 0, 0, 1, 0, 0, 0, 1]), pool).tolist() == [1, 1, 1, 1, 0, 1, 1, 1]
