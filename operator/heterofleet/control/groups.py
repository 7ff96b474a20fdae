"""The large tier of one fleet: looks at every group, decides the next step, and begins drains and restarts.

Composes `planning.life` (one group) and `planning.instances` (all of them) over what is observed; what should exist
comes out as a value, which the reconcile renders and applies together with everything else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from heterofleet.api import labels
from heterofleet.api.conditions import InstanceState, InstanceStatus, LastDrain
from heterofleet.api.labels import Tier
from heterofleet.api.placement import Capacity
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cluster.records import NodeRecord, PodRecord
from heterofleet.control import observe, tiers, unmade
from heterofleet.control.drain import Drains
from heterofleet.control.observe import FleetView
from heterofleet.desired import small
from heterofleet.desired.fleet import LargeInstance
from heterofleet.desired.revision import Role
from heterofleet.desired.template import Template
from heterofleet.metrics.scrape import Engines
from heterofleet.planning import instances, life
from heterofleet.planning.instances import ObservedInstance, Policy, Room, TierPlan, Verdict
from heterofleet.planning.life import Group, Life
from heterofleet.planning.placing import Demand

MOST_CORDONED = 4096


@dataclass(frozen=True)
class Groups:
    """The large tier as it was looked at. `groups` are those that have a StatefulSet."""

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

    def restarts(self) -> tuple[Group, ...]:
        """Groups whose pods are to be deleted as one."""
        return tuple(self.groups[index] for index, seen in self.lives.items() if seen.restart)

    def overdue(self) -> tuple[int, ...]:
        """Instances that have waited too long for a place off their cordoned nodes."""
        return tuple(instance.index for instance in self.observed if instance.overdue)


@dataclass(frozen=True)
class Scene:
    """What a look at one fleet's groups is made from."""

    fleet: HeterogeneousDeployment
    view: FleetView
    nodes: Mapping[str, NodeRecord]
    now: datetime

    def template(self, index: int) -> Template | None:
        revision = self.view.groups[index].labels.get(labels.REVISION, "")
        return self.view.templates.get((Role.LARGE, revision))

    def exists(self, index: int) -> bool:
        """Whether anything of an instance is left."""
        view = self.view
        return index in view.groups or index in view.large_pods or index in view.leftovers

    def group(self, index: int) -> Group:
        """The group as its pods tell, without what its supervisors would say."""
        placement = self.fleet.spec.large.placement
        elastic = placement.capacity is Capacity.ELASTIC
        within = timedelta(seconds=placement.gang_timeout_seconds) if elastic else None
        return observe.group(index, self.view, self.nodes, self.fleet.spec.large.lifecycle, self.now, within)

    def late_at(self, index: int, seen: Life) -> datetime | None:
        """When it has had all the time that a start may take since it came into its state."""
        stored = self.template(index)
        if stored is None or not stored.startup_seconds or seen.memory.since is None:
            return None
        return seen.memory.since + timedelta(seconds=stored.startup_seconds + small.PROGRESS_MARGIN_SECONDS)

    def unmade_at(self, index: int, seen: Life) -> datetime | None:
        """When its missing pods are taken for refused."""
        return unmade.due_at(seen.memory, len(self.view.large_pods.get(index, ())))


class GroupKeeper:
    """Looks at the groups of fleets; remembers only what a restart of the operator may forget."""

    def __init__(self, engines: Engines, drains: Drains) -> None:
        self._engines = engines
        self._drains = drains
        self._cordoned: dict[str, datetime] = {}

    async def look(self, scene: Scene) -> Groups:
        """Every index of the tier as `planning` sees it."""
        memory = {known.index: known for known in scene.fleet.status.large.instances}
        lives: dict[int, Life] = {}
        groups: dict[int, Group] = {}
        observed: list[ObservedInstance] = []
        proofs: dict[int, LastDrain] = {}
        wakes: list[datetime | None] = []
        for index in sorted({*scene.view.groups, *scene.view.large_pods, *scene.view.leftovers, *_absent(memory)}):
            known = memory.get(index)
            if known is not None and (remembered := _remembered(known, scene)) is not None:
                lives[index] = Life(known)
                observed.append(remembered)
                wakes.append(known.retry_at)
                continue
            found = scene.view.groups.get(index)
            if found is None or found.deleting:
                if scene.exists(index):
                    observed.append(ObservedInstance(index, known.revision if known else "", going=True))
                    lives |= {index: Life(_going(known, scene))} if known is not None else {}
                continue
            seen = groups[index] = await self._asked(scene.group(index), scene)
            fresh = known if known is not None and known.state is not InstanceState.FAILED else None
            lives[index] = life.look(fresh, seen, scene.fleet.spec.large.lifecycle, scene.now)
            if seen.draining and (proof := await self._proof(index, scene)) is not None:
                proofs[index] = proof
            observed.append(self._observed(scene, seen, lives[index], drained=index in proofs))
            wakes += [lives[index].wake_at, self._overdue_at(scene, index)]
            wakes += [] if seen.serving else [scene.late_at(index, lives[index]), scene.unmade_at(index, lives[index])]
        to_come = [at for at in wakes if at is not None and at > scene.now]
        return Groups(lives, tuple(observed), groups, proofs, min(to_come, default=None))

    async def _asked(self, seen: Group, scene: Scene) -> Group:
        """The group with what its supervisors say, where that matters."""
        if not life.suspects_split(seen, scene.now):
            return seen
        addresses = tuple(pod.ip for pod in scene.view.large_pods.get(seen.index, ()) if pod.ip)
        return replace(seen, epochs_agree=await self._engines.epochs_agree(addresses))

    async def _proof(self, index: int, scene: Scene) -> LastDrain | None:
        leader = _leader(scene.view, index)
        if leader is None:
            return LastDrain(instance=f"large-{index}", completed=scene.now.replace(microsecond=0))
        return await self._drains.look(f"large-{index}", leader, scene.view.router_pods, scene.now)

    def _observed(self, scene: Scene, group: Group, seen: Life, *, drained: bool) -> ObservedInstance:
        overdue_at = self._overdue_at(scene, group.index)
        late_at = scene.late_at(group.index, seen)
        return ObservedInstance(
            index=group.index,
            revision=group.revision,
            serving=group.serving,
            failed=seen.memory.state is InstanceState.FAILED,
            lost=seen.memory.state is InstanceState.LOST,
            parked=life.is_parked(seen.memory),
            draining=group.draining,
            drained=drained,
            leaving_node=overdue_at is not None,
            overdue=overdue_at is not None and overdue_at <= scene.now,
            late=not group.serving and late_at is not None and late_at <= scene.now,
            scheduled=group.scheduled,
        )

    def _overdue_at(self, scene: Scene, index: int) -> datetime | None:
        """When an instance leaves its cordoned nodes in any case; None while it need not leave them.

        The taints say since when; where they do not, it is when this process saw it first.
        """
        uid, stored = scene.view.groups[index].uid, scene.template(index)
        resource = scene.fleet.spec.large.placement.gpu_resource
        demand = Demand.of(stored.body["spec"], resource) if stored is not None else None
        moving = [p for p in scene.view.large_pods.get(index, ()) if observe.must_move(p, scene.nodes, demand)]
        if not moving:
            self._cordoned.pop(uid, None)
            return None
        if len(self._cordoned) > MOST_CORDONED:
            self._cordoned.clear()
        told = [at for pod in moving if (at := observe.must_move_since(pod, scene.nodes)) is not None]
        since = min([self._cordoned.setdefault(uid, scene.now), *told])
        return since + timedelta(seconds=scene.fleet.spec.large.lifecycle.evacuate_after_seconds)


