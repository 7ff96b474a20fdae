"""One fleet under one trace: what its policies hold, what is late, and that a run is the same each time."""

import numpy as np
import pytest

from heterofleet.api.labels import Tier
from heterofleet.api.planned import Bound
from heterofleet.api.v1alpha1 import FleetSpec
from heterofleet.simulate import policies, study
from heterofleet.simulate.policies import Choice, Kind, UnknownPolicy
from heterofleet.simulate.study import Wanted
from heterofleet.simulate.trace import Trace
from simulate import cases

PLANNED, ORACLE = Choice(Kind.PLANNED), Choice(Kind.ORACLE)


def nothing(_: float) -> None: ...


def test_the_trace_is_scaled_to_the_mean_that_was_asked_for() -> None:
    case = cases.usual()
    means = {tier: case.load.arriving[tier].mean() / pool.capacity for tier, pool in case.pools.items()}
    assert means == pytest.approx({Tier.LARGE: 6, Tier.SMALL: 6})
    assert (case.pools[Tier.LARGE].startup_minutes, case.pools[Tier.SMALL].startup_minutes) == (5, 1)


def test_the_product_follows_the_load_and_tells_each_decision() -> None:
    outcome = cases.outcome("planned")
    assert outcome.story is not None
    for tier, track in outcome.run.tracks.items():
        counts = track.ready + track.booting
        assert counts.max() > 1.5 * counts.min()
        changes = [each for each in outcome.story.decisions if each.tier is tier]
        assert [each.before for each in changes[1:]] == [each.after for each in changes[:-1]]
        assert all(each.message for each in changes)
        assert len(outcome.story.reasons[tier]) == len(track.ready)
        assert np.isfinite(outcome.story.foreseen[tier].upper).all()


def bounded(large: int, small: int) -> FleetSpec:
    """The usual fleet with other maxima."""
    fleet = cases.spec()
    most = {"large": (fleet.large, large), "small": (fleet.small, small)}
    return fleet.model_copy(
        update={
            name: tier.model_copy(update={"instances": tier.instances.model_copy(update={"max": count})})
            for name, (tier, count) in most.items()
        }
    )


def test_peers_tell_no_story_and_bounds_hold_for_all_but_the_references() -> None:
    case = cases.case(bounded(4, 4), cases.trace())
    for choice in policies.DEFAULT:
        outcome = study.play(case, choice, nothing)
        most = max(int((track.ready + track.booting).max()) for track in outcome.run.tracks.values())
        assert (most <= 4) is choice.bounded
        assert (outcome.story is None) is (choice.kind is not Kind.PLANNED)


def test_a_gpu_budget_is_never_exceeded() -> None:
    case = cases.case(cases.spec(gpuBudget=48), cases.trace())
    for choice in policies.DEFAULT:
        run = study.play(case, choice, nothing).run
        held = np.sum([track.held * track.gpus for track in run.tracks.values()], axis=0)
        assert choice.kind in (Kind.ORACLE, Kind.STATIC_PEAK) or held.max() <= 48


def test_the_oracle_violates_nothing_and_nobody_else_who_violates_nothing_holds_less() -> None:
    runs = {outcome.choice.kind: outcome.run for outcome in cases.outcomes()}
    assert runs[Kind.ORACLE].violating_share == runs[Kind.STATIC_PEAK].violating_share == 0
    without = [run.gpu_hours for run in runs.values() if run.violating_share == 0]
    assert min(without) == runs[Kind.ORACLE].gpu_hours


def test_the_same_case_gives_the_same_outcome_in_every_bit() -> None:
    again = study.play(cases.case(cases.spec(), cases.trace()), PLANNED, nothing)
    known = cases.outcome("planned")
    assert again.met == known.met
    assert again.story is not None
    assert known.story is not None
    assert again.story.decisions == known.story.decisions
    for tier, track in again.run.tracks.items():
        assert (track.held == known.run.tracks[tier].held).all()


def test_minutes_that_are_not_known_hold_the_plan_and_are_never_zero() -> None:
    requests = np.full(240, 1000.0)
    requests[120:140] = np.nan
    case = cases.case(cases.spec(), cases.trace(requests))
    outcome = study.play(case, PLANNED, nothing)
    assert outcome.story is not None
    track = outcome.run.tracks[Tier.LARGE]
    assert (track.ready[120:140] >= track.ready[119]).all()
    assert Bound.METRICS_LOST in outcome.story.reasons[Tier.LARGE][120:140]


def test_progress_is_told_up_to_the_end() -> None:
    told: list[float] = []
    study.play(cases.usual(), ORACLE, told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_work_that_idle_large_instances_took_is_told_apart() -> None:
    case = cases.case(bounded(40, 2), cases.trace())
    run = study.play(case, Choice(Kind.STATIC_PEAK), nothing).run
    assert study.spilled_work(case, run).tolist() == [0.0] * 240
    run = study.play(case, Choice(Kind.HPA, 50), nothing).run
    spilled, large = study.spilled_work(case, run), run.tracks[Tier.LARGE]
    assert spilled.max() > 0
    spare = large.ready * case.pools[Tier.LARGE].capacity - large.served
    assert (spilled <= spare + 1e-6).all()


def test_escalations_are_more_work_of_the_large_tier() -> None:
    wanted = Wanted(mean_instances=6, escalation_rate=0.1)
    case = study.prepare(cases.spec(), cases.trace(), cases.ENGINES, wanted, nothing)
    more, without = study.play(case, PLANNED, nothing).run, cases.outcome("planned").run
    assert more.tracks[Tier.LARGE].arrived.sum() > without.tracks[Tier.LARGE].arrived.sum()
    assert more.gpu_hours > without.gpu_hours


def test_a_trace_shorter_than_a_start_up_can_be_replayed() -> None:
    short: Trace = cases.trace(np.full(2, 500.0))
    fleet: FleetSpec = cases.spec()
    for choice in policies.DEFAULT:
        assert study.play(cases.case(fleet, short), choice, nothing).run.gpu_hours > 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("planned", "planned"),
        ("hpa, hpa:70,hpa:70", "hpa:70"),
        ("queue:55,oracle", "queue:55 oracle"),
        ("static-peak,last-value", "static-peak last-value"),
    ],
)
def test_policies_are_chosen_by_name_each_once(text: str, expected: str) -> None:
    assert " ".join(map(str, policies.chosen(text))) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no policy is named: choose from planned, static-peak, hpa:PERCENT, queue:PERCENT, last-value, oracle"),
        ("hpb", "no policy 'hpb'; choose from planned"),
        ("hpa:0", "hpa:0: a target is a whole number of percent from 1 to 100: write hpa:70"),
        ("hpa:7O", "write hpa:70"),
        ("oracle:5", "policy oracle has no target: write oracle"),
    ],
)
def test_a_wrong_policy_is_refused_with_what_to_write(text: str, sentence: str) -> None:
    with pytest.raises(UnknownPolicy) as refused:
        policies.chosen(text)
    assert sentence in str(refused.value)
