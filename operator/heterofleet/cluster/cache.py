"""Holds what the cluster looks like, as last heard: fleets, their children and pods, and nodes.

Stands between the writers (reflectors, kopf's handlers, and the answers to our own applies) and `reconcile`,
which reads nothing else. Answers and events overtake each other, so an object is replaced by a newer
resourceVersion only, and one that was seen deleted does not come back by an older one. A change tells the fleet's
key and nothing more: every trigger runs the same reconcile.
"""

import dataclasses
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from heterofleet.api import labels
from heterofleet.api.labels import FleetKey, Manifest
from heterofleet.cluster import kinds
from heterofleet.cluster.objects import Observed, Ref
from heterofleet.cluster.records import NodeRecord, PodRecord

_Held = TypeVar("_Held")

MOST_TOMBSTONES: Final = 4096
"""Deletions remembered against late answers; an answer is late by seconds, not by thousands of deletions."""


@dataclasses.dataclass(frozen=True)
class Listeners:
    """Who is told: of a fleet or node that changed, of devices that became free, and once that all is known."""

    fleet_changed: Callable[[FleetKey], None]
    node_changed: Callable[[str], None]
    devices_freed: Callable[[], None]
    synced: Callable[[], None]


class Cache:
    """Fleets by key, their children by Ref, their pods and all nodes by name."""

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self._fleets: dict[FleetKey, Observed] = {}
        self._children: defaultdict[FleetKey, dict[Ref, Observed]] = defaultdict(dict)
        self._pods: defaultdict[FleetKey, dict[Ref, PodRecord]] = defaultdict(dict)
        self._nodes: dict[str, NodeRecord] = {}
        self._homes: dict[Ref, FleetKey] = {}
        self._tombstones: OrderedDict[Ref, int] = OrderedDict()
        self._served: frozenset[tuple[str, str]] = frozenset()
        self._unsynced: set[str] = set()
        self._unreadable: dict[str, str] = {}

    def fleet(self, key: FleetKey) -> Manifest | None:
        """The resource as stored, or None when there is no such fleet."""
        held = self._fleets.get(key)
        return held.body if held else None

    def fleet_version(self, key: FleetKey) -> int:
        """The resourceVersion under which a fleet is held, 0 when there is none."""
        held = self._fleets.get(key)
        return held.resource_version if held else 0

    def fleets(self) -> tuple[FleetKey, ...]:
        return tuple(self._fleets)

    def tiers(self, key: FleetKey) -> tuple[Observed, ...]:
        return tuple(held for ref, held in self._children_of(key).items() if ref.kind == labels.TIER_KIND)

    def children(self, key: FleetKey) -> Mapping[Ref, Observed]:
        """All objects that carry the fleet's label, but pods; a copy that stays as it is."""
        return dict(self._children_of(key))

    def uid_of(self, ref: Ref) -> str | None:
        """The UID under which an object is known, or None."""
        held = self._held(ref)
        return held.uid if held else None

    def pods(self, key: FleetKey) -> tuple[PodRecord, ...]:
        return tuple(self._pods[key].values()) if key in self._pods else ()

    def all_pods(self) -> Iterable[PodRecord]:
        """The pods of all fleets."""
        for pods in self._pods.values():
            yield from pods.values()

    def nodes(self) -> Mapping[str, NodeRecord]:
        return MappingProxyType(self._nodes)

    def fleets_on(self, node: str) -> frozenset[FleetKey]:
        """The fleets that have a pod on a node."""
        return frozenset(key for key, pods in self._pods.items() if any(pod.node == node for pod in pods.values()))

    def served(self, api_version: str, kind: str) -> bool:
        """Says whether this cluster has one of the kinds that may be absent."""
        return (api_version, kind) in self._served

    def set_served(self, served: frozenset[tuple[str, str]]) -> None:
        """Takes note of the kinds that are there; all fleets are looked at again when that changed."""
        if served != self._served:
            self._served = served
            for key in self._fleets:
                self._listeners.fleet_changed(key)

    @property
    def synced(self) -> bool:
        """Says whether every source has been listed once; before that nothing may be concluded from absence."""
        return not self._unsynced

    def expect(self, source: str) -> None:
        self._unsynced.add(source)

    def mark_synced(self, source: str) -> None:
        self._unreadable.pop(source, None)
        self._settle_source(source)

    def mark_unreadable(self, source: str, kind: kinds.Kind) -> None:
        """Notes that a right or the kind is missing.

        The operator works without nodes and optional kinds, but for what needs them; without its own kinds, pods
        and other children it must not, since it would take everything for absent.
        """
        self._unreadable[source] = kind.kind
        if kind == kinds.NODE or kind.optional:
            self._settle_source(source)

    def _settle_source(self, source: str) -> None:
        if source in self._unsynced:
            self._unsynced.discard(source)
            if not self._unsynced:
                self._listeners.synced()

    def unreadable(self) -> frozenset[str]:
        """The kinds that this process cannot read, mostly for want of a right."""
        return frozenset(self._unreadable.values())

    def sizes(self) -> Mapping[str, int]:
        """How many objects are held, by kind of record."""
        return {
            "fleets": len(self._fleets),
            "children": sum(map(len, self._children.values())),
            "pods": sum(map(len, self._pods.values())),
            "nodes": len(self._nodes),
        }

    def put(self, manifest: Manifest) -> bool:
        """Takes an object in; says whether it was news (it is not when the same or a newer one is held)."""
        match manifest["kind"]:
            case "Node":
                return self._put_node(NodeRecord.of(manifest))
            case "Pod":
                return self._put_pod(Ref.of(manifest), PodRecord.of(manifest))
            case labels.FLEET_KIND:
                return self._put_fleet(Observed.of(manifest))
            case "ControllerRevision" if not _is_made_by_a_fleet(manifest):
                return False  # A StatefulSet's own history carries its template's labels.
            case _:
                return self._put_child(Observed.of(manifest))

    def remove(self, ref: Ref, uid: str = "", resource_version: int = 0) -> bool:
        """Forgets an object that was deleted, unless another one with its name has been taken in since."""
        if resource_version:
            self._bury(ref, resource_version)
        held = self._held(ref)
        if held is None or (uid and held.uid != uid):
            return False
        if isinstance(held, NodeRecord):
            del self._nodes[ref.name]
            self._listeners.node_changed(ref.name)
            return True
        key = self._homes.pop(ref)
        self._drop(key, ref)
        self._listeners.fleet_changed(key)
        if isinstance(held, PodRecord) and held.devices and held.node:
            self._listeners.devices_freed()
        return True

    def retain(self, kind: kinds.Kind, namespace: str, seen: Collection[Ref], resource_version: int) -> None:
        """Forgets objects of a kind that a complete list of `resource_version` no longer had.

        What is newer than the list was made meanwhile (by our own apply, say) and stays.
        """
        for ref, held in list(self._of_kind(kind, namespace)):
            if ref not in seen and held.resource_version <= resource_version:
                self.remove(ref, held.uid)

    def _children_of(self, key: FleetKey) -> Mapping[Ref, Observed]:
        return self._children.get(key) or {}

    def _of_kind(self, kind: kinds.Kind, namespace: str) -> Iterable[tuple[Ref, Observed | PodRecord | NodeRecord]]:
        if kind == kinds.NODE:
            for name, node in self._nodes.items():
                yield Ref("v1", "Node", "", name), node
            return
        for ref in self._homes:
            if (ref.api_version, ref.kind) == kind[:2] and namespace in ("", ref.namespace):
                held = self._held(ref)
                if held is not None:
                    yield ref, held

    def _held(self, ref: Ref) -> Observed | PodRecord | NodeRecord | None:
        if ref.kind == "Node":
            return self._nodes.get(ref.name)
        key = self._homes.get(ref)
        if key is None:
            return None
        match ref.kind:
            case labels.FLEET_KIND:
                return self._fleets.get(key)
            case "Pod":
                return self._pods[key].get(ref)
            case _:
                return self._children[key].get(ref)

    def _is_old(self, ref: Ref, resource_version: int) -> bool:
        held = self._held(ref)
        newest = held.resource_version if held else self._tombstones.get(ref, 0)
        return resource_version <= newest

    def _put_node(self, record: NodeRecord) -> bool:
        if self._is_old(Ref("v1", "Node", "", record.name), record.resource_version):
            return False
        before = self._nodes.get(record.name)
        self._nodes[record.name] = record
        # A node's heartbeat changes its resourceVersion and nothing that decisions need.
        if before is None or dataclasses.replace(before, resource_version=record.resource_version) != record:
            self._listeners.node_changed(record.name)
        return True

    def _put_pod(self, ref: Ref, record: PodRecord) -> bool:
        if self._is_old(ref, record.resource_version):
            return False
        before = self._held(ref)
        key = self._settle(ref, FleetKey(record.namespace, record.labels.get(labels.FLEET, "")))
        self._pods[key][ref] = record
        if not isinstance(before, PodRecord):
            self._listeners.fleet_changed(key)
        elif dataclasses.replace(before, resource_version=record.resource_version) != record:
            self._listeners.fleet_changed(key)
            if record.finished and not before.finished:
                self._listeners.devices_freed()
        return True

    def _put_fleet(self, observed: Observed) -> bool:
        ref = observed.ref
        if self._is_old(ref, observed.resource_version):
            return False
        key = self._settle(ref, FleetKey(ref.namespace, ref.name))
        self._fleets[key] = observed
        self._listeners.fleet_changed(key)
        return True

    def _put_child(self, observed: Observed) -> bool:
        ref = observed.ref
        if self._is_old(ref, observed.resource_version):
            return False
        key = self._settle(ref, FleetKey(ref.namespace, observed.labels.get(labels.FLEET, "")))
        self._children[key][ref] = observed
        self._listeners.fleet_changed(key)
        return True

    def _settle(self, ref: Ref, key: FleetKey) -> FleetKey:
        """Files an object under its fleet; one whose label was changed leaves its former fleet, which is told."""
        former = self._homes.get(ref)
        if former is not None and former != key:
            self._drop(former, ref)
            self._listeners.fleet_changed(former)
        self._homes[ref] = key
        self._tombstones.pop(ref, None)
        return key

    def _drop(self, key: FleetKey, ref: Ref) -> None:
        match ref.kind:
            case labels.FLEET_KIND:
                self._fleets.pop(key, None)
            case "Pod":
                _drop_from(self._pods, key, ref)
            case _:
                _drop_from(self._children, key, ref)

    def _bury(self, ref: Ref, resource_version: int) -> None:
        self._tombstones[ref] = max(resource_version, self._tombstones.pop(ref, 0))
        if len(self._tombstones) > MOST_TOMBSTONES:
            self._tombstones.popitem(last=False)


def _drop_from(shelves: dict[FleetKey, dict[Ref, _Held]], key: FleetKey, ref: Ref) -> None:
    shelf = shelves.get(key)
    if shelf is not None:
        shelf.pop(ref, None)
        if not shelf:
            del shelves[key]


def _is_made_by_a_fleet(manifest: Manifest) -> bool:
    owners = manifest["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") and owner["kind"] == labels.FLEET_KIND for owner in owners)
