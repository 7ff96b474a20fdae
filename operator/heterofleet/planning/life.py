"""The life of one group: what counts as a failure, when it is restarted as one, when it is given up.

Stands before `instances`: facts of a group's pods and the memory kept in status go in, the new memory and at most
one order come out (contracts.md, "Life of a group"). The supervisors heal a group by themselves; what is decided
here is the second line and the bookkeeping:

    a failure counts once   by the leader's (pod UID, restart count), whoever healed it
    restart as one          when the ranks have not agreed on their start epochs AGREEMENT_SECONDS after an exit;
                            the first at once, the k-th after min(300, 10 * 2^(k-2)) seconds
    given up (Failed)       after `maxGroupRestarts` counted failures; the count is reset by a long enough time Ready
    parked                  when its pods have not all found a place in `gangTimeoutSeconds` (Elastic capacity): it is
                            removed and comes back after 10 s doubling to 300 s
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from heterofleet.api.conditions import InstanceState, InstanceStatus, LastExit
from heterofleet.api.tier import Lifecycle
from heterofleet.planning import termination

AGREEMENT_SECONDS = 60
FIRST_BACKOFF_SECONDS = 10
LONGEST_BACKOFF_SECONDS = 300
MESSAGE_LENGTH = 512
"""How much of the last lines of a process goes into status."""


@dataclass(frozen=True, slots=True)
class Rank:
    """One pod of a group, as its container state tells."""

    uid: str
    pod: str
    index: int
    restarts: int = 0
    ready: bool = False
    scheduled: bool = True
    unschedulable: bool = False
    deleting: bool = False
    started_at: datetime | None = None
    last_exit: LastExit | None = None
    node_lost: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """One instance of the large tier as it is now.

    `epochs_agree` is what its supervisors say, None if they were not asked or are silent. `place_within` is how
    long its pods may look for their places, if that is bounded.
    """

    index: int
    revision: str
    size: int
    ranks: tuple[Rank, ...]
    draining: bool = False
    epochs_agree: bool | None = None
    place_within: timedelta | None = None

    @property
    def leader(self) -> Rank | None:
        return next((rank for rank in self.ranks if rank.index == 0 and not rank.deleting), None)

    @property
    def whole(self) -> bool:
        return len(self.ranks) == self.size and not any(rank.deleting for rank in self.ranks)

    @property
    def scheduled(self) -> bool:
        return self.whole and all(rank.scheduled for rank in self.ranks)

    @property
    def serving(self) -> bool:
        return self.whole and all(rank.ready for rank in self.ranks)

    @property
    def ready_ranks(self) -> int:
        return sum(rank.ready and not rank.deleting for rank in self.ranks)


@dataclass(frozen=True, slots=True)
class Life:
    """The group's memory after this look, an order to delete its pods as one, and when to look again."""

    memory: InstanceStatus
    restart: bool = False
    wake_at: datetime | None = None


def look(memory: InstanceStatus | None, group: Group, limits: Lifecycle, now: datetime) -> Life:
    """What has happened to a group since it was last looked at, and what is to be done."""
    now = now.replace(microsecond=0)  # What is remembered is compared with what was stored, in whole seconds.
    known = memory or InstanceStatus(index=group.index, revision=group.revision, ranks=group.size, since=now)
    known = _count_failure(known, group)
    if known.restarts > limits.max_group_restarts:
        return Life(_enter(known, InstanceState.FAILED, group, now))
    if any(rank.node_lost for rank in group.ranks):
        return Life(_enter(known, InstanceState.LOST, group, now))
    known = _enter(known, _state(known, group), group, now)
    if group.place_within is not None and not (group.scheduled or group.draining):
        place_by = (known.since or now) + group.place_within
        return Life(_parked(known, group, now)) if now >= place_by else Life(known, wake_at=place_by)
    if known.state is InstanceState.READY:
        return _reset_when_steady(known, limits, now)
    return _restart_when_split(known, group, now)


def is_parked(known: InstanceStatus) -> bool:
    """Whether an instance was removed for want of places, and comes back."""
    return known.state is InstanceState.WAITING and known.retry_at is not None


def _parked(known: InstanceStatus, group: Group, now: datetime) -> InstanceStatus:
    entered = _enter(known, InstanceState.WAITING, group, now)
    unplaced = known.unplaced + 1
    retry_at = now + timedelta(seconds=backoff_seconds(unplaced + 1))
    return entered.model_copy(update={"unplaced": unplaced, "retry_at": retry_at})


def backoff_seconds(restarts: int) -> int:
    """Delay before the operator restarts a group that has failed `restarts` times."""
    if restarts <= 1:
        return 0
    return int(min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** min(restarts - 2, 10)))


