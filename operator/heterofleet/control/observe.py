"""Sorts what the cache holds of one fleet into tiers, instances and revisions, in the terms of `planning`.

Stands between the cache's records and the planning modules: pure functions of records, status and time.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from heterofleet.api import labels
from heterofleet.api.conditions import LastExit
from heterofleet.api.labels import Component, Manifest, PodState, Tier
from heterofleet.api.tier import Lifecycle
from heterofleet.cluster import objects
from heterofleet.cluster.objects import Observed, Ref
from heterofleet.cluster.records import NodeRecord, PodRecord, Taint
from heterofleet.desired import template
from heterofleet.desired.revision import Role
from heterofleet.desired.template import Template
from heterofleet.planning import placing
from heterofleet.planning.life import Group, Rank
from heterofleet.planning.placing import Demand


@dataclass(frozen=True)
class FleetView:
    """One fleet as it is: its children by kind of use, and its pods by tier."""

    children: Mapping[Ref, Observed]
    templates: Mapping[tuple[Role, str], Template]
    broken_templates: tuple[Ref, ...]
    groups: Mapping[int, Observed]
    """StatefulSets of the large tier, by instance."""
    deployments: Mapping[str, Observed]
    """Deployments of the small tier, by revision."""
    tiers: Mapping[Tier, Observed]
    large_pods: Mapping[int, tuple[PodRecord, ...]]
    small_pods: Mapping[str, tuple[PodRecord, ...]]
    router_pods: tuple[PodRecord, ...]
    leftovers: frozenset[int] = field(default_factory=frozenset)
    """Indexes of which something is there without a StatefulSet, which is made first: a former group's."""

    def pods(self, tier: Tier) -> list[PodRecord]:
        """Pods of a tier that hold their GPUs: all but finished ones, Terminating and Pending included."""
        sorted_pods = self.large_pods if tier is Tier.LARGE else self.small_pods
        return [pod for pods in sorted_pods.values() for pod in pods if not pod.finished]


def sort_out(children: Mapping[Ref, Observed], pods: Iterable[PodRecord], owner_uid: str) -> FleetView:
    """One fleet's children and pods, sorted; what another owner controls is left out but for `children`."""
    ours = [child for child in children.values() if child.owner_uid == owner_uid]
    templates, broken = _templates(child for child in ours if child.ref.kind == "ControllerRevision")
    large: defaultdict[int, list[PodRecord]] = defaultdict(list)
    small: defaultdict[str, list[PodRecord]] = defaultdict(list)
    routers: list[PodRecord] = []
    for pod in pods:
        if pod.labels.get(labels.COMPONENT) == Component.ROUTER:
            routers.append(pod)
        elif pod.labels.get(labels.TIER) == Tier.LARGE and (index := instance_of(pod.labels)) is not None:
            large[index].append(pod)
        elif pod.labels.get(labels.TIER) == Tier.SMALL:
            small[pod.labels.get(labels.REVISION, "")].append(pod)
    groups = {i: c for c in ours if c.ref.kind == "StatefulSet" and (i := instance_of(c.labels)) is not None}
    accompanied = {i for c in ours if c.ref.kind in objects.COMPANIONS and (i := instance_of(c.labels)) is not None}
    return FleetView(
        children=children,
        templates=templates,
        broken_templates=broken,
        groups=groups,
        deployments={
            c.labels[labels.REVISION]: c
            for c in ours
            if c.ref.kind == "Deployment" and c.labels.get(labels.TIER) == Tier.SMALL and labels.REVISION in c.labels
        },
        tiers={Tier(c.labels[labels.TIER]): c for c in ours if c.ref.kind == labels.TIER_KIND},
        large_pods={index: tuple(sorted(pods, key=lambda p: p.name)) for index, pods in large.items()},
        small_pods={revision: tuple(sorted(pods, key=lambda p: p.name)) for revision, pods in small.items()},
        router_pods=tuple(sorted(routers, key=lambda pod: pod.name)),
        leftovers=frozenset(accompanied - set(groups)),
    )


def _templates(revisions: Iterable[Observed]) -> tuple[dict[tuple[Role, str], Template], tuple[Ref, ...]]:
    found: dict[tuple[Role, str], Template] = {}
    broken: list[Ref] = []
    for child in revisions:
        try:
            parsed = template.parse(child.body)
        except template.MalformedTemplate:
            broken.append(child.ref)
            continue
        found[parsed.role, parsed.revision] = parsed
    return found, tuple(broken)


def instance_of(found: Mapping[str, str]) -> int | None:
    """Index of the large instance that an object or pod with these labels belongs to."""
    text = found.get(labels.INSTANCE, "")
    return int(text) if text.isdecimal() else None


def is_seen(maker: Manifest) -> bool:
    """Whether the controller of a StatefulSet, Deployment or ReplicaSet has acted on what it says now."""
    said: int = maker["metadata"]["generation"]
    seen: int = maker.get("status", {}).get("observedGeneration", 0)
    return seen >= said


