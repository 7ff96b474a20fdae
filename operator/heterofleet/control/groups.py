"""The large tier of one fleet: looks at every group, decides the next step, and begins drains and restarts.

Composes `planning.life` (one group) and `planning.instances` (all of them) over what is observed; what should exist
comes out as a value, which the reconcile renders and applies together with everything else.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from heterofleet.api import labels
from heterofleet.api.conditions import InstanceState, InstanceStatus, LastDrain
from heterofleet.api.labels import Tier
from heterofleet.api.placement import Capacity
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cluster.records import NodeRecord, PodRecord
from heterofleet.control import observe, tiers
from heterofleet.control.drain import Drains
from heterofleet.control.observe import FleetView
from heterofleet.desired.fleet import LargeInstance
from heterofleet.metrics.scrape import Engines
from heterofleet.planning import instances, life
from heterofleet.planning.instances import ObservedInstance, Policy, Room, TierPlan, Verdict
from heterofleet.planning.life import Group, Life


@dataclass(frozen=True)
class Groups:
    """The large tier as it was looked at."""

    lives: Mapping[int, Life]
    observed: tuple[ObservedInstance, ...]
    groups: Mapping[int, Group]
    proofs: Mapping[int, LastDrain]
    wake_at: datetime | None

    @property
    def serving(self) -> int:
        return sum(instance.serving and instance.live for instance in self.observed)

    @property
    def draining(self) -> int:
        return sum(instance.draining for instance in self.observed)

    def restarts(self) -> tuple[int, ...]:
        """Groups whose pods are to be deleted as one."""
        return tuple(index for index, seen in self.lives.items() if seen.restart)


class GroupKeeper:
    """Looks at the groups of fleets; remembers only what a restart of the operator may forget."""

    def __init__(self, engines: Engines, drains: Drains) -> None:
        self._engines = engines
        self._drains = drains
        self._cordoned: dict[str, datetime] = {}

    async def look(
        self, fleet: HeterogeneousDeployment, view: FleetView, nodes: Mapping[str, NodeRecord], now: datetime
    ) -> Groups:
        """Every index of the tier as `planning` sees it."""
        limits = fleet.spec.large.lifecycle
        memory = {known.index: known for known in fleet.status.large.instances}
        lives: dict[int, Life] = {}
        groups: dict[int, Group] = {}
        observed: list[ObservedInstance] = []
        proofs: dict[int, LastDrain] = {}
        for index in sorted({*view.groups, *view.large_pods, *view.leftovers, *_failed(memory.values())}):
            found = view.groups.get(index)
            known = memory.get(index)
            if known is not None and known.state is InstanceState.FAILED and not _is_retried(fleet, known):
                lives[index] = Life(known)
                observed.append(ObservedInstance(index, known.revision, failed=True))
                continue
            if found is None or found.deleting:
                if _exists(view, index):
                    observed.append(ObservedInstance(index, known.revision if known else "", going=True))
                continue
            seen = await self._group(index, view, nodes, fleet, now)
            groups[index] = seen
            fresh = known if known is not None and known.state is not InstanceState.FAILED else None
            lives[index] = life.look(fresh, seen, limits, now)
            if seen.draining and (proof := await self._proof(index, view, now)) is not None:
                proofs[index] = proof
            drained = index in proofs
            observed.append(self._observed(fleet, view, nodes, seen, lives[index], drained=drained, now=now))
        wakes = [seen.wake_at for seen in lives.values() if seen.wake_at is not None]
        return Groups(lives, tuple(observed), groups, proofs, min(wakes, default=None))

    async def _group(
        self,
        index: int,
        view: FleetView,
        nodes: Mapping[str, NodeRecord],
        fleet: HeterogeneousDeployment,
        now: datetime,
    ) -> Group:
        seen = observe.group(index, view, nodes, fleet.spec.large.lifecycle, now)
        if not life.suspects_split(seen, now):
            return seen
        addresses = tuple(pod.ip for pod in view.large_pods.get(index, ()) if pod.ip)
        return replace(seen, epochs_agree=await self._engines.epochs_agree(addresses))

    async def _proof(self, index: int, view: FleetView, now: datetime) -> LastDrain | None:
        leader = _leader(view, index)
        if leader is None:
            return LastDrain(instance=f"large-{index}", completed=now.replace(microsecond=0))
        return await self._drains.look(f"large-{index}", leader, view.router_pods, now)

    def _observed(
        self,
        fleet: HeterogeneousDeployment,
        view: FleetView,
        nodes: Mapping[str, NodeRecord],
        group: Group,
        seen: Life,
        *,
        drained: bool,
        now: datetime,
    ) -> ObservedInstance:
        index = group.index
        pods = view.large_pods.get(index, ())
        cordoned = [pod.node for pod in pods if observe.must_move(pod, nodes)]
        overdue = self._overdue(f"{view.groups[index].uid}", bool(cordoned), fleet, now)
        return ObservedInstance(
            index=index,
            revision=group.revision,
            serving=group.serving,
            failed=seen.memory.state is InstanceState.FAILED,
            lost=seen.memory.state is InstanceState.LOST or self._is_unplaceable(fleet, view, index, group, now),
            draining=group.draining or any(observe.is_marked(pod) for pod in pods),
            drained=drained,
            leaving_node=bool(cordoned),
            overdue=overdue,
            scheduled=group.scheduled,
        )

    def _overdue(self, uid: str, cordoned: bool, fleet: HeterogeneousDeployment, now: datetime) -> bool:
        if not cordoned:
            self._cordoned.pop(uid, None)
            return False
        since = self._cordoned.setdefault(uid, now)
        return now >= since + timedelta(seconds=fleet.spec.large.lifecycle.evacuate_after_seconds)

    @staticmethod
    def _is_unplaceable(
        fleet: HeterogeneousDeployment, view: FleetView, index: int, group: Group, now: datetime
    ) -> bool:
        """Elastic capacity: a group that has not found all its places in time is removed whole."""
        placement = fleet.spec.large.placement
        if placement.capacity is not Capacity.ELASTIC or group.scheduled:
            return False
        return now >= view.groups[index].created + timedelta(seconds=placement.gang_timeout_seconds)


async def with_in_flight(looked: Groups, view: FleetView, drains: Drains) -> tuple[ObservedInstance, ...]:
    """The instances with the requests they hold, for the choice of a victim."""
    known = []
    for instance in looked.observed:
        leader = _leader(view, instance.index)
        if instance.serving and leader is not None:
            known.append(replace(instance, in_flight=await drains.in_flight(leader, view.router_pods)))
        else:
            known.append(instance)
    return tuple(known)


def decide(
    wanted: int, looked: Sequence[ObservedInstance], room: Room, fleet: HeterogeneousDeployment, revision: str
) -> TierPlan:
    """The next step of the large tier."""
    policy = Policy(
        revision=revision,
        allow_outage=fleet.spec.rollout.allow_outage,
        max_evacuating=fleet.spec.large.lifecycle.max_evacuating,
    )
    return instances.plan(wanted, looked, room, policy)


def needs_room(decide_with: Callable[[Room], TierPlan]) -> bool:
    """Whether free GPUs would change the step: only then they are counted."""
    return decide_with(Room(0)) != decide_with(Room(1_000_000))


def to_render(plan: TierPlan, view: FleetView, looked: Groups, until: datetime) -> tuple[LargeInstance, ...]:
    """The instances that should exist; a drain that began keeps its deadline."""
    failed = {instance.index for instance in looked.observed if instance.failed}
    rendered = []
    for instance in plan.instances:
        if instance.verdict is Verdict.DELETE or instance.index in failed:
            continue
        ends = None
        if instance.verdict is Verdict.DRAIN:
            found = view.groups.get(instance.index)
            ends = (observe.deadline(found.annotations) if found else None) or until
        rendered.append(LargeInstance(instance.index, instance.revision, ends))
    return tuple(rendered)


def statuses(plan: TierPlan, looked: Groups, ranks: int, now: datetime) -> tuple[InstanceStatus, ...]:
    """What status.large.instances says after this step."""
    told = []
    for instance in plan.instances:
        seen = looked.lives.get(instance.index)
        if instance.verdict is Verdict.CREATE:
            told.append(
                InstanceStatus(
                    index=instance.index, revision=instance.revision, ranks=ranks, since=now.replace(microsecond=0)
                )
            )
        elif seen is not None and not (
            instance.verdict is Verdict.DELETE and seen.memory.state is InstanceState.FAILED
        ):
            told.append(seen.memory)
    return tuple(told)


def lost_wake(fleet: HeterogeneousDeployment, view: FleetView, nodes: Mapping[str, NodeRecord]) -> datetime | None:
    """When a pod on a node that does not answer is to be given up."""
    times = [
        at
        for tier in Tier
        for pod in view.pods(tier)
        if (at := observe.lost_since(pod, nodes, fleet.spec.tier(tier).lifecycle)) is not None
    ]
    return min(times, default=None)


def _failed(known: Iterable[InstanceStatus]) -> list[int]:
    return [instance.index for instance in known if instance.state is InstanceState.FAILED]


def _is_retried(fleet: HeterogeneousDeployment, known: InstanceStatus) -> bool:
    asked = tiers.moment(fleet.metadata.annotations.get(labels.RETRY))
    return asked is not None and known.since is not None and asked > known.since


def _exists(view: FleetView, index: int) -> bool:
    return index in view.groups or index in view.large_pods or index in view.leftovers


def _leader(view: FleetView, index: int) -> PodRecord | None:
    pods = view.large_pods.get(index, ())
    return next((pod for pod in pods if pod.labels.get(labels.POD_INDEX) == "0" and not pod.finished), None)