def suspects_split(group: Group, now: datetime) -> bool:
    """Whether its ranks are worth being asked for their epochs: one has exited a while ago, and the group is not up."""
    exited = _last_exit_at(group)
    return (
        exited is not None
        and not group.serving
        and group.whole
        and now >= exited + timedelta(seconds=AGREEMENT_SECONDS)
    )


def _count_failure(known: InstanceStatus, group: Group) -> InstanceStatus:
    leader = group.leader
    if leader is None or group.draining:
        return known
    key = f"{leader.uid}/{leader.restarts}"
    if key == known.failure:
        return known
    first_sight = not known.failure and leader.restarts == 0
    if first_sight:
        return known.model_copy(update={"failure": key})
    cause = first_cause(rank.last_exit for rank in group.ranks) or known.last_exit
    return known.model_copy(update={"failure": key, "restarts": known.restarts + 1, "last_exit": cause})


def first_cause(exits: Iterable[LastExit | None]) -> LastExit | None:
    """The exit that began it: the one with an error of its own, the earliest of these.

    Ranks that leave because a peer did, exit with codes of the supervisor's own, which explain nothing.
    """
    known = [e for e in exits if e is not None]
    if not known:
        return None
    causes = [e for e in known if e.exit_code not in FOLLOWING_EXIT_CODES] or known
    first = min(causes, key=lambda e: (e.at is None, e.at.timestamp() if e.at else 0.0, e.pod))
    return first.model_copy(update={"message": termination.kept(first.exit_code, first.message, MESSAGE_LENGTH)})


FOLLOWING_EXIT_CODES = frozenset({0, 90, 91, 92})
"""Exit codes with which a supervisor ends because of another rank (see heterofleet.supervisor)."""


def _state(known: InstanceStatus, group: Group) -> InstanceState:
    if group.draining:
        return InstanceState.DRAINING
    if group.serving:
        return InstanceState.READY
    if any(rank.unschedulable for rank in group.ranks):
        return InstanceState.WAITING
    if not group.scheduled:
        return InstanceState.RESTARTING if known.restarts else InstanceState.CREATING
    return InstanceState.RESTARTING if known.restarts else InstanceState.STARTING


def _enter(known: InstanceStatus, state: InstanceState, group: Group, now: datetime) -> InstanceStatus:
    # It looks for places from its creation on, whether the scheduler has told so or not.
    unplaced = {known.state, state} <= {InstanceState.CREATING, InstanceState.WAITING}
    changed = known.state is not state and not unplaced
    return known.model_copy(
        update={
            "state": state,
            "revision": group.revision,
            "ranks": group.size,
            "ready_ranks": 0 if state is InstanceState.FAILED else group.ready_ranks,
            "unplaced": 0 if group.scheduled else known.unplaced,
            "since": now if changed or known.since is None else known.since,
        }
    )


def _reset_when_steady(known: InstanceStatus, limits: Lifecycle, now: datetime) -> Life:
    if not known.restarts or known.since is None:
        return Life(known.model_copy(update={"retry_at": None}))
    steady_at = known.since + timedelta(seconds=limits.restart_reset_seconds)
    if now < steady_at:
        return Life(known.model_copy(update={"retry_at": None}), wake_at=steady_at)
    return Life(known.model_copy(update={"restarts": 0, "retry_at": None}))


def _restart_when_split(known: InstanceStatus, group: Group, now: datetime) -> Life:
    exited = _last_exit_at(group)
    if exited is None or not group.whole or group.draining:
        return Life(known)
    look_at = exited + timedelta(seconds=AGREEMENT_SECONDS)
    if now < look_at:
        return Life(known, wake_at=look_at)
    agree = _came_up_together(group) if group.epochs_agree is None else group.epochs_agree
    if agree:
        return Life(known.model_copy(update={"retry_at": None}), wake_at=now + timedelta(seconds=AGREEMENT_SECONDS))
    retry_at = known.retry_at or now + timedelta(seconds=backoff_seconds(known.restarts))
    if now < retry_at:
        return Life(known.model_copy(update={"retry_at": retry_at}), wake_at=retry_at)
    return Life(known.model_copy(update={"retry_at": None}), restart=True)


def _came_up_together(group: Group) -> bool:
    """What the container states tell where supervisors are silent: every rank has started since the exit that began it.

    One that still runs from before knows nothing of the others' new epochs.
    """
    last = _last_exit_at(group)
    if last is None:
        return True
    cascade = last - timedelta(seconds=AGREEMENT_SECONDS)
    exits = [rank.last_exit.at for rank in group.ranks if rank.last_exit and rank.last_exit.at]
    began = min(at for at in exits if at >= cascade)
    return all(rank.started_at is not None and rank.started_at >= began for rank in group.ranks)


def _last_exit_at(group: Group) -> datetime | None:
    times = [rank.last_exit.at for rank in group.ranks if rank.last_exit and rank.last_exit.at]
    return max(times, default=None)
