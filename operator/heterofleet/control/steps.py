"""The next step of one fleet, as a value: manifests, marks, restarts, and what holds it back.

Composes both tiers under one GPU budget: the large tier's claim comes first, the small tier gets what is left, and
nothing that is held or still going is counted as free.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from heterofleet.api import labels
from heterofleet.api.conditions import LastDrain
from heterofleet.api.labels import Manifest, Tier
from heterofleet.api.routing import Plan
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cluster.objects import Ref
from heterofleet.cluster.records import NodeRecord, PodRecord
from heterofleet.control import groups, holdings, lastlook, observe, pools, routers
from heterofleet.control.drain import DRAINED_COST, DRAINING_COST, Drains
from heterofleet.control.groups import Groups
from heterofleet.control.holdings import BOUNDLESS, Holdings, Offer
from heterofleet.control.ledger import Ledger
from heterofleet.control.observe import FleetView
from heterofleet.control.pools import Pools
from heterofleet.control.tiers import Wanted
from heterofleet.desired import fleet as desired
from heterofleet.desired import revision, template
from heterofleet.desired.fleet import Counts, LargeInstance, SmallRevision
from heterofleet.desired.platform import Platform
from heterofleet.desired.revision import Role
from heterofleet.desired.template import Template
from heterofleet.planning.instances import Hold, ObservedInstance, Room, TierPlan, Verdict
from heterofleet.planning.life import Group
from heterofleet.planning.replicas import PoolsPlan


@dataclass(frozen=True)
class Looked:
    """One fleet as it is, and what is asked of it."""

    view: FleetView
    nodes: Mapping[str, NodeRecord]
    groups: Groups
    pools: Pools
    wanted: Wanted
    last_drain: LastDrain | None = None


@dataclass(frozen=True)
class Mark:
    """Pods to take out of the endpoints; `begins` when their drain begins with it."""

    name: str
    pods: tuple[PodRecord, ...]
    until: datetime
    cost: str | None = None
    begins: bool = True


@dataclass(frozen=True)
class Step:
    """What is to be done for a fleet now; `undrained` groups go only while they serve nobody (`lastlook`)."""

    acts: bool = False
    manifests: tuple[Manifest, ...] = ()
    keep: frozenset[Ref] = frozenset()
    marks: tuple[Mark, ...] = ()
    unmark: tuple[PodRecord, ...] = ()
    abandon: tuple[PodRecord, ...] = ()
    restarts: tuple[Group, ...] = ()
    undrained: Mapping[int, Group] = field(default_factory=dict)
    large: TierPlan | None = None
    small: PoolsPlan | None = None
    shortage: Mapping[Tier, str] = field(default_factory=dict)
    updates: tuple[str, ...] = ()
    revisions: Mapping[Role, str] = field(default_factory=dict)
    ranks: int = 0
    last_drain: LastDrain | None = None
    wake_at: datetime | None = None

    @property
    def holds(self) -> Mapping[Tier, frozenset[Hold]]:
        return {
            Tier.LARGE: self.large.holds if self.large else frozenset(),
            Tier.SMALL: self.small.holds if self.small else frozenset(),
        }

    @property
    def waits_for_gpus(self) -> bool:
        return any(held & {Hold.GPUS, Hold.EVACUATION, Hold.OUTAGE} for held in self.holds.values())


async def decide(
    fleet: HeterogeneousDeployment,
    looked: Looked,
    platform: Platform,
    ledger: Ledger,
    drains: Drains,
    asked: Plan,
    now: datetime,
) -> Step:
    """The next step; `asked` is what the planner tells the routers.

    Raises overlay.InvalidOverlay when a podTemplate cannot be laid over.
    """
    templates = Templates.of(fleet, looked.view, platform)
    budget = fleet.spec.scaling.gpu_budget
    held = holdings.count(fleet, looked.view, looked.pools.ceilings)
    spare = BOUNDLESS if budget is None else max(0, budget - held.total)
    large, large_offer, claim = await _large(fleet, looked, templates, held, spare, ledger, drains)
    small, small_offer = await _small(fleet, looked, templates, held, max(0, spare - claim), ledger, drains)
    until = (now + timedelta(seconds=fleet.spec.large.lifecycle.drain_timeout_seconds)).replace(microsecond=0)
    rendered = groups.to_render(large, looked.view, looked.groups, until)
    counts = Counts(
        large=tuple(instance for instance in rendered if templates.has(Role.LARGE, instance.revision)),
        small=tuple(SmallRevision(r, n) for r, n in small.replicas.items() if templates.has(Role.SMALL, r)),
        tiers={tier: asked.write for tier, asked in looked.wanted.asked.items()},
        routers=routers.count(fleet, looked.view),
        plan=asked,
    )
    used = templates.used(counts, looked.view)
    return Step(
        acts=True,
        manifests=(
            *desired.manifests(fleet, counts, used, platform),
            *pools.lowered(small, looked.view, lambda name: templates.has(Role.SMALL, name)),
        ),
        keep=_keep(fleet, looked, rendered, templates, used, platform),
        marks=(*_large_marks(large, looked, rendered), *_small_marks(fleet, small, looked, now)),
        unmark=tuple(pools.marked(looked.view, small.keep_after_all)),
        abandon=tuple(pools.marked(looked.view, small.abandon)),
        restarts=looked.groups.restarts(),
        undrained=lastlook.undrained(large, looked.groups),
        large=large,
        small=small,
        shortage={Tier.LARGE: large_offer.sentence, Tier.SMALL: small_offer.sentence},
        updates=templates.updates(),
        revisions={role: templates.current(role).revision for role in Role},
        ranks=templates.current(Role.LARGE).pods,
        last_drain=_last_drain(fleet, looked),
        wake_at=_wake(fleet, looked, large, small, (large_offer, small_offer), now),
    )


@dataclass(frozen=True)
class Templates:
    """Stored templates, and for each role the one of the present spec: stored if it is, else rendered now."""

    stored: Mapping[tuple[Role, str], Template]
    present: Mapping[Role, Template]
    fresh: Mapping[Role, Template]

    @classmethod
    def of(cls, fleet: HeterogeneousDeployment, view: FleetView, platform: Platform) -> "Templates":
        fresh = {role: desired.render(fleet, role, platform) for role in Role}
        present = {}
        for role, rendered in fresh.items():
            kept = view.templates.get((role, rendered.revision))
            present[role] = kept if kept is not None and kept.hash == rendered.hash else rendered
        return cls(view.templates, present, fresh)

    def current(self, role: Role) -> Template:
        return self.present[role]

    def get(self, role: Role, name: str) -> Template | None:
        if self.present[role].revision == name:
            return self.present[role]
        return self.stored.get((role, name))

    def has(self, role: Role, name: str) -> bool:
        return self.get(role, name) is not None

    def used(self, counts: Counts, view: FleetView) -> dict[tuple[Role, str], Template]:
        """The templates that something is made of, or will be; the others go."""
        wanted = {(role, self.present[role].revision) for role in Role}
        wanted |= {(Role.LARGE, instance.revision) for instance in counts.large}
        wanted |= {(Role.SMALL, part.revision) for part in counts.small}
        wanted |= {(Role.LARGE, p.labels.get(labels.REVISION, "")) for pods in view.large_pods.values() for p in pods}
        wanted |= {(Role.SMALL, name) for name in view.small_pods}
        wanted |= {(Role.ROUTER, pod.labels.get(labels.REVISION, "")) for pod in view.router_pods}
        return {name: found for name in wanted if (found := self.get(*name)) is not None}

    def updates(self) -> tuple[str, ...]:
        """What a roll would change, though the spec is the same."""
        return tuple(
            f"{role}.{path}"
            for role in Role
            for path in template.differs(self.present[role], self.fresh[role])
            if self.present[role] is not self.fresh[role]
        )


async def _large(
    fleet: HeterogeneousDeployment,
    looked: Looked,
    templates: Templates,
    held: Holdings,
    spare: int,
    ledger: Ledger,
    drains: Drains,
) -> tuple[TierPlan, Offer, int]:
    """The large tier's step, what GPUs there are for it, and how many of the spare ones it claims."""
    wanted = looked.wanted.targets[Tier.LARGE].total
    current = templates.current(Role.LARGE)
    shape = holdings.shape_of(current, fleet.spec.large.placement.gpu_resource)
    world = shape.pods * shape.gpus_per_pod
    observed: Sequence[ObservedInstance] = looked.groups.observed

    def step(room: Room) -> TierPlan:
        return groups.decide(wanted, observed, room, fleet, current.revision)

    # A group that starts on a cordoned node goes before its successor comes, and only if there is a place for that.
    missing = max(1, len(step(Room(BOUNDLESS)).of(Verdict.CREATE))) if groups.needs_room(step) else 0
    unbound = holdings.unbound(looked.view, held, Tier.LARGE, shape)
    offer = await holdings.offer(fleet, Tier.LARGE, current, missing, spare, ledger, unbound)
    plan = step(Room(offer.creatable))
    if _chooses(plan, observed):
        observed = await groups.with_in_flight(looked.groups, looked.view, drains)
        plan = step(Room(offer.creatable))
    unmet = world * max(0, wanted - sum(i.live or i.failed or i.parked for i in observed))
    return plan, offer, min(spare, max(unmet, world * len(plan.of(Verdict.CREATE))))


