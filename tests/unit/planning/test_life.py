"""One group's failures are counted once, it is restarted as one, and in the end it is given up."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from heterofleet.api.conditions import InstanceState, InstanceStatus, LastExit
from heterofleet.api.tier import Lifecycle
from heterofleet.planning import life
from heterofleet.planning.life import Group, Rank

START = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Lifecycle()


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def crash(code: int, seconds: float, message: str = "") -> LastExit:
    return LastExit(pod="p", exit_code=code, reason="Error", message=message, at=at(seconds))


def group(*ranks: Rank, agree: bool | None = None) -> Group:
    return Group(0, "a" * 8, size=2, ranks=ranks, epochs_agree=agree)


def rank(index: int, *, restarts: int = 0, ready: bool = True, last_exit: LastExit | None = None) -> Rank:
    return Rank(f"uid-{index}", f"pod-{index}", index, restarts=restarts, ready=ready, last_exit=last_exit)


def seen(restarts: int = 0, failure: str = "uid-0/0", **facts: object) -> InstanceStatus:
    memory = InstanceStatus(index=0, revision="a" * 8, ranks=2, restarts=restarts, failure=failure, since=START)
    return memory.model_copy(update=facts)


def test_a_new_group_is_seen_without_a_failure():
    outcome = life.look(None, group(rank(0, ready=False), rank(1, ready=False)), LIMITS, at(0))
    assert (outcome.memory.state, outcome.memory.restarts, outcome.restart) == (InstanceState.STARTING, 0, False)


def test_a_failure_counts_once_whoever_healed_it():
    broken = group(rank(0, restarts=1, ready=False, last_exit=crash(90, 1)), rank(1, restarts=1, ready=False))
    once = life.look(seen(), broken, LIMITS, at(2)).memory
    twice = life.look(once, broken, LIMITS, at(3)).memory
    assert (once.restarts, twice.restarts) == (1, 1)
    replaced = group(Rank("uid-9", "pod-0", 0), rank(1))
    assert life.look(twice, replaced, LIMITS, at(4)).memory.restarts == 2


def test_the_cause_is_the_rank_that_died_of_itself():
    follower = crash(90, 5, "a rank of the group restarted")
    cause = crash(137, 6, "CUDA out of memory")
    broken = group(rank(0, restarts=1, ready=False, last_exit=follower), rank(1, restarts=1, last_exit=cause))
    assert life.look(seen(), broken, LIMITS, at(7)).memory.last_exit == cause


def test_ranks_that_agree_again_are_left_alone():
    loading = group(rank(0, restarts=1, ready=False, last_exit=crash(1, 0)), rank(1, ready=False), agree=True)
    assert not life.look(seen(1, "uid-0/1"), loading, LIMITS, at(600)).restart


def test_ranks_that_do_not_agree_after_a_minute_are_restarted_as_one():
    split = group(rank(0, ready=False), rank(1, restarts=1, ready=False, last_exit=crash(1, 0)), agree=False)
    early = life.look(seen(), split, LIMITS, at(59))
    assert (early.restart, early.wake_at) == (False, at(60))
    assert life.look(seen(), split, LIMITS, at(60)).restart


def test_where_supervisors_are_silent_the_start_times_tell_whether_the_ranks_are_split():
    exited = replace(rank(1, ready=False, last_exit=crash(1, 0)), started_at=at(1))
    healed = replace(rank(0, ready=False, last_exit=crash(90, 2)), started_at=at(3))
    assert not life.look(seen(), group(healed, exited), LIMITS, at(600)).restart
    unaware = replace(rank(0, ready=False), started_at=at(-900))
    assert life.look(seen(), group(unaware, exited), LIMITS, at(600)).restart


def test_a_rank_that_exits_while_its_group_drains_is_no_failure():
    leaving = replace(group(rank(0, restarts=9, ready=False, last_exit=crash(1, 0)), rank(1)), draining=True)
    memory = life.look(seen(5), leaving, LIMITS, at(1)).memory
    assert (memory.state, memory.restarts) == (InstanceState.DRAINING, 5)


def test_a_group_without_places_is_parked_when_its_time_is_up_and_each_time_for_longer():
    pending = replace(rank(1, ready=False), scheduled=False, unschedulable=True)
    unplaced = replace(group(rank(0, ready=False), pending), place_within=timedelta(seconds=600))
    early = life.look(seen(), unplaced, LIMITS, at(599))
    assert (early.memory.state, life.is_parked(early.memory), early.wake_at) == (
        InstanceState.WAITING, False, at(600),
    )  # fmt: skip
    first = life.look(early.memory, unplaced, LIMITS, at(600)).memory
    assert (life.is_parked(first), first.unplaced, first.retry_at) == (True, 1, at(610))
    again = first.model_copy(update={"state": InstanceState.CREATING, "retry_at": None, "since": at(610)})
    second = life.look(again, unplaced, LIMITS, at(1210)).memory
    assert (second.unplaced, second.retry_at) == (2, at(1230))
    placed = replace(group(rank(0, ready=False), rank(1, ready=False)), place_within=timedelta(seconds=600))
    assert life.look(second, placed, LIMITS, at(1400)).memory.unplaced == 0


def test_later_restarts_wait_longer():
    assert [life.backoff_seconds(n) for n in range(9)] == [0, 0, 10, 20, 40, 80, 160, 300, 300]
    split = group(rank(0, restarts=2, ready=False, last_exit=crash(1, 0)), rank(1, ready=False), agree=False)
    waiting = life.look(seen(2, "uid-0/2"), split, LIMITS, at(60))
    assert (waiting.restart, waiting.memory.retry_at) == (False, at(70))
    assert life.look(waiting.memory, split, LIMITS, at(70)).restart


def test_a_group_that_fails_too_often_is_given_up_with_its_cause():
    cause = crash(137, 1, "CUDA out of memory")
    broken = group(rank(0, restarts=6, ready=False, last_exit=cause), rank(1, ready=False))
    memory = life.look(seen(5, "uid-0/5"), broken, LIMITS, at(2)).memory
    assert (memory.state, memory.restarts, memory.last_exit) == (InstanceState.FAILED, 6, cause)


def test_a_long_time_ready_forgets_the_failures():
    steady = group(rank(0, restarts=3), rank(1))
    known = seen(3, "uid-0/3", state=InstanceState.READY)
    early = life.look(known, steady, LIMITS, at(3599))
    assert (early.memory.restarts, early.wake_at) == (3, at(3600))
    assert life.look(known, steady, LIMITS, at(3600)).memory.restarts == 0


def test_a_group_on_a_lost_node_is_lost():
    broken = group(rank(0), Rank("uid-1", "pod-1", 1, node_lost=True))
    assert life.look(seen(), broken, LIMITS, at(1)).memory.state is InstanceState.LOST


def test_only_a_whole_group_that_is_not_up_is_asked_for_its_epochs():
    exited = rank(1, restarts=1, ready=False, last_exit=crash(1, 0))
    assert life.suspects_split(group(rank(0), exited), at(60))
    assert not life.suspects_split(group(rank(0), exited), at(59))
    assert not life.suspects_split(group(rank(0)), at(600))
    assert not life.suspects_split(group(rank(0), rank(1, last_exit=crash(1, 0))), at(600))
