"""The small tier of one fleet: its pods by revision as `planning.replicas` sees them, and the marks of its drains."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from heterofleet.api import labels
from heterofleet.api.conditions import LastDrain
from heterofleet.api.labels import Manifest
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cluster.records import NodeRecord, PodRecord
from heterofleet.control import observe
from heterofleet.control.drain import Drains
from heterofleet.control.observe import FleetView
from heterofleet.desired import small
from heterofleet.desired.revision import Role
from heterofleet.desired.template import Template
from heterofleet.planning import replicas
from heterofleet.planning.instances import Policy, Room
from heterofleet.planning.placing import Demand
from heterofleet.planning.replicas import Pool, PoolsPlan, SmallPod


@dataclass(frozen=True)
class Pools:
    """The small tier as it was looked at."""

    pools: tuple[Pool, ...]
    proofs: Mapping[str, LastDrain]
    """Drains that are over, by pod UID."""

    @property
    def ready(self) -> int:
        return sum(pool.serving for pool in self.pools)

    @property
    def draining(self) -> int:
        return sum(pod.draining for pool in self.pools for pod in pool.live())

    @property
    def ceilings(self) -> Mapping[str, int]:
        """How many pods may come of each revision."""
        return {pool.revision: pool.ceiling for pool in self.pools}

    @property
    def running(self) -> int | None:
        """Pods that are asked for, None where there is no Deployment yet."""
        return sum(pool.replicas for pool in self.pools) if self.pools else None


async def look(
    fleet: HeterogeneousDeployment,
    view: FleetView,
    nodes: Mapping[str, NodeRecord],
    drains: Drains,
    ceilings: Mapping[str, int],
    now: datetime,
) -> Pools:
    """Every revision of the tier, with the state of its drains and the ceiling of its Deployment, if it has one."""
    proofs: dict[str, LastDrain] = {}
    pools = []
    for revision in sorted({*view.deployments, *view.small_pods}):
        stored = view.templates.get((Role.SMALL, revision))
        pods = []
        for pod in view.small_pods.get(revision, ()):
            if pod.finished:
                continue
            if observe.is_marked(pod) and not pod.terminating:
                proof = await drains.look(pod.name, pod, view.router_pods, now)
                if proof is not None:
                    proofs[pod.uid] = proof
            pods.append(_small_pod(pod, fleet, stored, nodes, drained=pod.uid in proofs, now=now))
        found = view.deployments.get(revision)
        count = found.body["spec"]["replicas"] if found is not None and not found.deleting else 0
        pools.append(Pool(revision, count, tuple(pods), ceilings.get(revision, 0)))
    return Pools(tuple(pools), proofs)


def late_at(pod: PodRecord, stored: Template | None) -> datetime | None:
    """When a pod that is not ready has had all the time that a start may take; None if that is not known."""
    if pod.ready or stored is None or not stored.startup_seconds:
        return None
    return pod.created + timedelta(seconds=stored.startup_seconds + small.PROGRESS_MARGIN_SECONDS)


def decide(wanted: int, looked: Sequence[Pool], room: Room, fleet: HeterogeneousDeployment, revision: str) -> PoolsPlan:
    """The next step of the small tier."""
    return replicas.plan(wanted, looked, room, Policy(revision, allow_outage=fleet.spec.rollout.allow_outage))


async def with_in_flight(looked: Pools, view: FleetView, drains: Drains) -> tuple[Pool, ...]:
    """The pools with the requests that each ready pod holds, for the choice of a victim."""
    records = {pod.uid: pod for pods in view.small_pods.values() for pod in pods}
    known = []
    for pool in looked.pools:
        pods = []
        for pod in pool.pods:
            held = await drains.in_flight(records[pod.uid], view.router_pods) if pod.ready and pod.live else 0
            pods.append(replace(pod, in_flight=held))
        known.append(replace(pool, pods=tuple(pods)))
    return tuple(known)


def lowered(plan: PoolsPlan, view: FleetView, is_kept: Callable[[str], bool]) -> tuple[Manifest, ...]:
    """The Deployments whose template is not kept any more, with the counts of the plan: their pods leave as others do.

    Somebody deleted their ControllerRevision, and the spec has changed before it could be stored again.
    """
    found = {name: view.deployments.get(name) for name in plan.replicas if not is_kept(name)}
    return tuple(
        small.lowered(held.body, plan.replicas[name])
        for name, held in found.items()
        if held is not None and not held.deleting
    )


def marked(view: FleetView, uids: Sequence[str]) -> list[PodRecord]:
    """The records of some pods."""
    wanted = set(uids)
    return [pod for pods in view.small_pods.values() for pod in pods if pod.uid in wanted]


def drain_ends(fleet: HeterogeneousDeployment, now: datetime) -> datetime:
    """When a drain that begins now ends at the latest."""
    return (now + timedelta(seconds=fleet.spec.small.lifecycle.drain_timeout_seconds)).replace(microsecond=0)


def _small_pod(
    pod: PodRecord,
    fleet: HeterogeneousDeployment,
    stored: Template | None,
    nodes: Mapping[str, NodeRecord],
    *,
    drained: bool,
    now: datetime,
) -> SmallPod:
    placement, limits = fleet.spec.small.placement, fleet.spec.small.lifecycle
    demand = Demand.of(stored.body["spec"], placement.gpu_resource) if stored is not None else None
    late = late_at(pod, stored)
    return SmallPod(
        uid=pod.uid,
        name=pod.name,
        revision=pod.labels.get(labels.REVISION, ""),
        ready=pod.ready,
        scheduled=pod.scheduled,
        deleting=pod.terminating,
        draining=observe.is_marked(pod),
        drained=drained,
        lost=observe.is_lost(pod, nodes, limits, now),
        late=late is not None and late <= now,
        leaving_node=observe.must_move(pod, nodes, demand),
        created=pod.created.timestamp(),
    )
