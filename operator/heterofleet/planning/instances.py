"""Which instances of the large tier to create, keep, drain and delete (contracts.md, "Instances, revisions, upgrades").

Stands between the counts and `desired`: a count and what is observed go in, one verdict an instance comes out.

    counted   = live instances that are not draining + Failed and parked ones of the wanted revision
    leaving   = live instances of another revision, or on cordoned nodes (at most `max_evacuating`, drains included)
    deficit   = wanted - counted            -> Create, as far as GPUs allow
    surplus   = counted - wanted            -> Drain or Delete, the least useful first
    leaving   -> one at a time: Create its successor first where GPUs are spare, else Drain it first, and the last
                 serving instance of a tier only with `allow_outage` (or when an evacuation is overdue)

Every step is decided from what is observed alone, so a decision that was cut off half-way is simply made again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    CREATE = "Create"
    KEEP = "Keep"
    DRAIN = "Drain"
    DELETE = "Delete"


class Hold(StrEnum):
    """Why the tier is not, or not yet, as it is wanted."""

    GPUS = "waits for GPUs"
    OUTAGE = "the last serving instance would go"
    STUCK = "the new revision does not become ready"
    EVACUATION = "an evacuation waits for GPUs"


@dataclass(frozen=True, slots=True)
class ObservedInstance:
    """What is known of one index.

    `serving`: all ranks are ready and requests may come. `started`: it was serving before, or still can be.
    `draining`: its drain has begun; `drained`: the proof is there or the deadline has passed.
    `lost`: a rank's node is gone, or the group could not be placed whole in time; it is abandoned without a drain.
    `going`: its StatefulSet is deleted but pods are left. `in_flight`: requests it holds, None when unreadable.
    `leaving_node`: it must move, and `overdue` when it has waited long enough. `late`: it has not begun to serve in
    the time that a start may take. `parked`: removed, since its pods did not all find a place, and `due` to come back.
    """

    index: int
    revision: str
    serving: bool = False
    failed: bool = False
    lost: bool = False
    going: bool = False
    draining: bool = False
    drained: bool = False
    leaving_node: bool = False
    overdue: bool = False
    late: bool = False
    parked: bool = False
    due: bool = False
    scheduled: bool = True
    in_flight: int | None = 0

    @property
    def live(self) -> bool:
        """It exists and is meant to stay until somebody decides otherwise."""
        return not (self.failed or self.lost or self.going or self.draining or self.parked)


@dataclass(frozen=True, slots=True)
class Instance:
    """The verdict on one index."""

    index: int
    revision: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Room:
    """How many more instances may be created now, and why not more.

    `creatable` is the smaller of what the GPU budget leaves and, for Fixed capacity, of the whole groups that fit
    on the nodes now.
    """

    creatable: int


@dataclass(frozen=True, slots=True)
class Policy:
    revision: str
    allow_outage: bool = False
    max_evacuating: int = 1


@dataclass(frozen=True, slots=True)
class TierPlan:
    """One verdict for every observed index and every new one, and what holds the tier back."""

    instances: tuple[Instance, ...]
    holds: frozenset[Hold] = frozenset()

    def of(self, verdict: Verdict) -> tuple[Instance, ...]:
        return tuple(instance for instance in self.instances if instance.verdict is verdict)


def plan(wanted: int, observed: Sequence[ObservedInstance], room: Room, policy: Policy) -> TierPlan:
    """The next step of a tier towards `wanted` instances of `policy.revision`."""
    verdicts = {instance.index: _unasked(instance, policy) for instance in observed}
    live = [instance for instance in observed if instance.live]
    failed = [i for i in observed if i.failed and verdicts[i.index] is Verdict.KEEP]
    parked = [i for i in observed if i.parked and verdicts[i.index] is Verdict.KEEP]
    evacuating = sum(instance.draining and instance.leaving_node for instance in observed)
    leaving = _leaving(live, policy, max(0, policy.max_evacuating - evacuating))
    staying = [instance for instance in live if instance not in leaving]

    holds: set[Hold] = set()
    creations: list[int] = []
    deficit = wanted - len(live) - len(failed) - len(parked)
    if deficit < 0 and not leaving:
        superfluous = _victims([*failed, *parked])[:-deficit]
        verdicts.update({instance.index: Verdict.DELETE for instance in superfluous})
        deficit += len(superfluous)
        failed = [i for i in failed if i not in superfluous]
        parked = [i for i in parked if i not in superfluous]
    due = [instance.index for instance in parked if instance.due]
    if deficit > 0 or due:
        affordable = max(0, min(len(due) + max(0, deficit), room.creatable))
        creations = [*due, *_free_indexes(observed, max(0, deficit))][:affordable]
        if affordable < len(due) + max(0, deficit):
            holds.add(Hold.GPUS)
    elif leaving:
        step = _replacement(
            wanted, leaving=leaving, staying=staying, failed=[*failed, *parked], room=room, policy=policy
        )
        verdicts.update(step.verdicts)
        creations = _free_indexes(observed, step.creations)
        holds |= step.holds
    elif deficit < 0:
        verdicts.update({victim.index: _farewell(victim) for victim in _victims(live)[:-deficit]})
    if leaving and any(instance.late and not instance.serving for instance in staying):
        holds.add(Hold.STUCK)

    kept = (Instance(i.index, i.revision, verdicts[i.index]) for i in observed if i.index not in creations)
    created = (Instance(index, policy.revision, Verdict.CREATE) for index in creations)
    return TierPlan((*kept, *created), frozenset(holds))


def _unasked(instance: ObservedInstance, policy: Policy) -> Verdict:
    """What becomes of an instance whatever the count is."""
    if instance.draining and not (instance.drained or instance.lost):
        return Verdict.DRAIN
    outdated = (instance.failed or instance.parked) and instance.revision != policy.revision
    over = instance.lost or instance.draining or instance.going
    return Verdict.DELETE if over or outdated else Verdict.KEEP


@dataclass(frozen=True, slots=True)
class _Step:
    verdicts: dict[int, Verdict]
    creations: int = 0
    holds: frozenset[Hold] = frozenset()


def _replacement(
    wanted: int,
    *,
    leaving: Sequence[ObservedInstance],
    staying: Sequence[ObservedInstance],
    failed: Sequence[ObservedInstance],
    room: Room,
    policy: Policy,
) -> _Step:
    """One step of moving the tier off `leaving`, when no instance is missing."""
    useless = [i for i in leaving if not i.serving and _may_go(i, room, policy)]
    if useless:
        # It answers nobody, so it costs nothing to take it first: a mended spec heals a broken tier at once.
        return _Step({instance.index: Verdict.DELETE for instance in useless})
    surplus = len(leaving) + len(staying) - wanted
    serving_elsewhere = sum(instance.serving for instance in staying)
    if surplus > 0 and serving_elsewhere >= wanted:
        return _Step({i.index: _farewell(i) for i in _victims(leaving)[:surplus]})
    if any(not instance.serving for instance in staying):
        return _Step({})  # the last successor is still starting: one at a time
    if surplus > 0:
        return _Step({i.index: _farewell(i) for i in _victims(leaving)[:surplus]})
    if any(instance.revision != policy.revision for instance in leaving) and failed:
        return _Step({}, holds=frozenset({Hold.STUCK}))
    if room.creatable > 0:
        return _Step({}, creations=1)
    return _drain_first(leaving, serving_elsewhere, policy)


def _may_go(instance: ObservedInstance, room: Room, policy: Policy) -> bool:
    """A group that still starts on a cordoned node stays until there is another place for it."""
    return instance.revision != policy.revision or room.creatable > 0 or instance.overdue


def _drain_first(leaving: Sequence[ObservedInstance], serving_elsewhere: int, policy: Policy) -> _Step:
    """No GPUs are spare: one goes before its successor comes, if the tier goes on answering without it."""
    rolls = [instance for instance in leaving if instance.revision != policy.revision]
    overdue = [instance for instance in leaving if instance.overdue]
    serving = serving_elsewhere + sum(instance.serving for instance in leaving)
    if rolls and (serving > 1 or policy.allow_outage):
        return _Step({_victims(rolls)[0].index: Verdict.DRAIN})
    if overdue:
        return _Step({_victims(overdue)[0].index: Verdict.DRAIN})
    hold = Hold.OUTAGE if rolls else Hold.EVACUATION
    return _Step({}, holds=frozenset({hold}))


def _leaving(live: Sequence[ObservedInstance], policy: Policy, evacuations: int) -> list[ObservedInstance]:
    rolls = [instance for instance in live if instance.revision != policy.revision]
    moving = [i for i in live if i.revision == policy.revision and i.leaving_node]
    # Those that wait longest go first; a group that does not serve has nothing to protect.
    moving.sort(key=lambda i: (i.serving, not i.overdue, i.index))
    return [*rolls, *moving[:evacuations]]


def _victims(candidates: Iterable[ObservedInstance]) -> list[ObservedInstance]:
    """The least useful first: failed, unplaced, not serving, about to move, with the least work, the youngest."""
    return sorted(
        candidates,
        key=lambda i: (
            not i.failed,
            i.scheduled,
            i.serving,
            not i.leaving_node,
            i.in_flight if i.in_flight is not None else float("inf"),
            -i.index,
        ),
    )


def _farewell(victim: ObservedInstance) -> Verdict:
    return Verdict.DRAIN if victim.serving else Verdict.DELETE


def _free_indexes(observed: Iterable[ObservedInstance], count: int) -> list[int]:
    """The lowest indexes that nothing carries: an index is never reused while anything of the old one exists."""
    taken = {instance.index for instance in observed}
    free: list[int] = []
    candidate = 0
    while len(free) < count:
        if candidate not in taken:
            free.append(candidate)
        candidate += 1
    return free
