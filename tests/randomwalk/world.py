"""Where one walk takes place: a namespace with GPU nodes, a claim and operators of its own on a shared cluster."""

import http.client
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

from heterofleet.api import labels
from randomwalk import operators, specs
from randomwalk.actions import Manifest
from randomwalk.generator import SLOTS
from randomwalk.history import Deed, History, Observatory
from randomwalk.operators import Crew, Nursery
from reconcile.site import POOL, Site
from testbed import nodes, stages
from testbed.api import ApiError
from testbed.controlplane import Cluster
from testbed.datacentre import DataCentre
from testbed.eventually import eventually
from testbed.namespaces import create_namespace

T = TypeVar("T")
P = ParamSpec("P")

NODES = 5
MORE_NODES = 8
"""With these every fleet that can be drawn fits, its rolls included."""
SPARE_SECONDS = 240
CHILD_KINDS = (
    "statefulsets",
    "deployments",
    "replicasets",
    "pods",
    "services",
    "configmaps",
    "controllerrevisions",
    "serviceaccounts",
    "roles",
    "rolebindings",
    "networkpolicies",
    "poddisruptionbudgets",
    "heterogeneoustiers",
)
SERVER_STAYS = threading.Lock()
"""Held by who needs the API server for a while, and by who restarts it."""
FOREIGN = "randomwalk.heterofleet.io/foreign"
"""Label of objects that are the walk's own and that no operator may touch."""


@dataclass
class World:
    """One walk's place, and what the walk has done there so far."""

    cluster: Cluster
    site: Site
    crew: Crew
    centre: DataCentre
    history: History
    seed: int
    lost: set[str] = field(default_factory=set)
    cordoned: set[str] = field(default_factory=set)
    quotas: set[str] = field(default_factory=set)
    foreign: dict[str, str] = field(default_factory=dict)
    """Path of each foreign object, and its UID."""

    @property
    def namespace(self) -> str:
        return self.site.namespace

    def fleet(self, letter: str) -> str:
        """A fleet's name; no other walk has it, so that a pod's name is enough to find its engine."""
        return f"{letter}{self.seed}"

    def path(self, plural: str, name: str = "") -> str:
        return self.site.path(plural, name, _VERSIONS.get(plural))

    def items(self, plural: str, fleet: str = "") -> list[Manifest]:
        """The objects of a fleet, or of all fleets."""
        selector = f"{labels.FLEET}={fleet}" if fleet else labels.FLEET
        return self.persistently(self.cluster.api.items, self.path(plural), labelSelector=selector)

    def fleets(self) -> list[Manifest]:
        return self.persistently(self.cluster.api.items, self.path(labels.FLEET_PLURAL))

    def did(self, what: str, fleet: str, names: Iterable[str]) -> None:
        """Note a deed of the walk before it is done."""
        self.history.deeds.append(Deed(time.time(), what, fleet, frozenset(names)))

    def persistently(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The answer of a call, repeated while the API server is away (another walk may have stopped it)."""
        deadline = time.monotonic() + SPARE_SECONDS
        while True:
            try:
                return call(*args, **kwargs)
            except ApiError as exc:
                if exc.status not in (429, 500, 503) or time.monotonic() > deadline:
                    raise
            except (OSError, http.client.HTTPException):
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def unmark(self, pod: Manifest) -> None:
        """Take every mark of the stages from a pod that was set on it later than by its template."""
        found = pod["metadata"].get("annotations") or {}
        marks = {key: None for key in found if key.startswith(stages.MARK) and key != specs.TERMINATION}
        if marks:
            path = self.path("pods", pod["metadata"]["name"])
            body = {"metadata": {"annotations": marks}}
            self.persistently(tolerating, lambda: self.cluster.api.merge(path, body))

    def close(self) -> None:
        """Give everything back; the namespace goes in the background."""
        self.crew.stop()
        api = self.cluster.api
        self.persistently(api.delete, f"/api/v1/namespaces/{self.namespace}")
        self.persistently(self.site.remove_nodes, *self.site.machines)
        self.persistently(api.delete, self.path("pods"), gracePeriodSeconds="0")
        self.persistently(api.delete, f"/api/v1/persistentvolumes/{self.namespace}")
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        for plural in ("clusterroles", "clusterrolebindings"):
            name = f"{operators.ROLE}-{self.namespace}"
            self.persistently(api.delete, f"{rbac}/{plural}/{name}")


_VERSIONS = {"replicasets": "apps/v1", "leases": "coordination.k8s.io/v1"}


def tolerating(call: Callable[[], object]) -> None:
    """A call about an object that may be gone."""
    try:
        call()
    except ApiError as exc:
        if exc.status not in (404, 409):
            raise


def namespace_of(seed: int) -> str:
    return f"walk-{seed}"


def selector_of(seed: int) -> dict[str, str]:
    """The node selector that keeps a walk's pods on its own nodes."""
    return {POOL: namespace_of(seed)}


def make(
    seed: int, cluster: Cluster, observatory: Observatory, centre: DataCentre, nursery: Nursery, folder: Path
) -> World:
    """The place of a seed's walk."""
    with SERVER_STAYS:
        return _make(seed, cluster, observatory, centre, nursery, folder)


def _make(
    seed: int, cluster: Cluster, observatory: Observatory, centre: DataCentre, nursery: Nursery, folder: Path
) -> World:
    namespace = namespace_of(seed)
    folder.mkdir(parents=True, exist_ok=True)
    site = Site(cluster, namespace)
    eventually(lambda: cluster.api.find(f"/api/v1/namespaces/{namespace}") is None, 60, f"no {namespace} is left")
    create_namespace(cluster.api, namespace)
    operators.grant(cluster, namespace, SLOTS)
    history = observatory.of(namespace)
    crew = Crew(cluster, nursery, namespace, folder, SLOTS)
    world = World(cluster, site, crew, centre, history, seed)
    site.add_nodes(NODES)
    _make_claim(world)
    return world


def _make_claim(world: World) -> None:
    """A volume and its claim, bound to each other."""
    api, modes, size = world.cluster.api, ["ReadWriteMany"], {"storage": "1Ti"}
    claim = {"accessModes": modes, "storageClassName": "", "volumeName": world.namespace}
    own = {"name": specs.CLAIM, "namespace": world.namespace}
    volume = {
        "accessModes": modes,
        "capacity": size,
        "hostPath": {"path": "/weights"},
        "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **own},
    }
    api.create("/api/v1/persistentvolumes", {"metadata": {"name": world.namespace}, "spec": volume})
    path = world.path("persistentvolumeclaims")
    api.create(path, {"metadata": own, "spec": {**claim, "resources": {"requests": size}}})

    def is_bound() -> bool:
        found = api.get(world.path("persistentvolumeclaims", specs.CLAIM))
        return bool(found.get("status", {}).get("phase") == "Bound")

    eventually(is_bound, 60, "the claim is bound")


def more_nodes(world: World) -> None:
    """Enough machines for everything."""
    world.persistently(world.site.add_nodes, MORE_NODES)


def lose(world: World, node: str) -> None:
    world.lost.add(node)
    nodes.lose(world.cluster.api, node)


def recover(world: World, node: str) -> None:
    nodes.recover(world.cluster.api, node)
    world.lost.discard(node)
