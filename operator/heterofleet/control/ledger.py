"""Keeps which GPUs are free, for all fleets of this process together (contracts.md, "Life of a group").

Fixed capacity creates a group only when it fits whole now. Pods of the fleets are known from the cache; other
people's pods are read from the nodes that look free, and only when somebody wants to create. What has been promised
to one fleet is reserved until its pods are bound, so that two fleets never count on the same GPUs.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from heterofleet.api.labels import FleetKey, Tier
from heterofleet.cluster.cache import Cache
from heterofleet.cluster.client import Cluster
from heterofleet.cluster.records import NodeRecord, PodRecord
from heterofleet.planning import placing
from heterofleet.planning.placing import Demand, Node, Places, Shape, Taint

PROMISE_SECONDS = 600
"""Of a promise whose holder never asks again: controllers and scheduler under load take minutes to bind its pods."""
FOREIGN_SECONDS = 10
MOST_NODES_READ = 64
"""Nodes that are asked for other people's pods in one look; more would not be read before the answer is stale."""

Holder = tuple[FleetKey, Tier]


@dataclass(frozen=True, slots=True)
class _Promise:
    holder: Holder
    nodes: Mapping[str, int]
    until: datetime


class Ledger:
    """Free GPUs a node, for one process."""

    def __init__(self, cluster: Cluster, cache: Cache, clock: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._cache = cache
        self._clock = clock
        self._promises: list[_Promise] = []
        self._foreign: dict[tuple[str, str], tuple[datetime, int]] = {}
        self._gate = asyncio.Lock()

    async def reserve(
        self,
        holder: Holder,
        demand: Demand,
        shape: Shape,
        wanted: int,
        *,
        unbound: int = 0,
        topology_key: str | None = None,
    ) -> Places:
        """Places for up to `wanted` more groups, promised to `holder` until its pods are bound.

        `unbound` pods of the holder exist or are asked for and have no node yet: their places come first. A holder's
        earlier promises are replaced, so it asks again as long as something of it is not bound.
        """
        async with self._gate:
            now = self._clock()
            self._promises = [p for p in self._promises if p.until > now and p.holder != holder]
            if wanted <= 0 and unbound <= 0:
                return Places((), 0)
            nodes = self._nodes(demand, now)
            while True:
                started = placing.place(nodes, Shape(1, shape.gpus_per_pod), unbound, None)
                rest = placing.without(nodes, started, shape.gpus_per_pod)
                places = placing.place(rest, shape, wanted, topology_key)
                unread = self._unread(nodes, started, places, wanted, demand.gpu_resource, now)
                if not unread:
                    break
                await asyncio.gather(*(self._read_foreign(name, demand.gpu_resource, now) for name in unread))
                nodes = self._nodes(demand, now)
            contended = bool(self._promises)
            for group in (*started.groups, *places.groups):
                taken = {name: group.count(name) * shape.gpus_per_pod for name in group}
                self._promises.append(_Promise(holder, taken, now + timedelta(seconds=PROMISE_SECONDS)))
            return replace(places, contended=contended)

    def release(self, holder: Holder) -> None:
        """Give back what was promised and is not wanted any more."""
        self._promises = [promise for promise in self._promises if promise.holder != holder]

    def _nodes(self, demand: Demand, now: datetime) -> list[Node]:
        """Nodes that admit the tier, less what pods hold there, and less what others were promised."""
        resource = demand.gpu_resource
        used: defaultdict[str, int] = defaultdict(int)
        for pod in self._cache.all_pods():
            if pod.node and not pod.finished:
                used[pod.node] += pod.devices.get(resource, 0)
        for promise in self._promises:
            for name, gpus in promise.nodes.items():
                used[name] += gpus
        for name in self._cache.nodes():
            used[name] += self._foreign_gpus(name, resource, now) or 0
        found = (_node(record, resource, used) for record in self._cache.nodes().values())
        return [node for node in found if placing.admits(node, demand) and node.free_gpus > 0]

    def _unread(
        self, nodes: Sequence[Node], started: Places, places: Places, wanted: int, resource: str, now: datetime
    ) -> list[str]:
        """Nodes to be asked for other people's pods: the chosen ones; where places lack, some more for the figure."""
        chosen = {name for group in (*started.groups, *places.groups) for name in group}
        if len(places.groups) < wanted:
            chosen |= {node.name for node in nodes[:MOST_NODES_READ]}
        return sorted(name for name in chosen if self._foreign_gpus(name, resource, now) is None)

    def _foreign_gpus(self, node: str, resource: str, now: datetime) -> int | None:
        """What other people's pods hold on a node; None when it was not read lately."""
        read_at, gpus = self._foreign.get((node, resource), (None, 0))
        fresh = read_at is not None and now < read_at + timedelta(seconds=FOREIGN_SECONDS)
        return gpus if fresh else None

    async def _read_foreign(self, node: str, resource: str, now: datetime) -> None:
        pods = await self._cluster.list("v1", "Pod", field_selector=f"spec.nodeName={node}")
        ours = {pod.uid for pod in self._cache.all_pods() if pod.node == node}
        records = [PodRecord.of({**pod, "apiVersion": "v1", "kind": "Pod"}) for pod in pods]
        gpus = sum(r.devices.get(resource, 0) for r in records if not r.finished and r.uid not in ours)
        self._foreign[node, resource] = (now, gpus)


def _node(record: NodeRecord, resource: str, used: Mapping[str, int]) -> Node:
    return Node(
        name=record.name,
        labels=record.labels,
        free_gpus=max(0, record.devices.get(resource, 0) - used.get(record.name, 0)),
        ready=record.ready,
        unschedulable=record.unschedulable,
        taints=tuple(Taint(t.key, t.value, t.effect) for t in record.taints),
    )