def _chooses(plan: TierPlan, observed: Sequence[ObservedInstance]) -> bool:
    """Whether a victim was chosen among several that serve, so that their work decides."""
    draining = {instance.index for instance in observed if instance.draining}
    begins = [i for i in plan.of(Verdict.DRAIN) if i.index not in draining]
    return bool(begins) and sum(instance.serving and instance.live for instance in observed) > 1


async def _small(
    fleet: HeterogeneousDeployment,
    looked: Looked,
    templates: Templates,
    held: Holdings,
    spare: int,
    ledger: Ledger,
    drains: Drains,
) -> tuple[PoolsPlan, Offer]:
    wanted = looked.wanted.targets[Tier.SMALL].total
    current = templates.current(Role.SMALL)
    shape = holdings.shape_of(current, fleet.spec.small.placement.gpu_resource)
    found = looked.pools.pools
    unbounded = pools.decide(wanted, found, Room(BOUNDLESS), fleet, current.revision)
    missing = 0
    if unbounded != pools.decide(wanted, found, Room(0), fleet, current.revision):
        before = next((pool.replicas for pool in found if pool.revision == current.revision), 0)
        missing = max(1, unbounded.replicas.get(current.revision, 0) - before, len(unbounded.abandon))
    unbound = holdings.unbound(looked.view, held, Tier.SMALL, shape)
    offer = await holdings.offer(fleet, Tier.SMALL, current, missing, spare, ledger, unbound)
    plan = pools.decide(wanted, found, Room(offer.creatable), fleet, current.revision)
    if plan.drain and looked.pools.ready > len(plan.drain):
        weighed = await pools.with_in_flight(looked.pools, looked.view, drains)
        plan = pools.decide(wanted, weighed, Room(offer.creatable), fleet, current.revision)
    return plan, offer


