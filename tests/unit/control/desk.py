"""A reconciler over a cluster in memory: what it writes is stored, what a test puts there is what it sees."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from heterofleet.api import labels
from heterofleet.api.labels import FleetKey, Manifest
from heterofleet.cluster.cache import Cache, Listeners
from heterofleet.cluster.objects import Ref
from heterofleet.control.events import EventType
from heterofleet.control.loads import Loads
from heterofleet.control.lore import Lore
from heterofleet.control.planner import Planner
from heterofleet.control.reconcile import Reconciler, Tools
from heterofleet.control.virtual import Clock
from reconcile.played import PlayedEngines, PlayedPrometheus
from unit.cluster import builders
from unit.desired import fleets
from unit.memory import MemoryCluster

KEY = FleetKey("ai", "chat")
NOW = datetime(2026, 1, 2, 4, tzinfo=UTC)
ELASTIC = {"placement": {"capacity": "Elastic"}}
"""A tier that asks no node whether there is room."""


class Told:
    """Keeps the reasons of Events."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def emit(self, about: Manifest, *, kind: EventType, reason: str, message: str) -> None:
        self.reasons.append(reason)


@dataclass
class Engines(PlayedEngines):
    """`while_asked` happens before supervisors answer."""

    while_asked: Callable[[], None] = lambda: None

    async def epochs_agree(self, addresses: tuple[str, ...]) -> bool | None:
        self.while_asked()
        return await super().epochs_agree(addresses)


@dataclass
class Desk:
    """One fleet, its reconciler, and the hands of Kubernetes' controllers, which only a test moves."""

    cluster: MemoryCluster = field(default_factory=MemoryCluster)
    told: Told = field(default_factory=Told)
    meanwhile: Callable[[str, Ref], None] = lambda _verb, _ref: None
    """Called before each write: what happens in the cluster while a reconcile runs."""

    def __post_init__(self) -> None:
        self.cache = Cache(Listeners(lambda _: None, lambda _: None, lambda: None, lambda: None))
        self.engines = Engines(lambda: self.cache)
        self.prometheus = PlayedPrometheus()
        self._version = 1_000_000
        self.cluster.refuse = self._called
        clock = Clock(lambda: NOW)
        self.loads = Loads(self.prometheus, self.engines, clock)
        self.planner = Planner(self.loads, Lore(fleets.PLATFORM.catalogue, clock), clock, lambda: 0.5)
        self.reconciler = Reconciler(
            Tools(self.cluster, self.cache, self.told, self.engines, lambda: fleets.PLATFORM, lambda: NOW, self.planner)
        )

    def _called(self, verb: str, ref: Ref) -> None:
        if verb != "get":
            self.meanwhile(verb, ref)

    def put(self, manifest: Manifest, **metadata: Any) -> Manifest:
        """Stores an object as if somebody else had written it, and lets the cache hear of it."""
        stored = self.store(manifest, **metadata)
        self.cache.put(stored)
        return stored

    def store(self, manifest: Manifest, **metadata: Any) -> Manifest:
        """Stores an object of a kind that nobody watches."""
        self._version += 1
        server = {"creationTimestamp": builders.CREATED, "resourceVersion": str(self._version)}
        stored = {**manifest, "metadata": {**manifest["metadata"], **server, **metadata}}
        self.cluster.objects[Ref.of(stored)] = stored
        return stored

    def want(self, **spec: Any) -> None:
        """The fleet as its user says it now; both tiers are Elastic."""
        body = fleets.body(**fleets.merged({"large": ELASTIC, "small": ELASTIC}, spec))
        held = self.cluster.objects.get(Ref.of(body), {"metadata": {}})
        self.put({**held, **body}, generation=held["metadata"].get("generation", 0) + 1)

    async def reconcile(self) -> float | None:
        """One reconcile; what it deleted is heard of at once."""
        wake = await self.reconciler.reconcile(KEY)
        held = [*self.cache.children(KEY)]
        for ref in held:
            if ref not in self.cluster.objects:
                self.cache.remove(ref)
        fleet = self.cluster.objects[Ref(labels.API_VERSION, labels.FLEET_KIND, *KEY)]
        self.put(fleet)
        return wake

    def found(self, kind: str) -> list[Manifest]:
        return [held for ref, held in sorted(self.cluster.objects.items()) if ref.kind == kind]

    def names(self, kind: str) -> list[str]:
        return [held["metadata"]["name"] for held in self.found(kind)]

    def see(self, maker: Manifest) -> Manifest:
        """Its controller has acted on what it says now."""
        held = self.cluster.objects[Ref.of(maker)]
        return self.put({**held, "status": {"observedGeneration": held["metadata"]["generation"]}})

    def settle(self, name: str) -> None:
        """A Deployment's controller and its ReplicaSet's have both seen its count."""
        deployment = self.see(next(item for item in self.found("Deployment") if item["metadata"]["name"] == name))
        owner = {"kind": "Deployment", "name": name, "uid": deployment["metadata"]["uid"], "controller": True}
        metadata = {"namespace": KEY.namespace, "name": name, "uid": name, "ownerReferences": [owner], "generation": 2}
        replicas = deployment["spec"]["replicas"]
        made = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": {"replicas": replicas}}
        self.store({**made, "status": {"observedGeneration": 2, "replicas": replicas}})

    def pods(self, maker: Manifest, count: int, *, ready: bool = False, **status: Any) -> list[Manifest]:
        """The first `count` pods of a StatefulSet or Deployment, made or changed by its controller."""
        self.see(maker)
        return [self._pod(maker, index, ready, status) for index in range(count)]

    def _pod(self, maker: Manifest, index: int, ready: bool, status: Manifest) -> Manifest:
        name = f"{maker['metadata']['name']}-{index}"
        template = copy.deepcopy(maker["spec"]["template"])
        own = {**template["metadata"]["labels"], labels.POD_INDEX: str(index)}
        conditions = [{"type": "Ready", "status": str(ready), "lastTransitionTime": builders.CREATED}]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"namespace": KEY.namespace, "name": name, "labels": own},
            "spec": {**template["spec"], "nodeName": f"node-{index}"},
            "status": {"phase": "Running", "podIP": f"127.0.0.{index + 1}", "conditions": conditions, **status},
        }
        return self.put(pod, uid=name)