def is_marked(pod: PodRecord) -> bool:
    """Whether a pod is out of the endpoints."""
    return pod.labels.get(labels.STATE) == PodState.DRAINING


def deadline(marks: Mapping[str, str]) -> datetime | None:
    """When a drain ends at the latest, as its annotation says."""
    try:
        return datetime.fromisoformat(marks[labels.DRAIN_DEADLINE])
    except (KeyError, ValueError):
        return None


def group(
    index: int,
    view: FleetView,
    nodes: Mapping[str, NodeRecord],
    limits: Lifecycle,
    now: datetime,
    place_within: timedelta | None = None,
) -> Group:
    """One instance of the large tier as its pods tell. `place_within`: how long its pods may look for places."""
    found = view.groups.get(index)
    revision = found.labels.get(labels.REVISION, "") if found else ""
    stored = view.templates.get((Role.LARGE, revision))
    pods = view.large_pods.get(index, ())
    ranks = tuple(_rank(pod, nodes, limits, now) for pod in pods if not pod.finished)
    return Group(
        index,
        revision,
        _size(found, stored, ranks),
        ranks,
        draining=is_draining(index, view),
        place_within=place_within,
    )


def _size(found: Observed | None, stored: Template | None, ranks: tuple[Rank, ...]) -> int:
    """How many ranks a group has, those that are not there yet included, also where its template is not stored."""
    if stored is not None:
        return stored.pods
    replicas: int = found.body["spec"]["replicas"] if found is not None else len(ranks)
    return replicas


def is_draining(index: int, view: FleetView) -> bool:
    """Whether a drain of this instance has begun: by its StatefulSet, or by any of its pods."""
    found = view.groups.get(index)
    told = found is not None and found.labels.get(labels.STATE) == PodState.DRAINING
    return told or any(map(is_marked, view.large_pods.get(index, ())))


def _rank(pod: PodRecord, nodes: Mapping[str, NodeRecord], limits: Lifecycle, now: datetime) -> Rank:
    ended = pod.ended or pod.last_ended
    last_exit = None
    if ended is not None:
        last_exit = LastExit(
            pod=pod.name, exit_code=ended.exit_code, reason=ended.reason, message=ended.message, at=ended.finished
        )
    return Rank(
        uid=pod.uid,
        pod=pod.name,
        index=int(pod.labels.get(labels.POD_INDEX, pod.name.rpartition("-")[2])),
        restarts=pod.restart_count,
        ready=pod.ready,
        scheduled=pod.scheduled,
        unschedulable=bool(pod.unschedulable) and not pod.scheduled,
        deleting=pod.terminating,
        started_at=pod.started_at,
        last_exit=last_exit,
        node_lost=is_lost(pod, nodes, limits, now),
    )


def is_lost(pod: PodRecord, nodes: Mapping[str, NodeRecord], limits: Lifecycle, now: datetime) -> bool:
    """Whether a pod's node has been unreachable for `nodeLostSeconds`, or is gone."""
    lost_at = lost_since(pod, nodes, limits)
    return lost_at is not None and lost_at <= now


def lost_since(pod: PodRecord, nodes: Mapping[str, NodeRecord], limits: Lifecycle) -> datetime | None:
    """When a pod is to be given up because its node does not answer; None while the node is well or not known."""
    if not pod.node or not nodes:
        return None
    node = nodes.get(pod.node)
    if node is None:
        return pod.created
    if node.ready or node.ready_since is None:
        return None
    if any(taint.key == labels.OUT_OF_SERVICE_TAINT for taint in node.taints):
        return node.ready_since  # Somebody has seen that the machine is off: there is nothing to wait for.
    return node.ready_since + timedelta(seconds=limits.node_lost_seconds)


_KUBERNETES_OWN = "node.kubernetes.io/"
"""Taints that Kubernetes sets by itself: pressure passes, and a node that does not answer is `lost_since`'s."""


def must_move(pod: PodRecord, nodes: Mapping[str, NodeRecord], demand: Demand | None) -> bool:
    """Whether somebody wants the pod's node empty: it is cordoned, or tainted with what the pod does not tolerate."""
    node = nodes.get(pod.node)
    if node is None:
        return False
    return node.unschedulable or any(_wants_empty(taint, demand) for taint in node.taints)


def _wants_empty(taint: Taint, demand: Demand | None) -> bool:
    if taint.key == labels.OUT_OF_SERVICE_TAINT:
        return True
    if taint.effect == "PreferNoSchedule" or taint.key.startswith(_KUBERNETES_OWN) or demand is None:
        return False
    return not demand.tolerates(placing.Taint(taint.key, taint.value, taint.effect))


def must_move_since(pod: PodRecord, nodes: Mapping[str, NodeRecord]) -> datetime | None:
    """Since when, if the node's taints tell."""
    node = nodes.get(pod.node)
    times = [taint.added for taint in node.taints if taint.added is not None] if node is not None else []
    return min(times, default=None)