CONTENDED_SECONDS = 2
SETTLING_SECONDS = 1
"""How often a lowered count is looked after: no watch tells that a ReplicaSet's controller has seen it."""
FOREIGN_GPUS_SECONDS = 30
"""How often a fleet that waits looks again: nobody tells when other people's pods go."""


def _wake(
    fleet: HeterogeneousDeployment,
    looked: Looked,
    large: TierPlan,
    small: PoolsPlan,
    offers: Sequence[Offer],
    now: datetime,
) -> datetime | None:
    """When something may be due that no event tells of."""
    times = [groups.lost_wake(fleet, looked.view, looked.nodes, now)]
    if (large.holds | small.holds) & {Hold.GPUS, Hold.OUTAGE, Hold.EVACUATION}:
        seconds = CONTENDED_SECONDS if any(offer.contended for offer in offers) else FOREIGN_GPUS_SECONDS
        times.append(now + timedelta(seconds=seconds))
    if any(pool.settling for pool in looked.pools.pools):
        times.append(now + timedelta(seconds=SETTLING_SECONDS))
    for pod in looked.view.pods(Tier.SMALL):
        stored = looked.view.templates.get((Role.SMALL, pod.labels.get(labels.REVISION, "")))
        times.append(pools.late_at(pod, stored))
    return min((at for at in times if at is not None and at > now), default=None)