def _absent(memory: Mapping[int, InstanceStatus]) -> list[int]:
    """Indexes that count although nothing of them may exist."""
    return [i for i, known in memory.items() if known.state is InstanceState.FAILED or life.is_parked(known)]


def _remembered(known: InstanceStatus, scene: Scene) -> ObservedInstance | None:
    """An instance that was taken down and is kept in status alone: given up, or waiting for places."""
    if known.state is InstanceState.FAILED and not _is_retried(scene.fleet, known):
        return ObservedInstance(known.index, known.revision, failed=True)
    if not life.is_parked(known) or known.retry_at is None:
        return None
    found = scene.view.groups.get(known.index)
    if found is not None and not found.deleting and scene.group(known.index).scheduled:
        return None  # The last of its places came just in time.
    due = scene.now >= known.retry_at and not scene.exists(known.index)
    return ObservedInstance(known.index, known.revision, parked=True, due=due, scheduled=False)


def _going(known: InstanceStatus, scene: Scene) -> InstanceStatus:
    """An instance of which only pods are left that stop."""
    state = known.state if known.state is InstanceState.LOST else InstanceState.DRAINING
    ready = sum(pod.ready and not pod.terminating for pod in scene.view.large_pods.get(known.index, ()))
    return known.model_copy(update={"state": state, "ready_ranks": ready})


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
    """The instances that should exist; a drain that began keeps its deadline.

    One that is given up or parked is taken down when status says so, not before: its cause is nowhere else.
    """
    down = {i.index for i in looked.observed if (i.failed or i.parked) and i.index not in looked.groups}
    rendered = []
    for instance in plan.instances:
        down_still = instance.index in down and instance.verdict is not Verdict.CREATE
        if instance.verdict is Verdict.DELETE or down_still:
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
                    index=instance.index,
                    revision=instance.revision,
                    ranks=ranks,
                    since=now.replace(microsecond=0),
                    unplaced=seen.memory.unplaced if seen is not None else 0,
                )
            )
        elif seen is not None and (instance.verdict is not Verdict.DELETE or not _is_kept_in_status_alone(seen)):
            told.append(seen.memory)
    return tuple(sorted(told, key=lambda instance: instance.index))


def _is_kept_in_status_alone(seen: Life) -> bool:
    return seen.memory.state is InstanceState.FAILED or life.is_parked(seen.memory)


def lost_wake(
    fleet: HeterogeneousDeployment, view: FleetView, nodes: Mapping[str, NodeRecord], now: datetime
) -> datetime | None:
    """When a pod on a node that does not answer is to be given up."""
    times = [
        at
        for tier in Tier
        for pod in view.pods(tier)
        if (at := observe.lost_since(pod, nodes, fleet.spec.tier(tier).lifecycle)) is not None and at > now
    ]
    return min(times, default=None)


def _is_retried(fleet: HeterogeneousDeployment, known: InstanceStatus) -> bool:
    asked = tiers.moment(fleet.metadata.annotations.get(labels.RETRY))
    return asked is not None and known.since is not None and asked > known.since


def _leader(view: FleetView, index: int) -> PodRecord | None:
    pods = view.large_pods.get(index, ())
    return next((pod for pod in pods if pod.labels.get(labels.POD_INDEX) == "0" and not pod.finished), None)