def _large_marks(plan: TierPlan, looked: Looked, rendered: Sequence[LargeInstance]) -> list[Mark]:
    """Every pod of a draining group is marked, re-created ones again."""
    known = {instance.index for instance in looked.groups.observed if instance.draining}
    marks = []
    for instance in rendered:
        if instance.draining_until is not None:
            pods = tuple(p for p in looked.view.large_pods.get(instance.index, ()) if not p.terminating)
            begins = instance.index not in known
            name = f"large instance {instance.index}"
            if instance.index in looked.groups.overdue():
                name = f"{name}, for which there was no place elsewhere in time,"
            marks.append(Mark(name, pods, instance.draining_until, begins=begins))
    return marks


def _small_marks(fleet: HeterogeneousDeployment, plan: PoolsPlan, looked: Looked, now: datetime) -> list[Mark]:
    """New drains, and the drained ones, which the ReplicaSet shall take first."""
    until = pools.drain_ends(fleet, now)
    marks = [
        Mark(f"small pod {pod.name}", (pod,), until, DRAINING_COST) for pod in pools.marked(looked.view, plan.drain)
    ]
    leaving = set(looked.pools.proofs) - set(plan.keep_after_all)
    drained = [pod for pod in pools.marked(looked.view, tuple(leaving)) if not pod.terminating]
    marks += [Mark(f"small pod {pod.name}", (pod,), until, DRAINED_COST, begins=False) for pod in drained]
    return marks


def _keep(
    fleet: HeterogeneousDeployment,
    looked: Looked,
    rendered: Sequence[LargeInstance],
    templates: Templates,
    used: Mapping[tuple[Role, str], Template],
    platform: Platform,
) -> frozenset[Ref]:
    """What is not rendered and must stay: what pods that still go need, and what cannot be rendered any more.

    So does a group whose controller has not seen it yet: its pods would come all the same, and hold GPUs that nothing
    claims any more.
    """
    drawn = {instance.index for instance in rendered}
    alive = {index for index, pods in looked.view.large_pods.items() if any(not pod.finished for pod in pods)}
    bound = {i.index for i in rendered if not templates.has(Role.LARGE, i.revision)}
    bound |= {i for i, found in looked.view.groups.items() if i not in drawn and not observe.is_seen(found.body)}
    kept = {
        ref
        for ref, child in looked.view.children.items()
        if (index := child.labels.get(labels.INSTANCE)) is not None
        and index.isdecimal()
        and (int(index) in bound or (ref.kind == "Service" and int(index) in alive))
    }
    supervisors = desired.kept(fleet, used, platform)
    return frozenset(kept | {Ref("v1", "ConfigMap", fleet.metadata.namespace, name) for name in supervisors})


def _last_drain(fleet: HeterogeneousDeployment, looked: Looked) -> LastDrain | None:
    """The latest proof; an older one than what is stored changes nothing."""
    proofs = [*looked.groups.proofs.values(), *looked.pools.proofs.values()]
    stored = fleet.status.last_drain
    dated = [p for p in ([stored] if stored else []) + proofs if p.completed is not None]
    return max(dated, key=lambda proof: proof.completed.timestamp() if proof.completed else 0.0, default=stored)


def present_revisions(fleet: HeterogeneousDeployment) -> Mapping[Role, str]:
    """Revision names of the present spec, for a status that is written without a step."""
    return {role: revision.revision(revision.spec_hash(fleet, role)) for role in Role}
