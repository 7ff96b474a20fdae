"""A router in a cluster: watches the pods of its fleet and the ConfigMap that holds its configuration.

Pods, not EndpointSlices: address, readiness, deletion and labels stand in one object, without a second controller's
lag. A mounted volume would lag by a minute, so the ConfigMap is watched too. While the API server is away the last
known state stays in force. Loaded only in a cluster: it brings the Kubernetes client with it.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Iterator
from typing import Final, NamedTuple

from heterofleet.api import labels
from heterofleet.api.labels import Component, Manifest, PodState, Tier
from heterofleet.cluster import connection, kinds
from heterofleet.cluster.objects import Ref
from heterofleet.cluster.reflector import Reflector, Source
from heterofleet.router.endpoints import Address, Sighting

GATHER_SECONDS: Final = 0.005
"""Pod events come in bursts; one look a burst is enough, and a deletion is still known within milliseconds."""
_CONFIG_MAP: Final = kinds.BY_NAME["v1", "ConfigMap"]


class Fleet(NamedTuple):
    """Whose router this is."""

    namespace: str
    name: str


class Told(NamedTuple):
    """Where what is watched goes: all engines at each change, and the ConfigMap's data, None when there is none."""

    engines: Callable[[list[Sighting]], None]
    config: Callable[[dict[str, str] | None], None]


class _Memory:
    """What the reflectors fill; tells of changes once a burst."""

    def __init__(self, told: Told, loop: asyncio.AbstractEventLoop) -> None:
        self._told = told
        self._loop = loop
        self._objects: dict[Ref, Manifest] = {}
        self._unsynced: set[str] = set()
        self._due: asyncio.TimerHandle | None = None

    def expect(self, source: str) -> None:
        self._unsynced.add(source)

    def mark_synced(self, source: str) -> None:
        self._unsynced.discard(source)
        self._changed()

    def mark_unreadable(self, source: str, kind: kinds.Kind) -> None:
        """Without rights nothing is known, and what was known stays; the reflector has logged it."""

    def put(self, manifest: Manifest) -> None:
        self._objects[Ref.of(manifest)] = manifest
        self._changed()

    def remove(self, ref: Ref, uid: str, resource_version: int) -> None:
        held = self._objects.get(ref)
        if held is not None and held["metadata"]["uid"] == uid:
            del self._objects[ref]
            self._changed()

    def retain(self, kind: kinds.Kind, namespace: str, seen: Collection[Ref], resource_version: int) -> None:
        """A list is complete and newer than what this router holds: it writes nothing itself."""
        for ref in [ref for ref in self._objects if ref.kind == kind.kind and ref not in seen]:
            del self._objects[ref]
        self._changed()

    def _changed(self) -> None:
        if not self._unsynced and self._due is None:
            self._due = self._loop.call_later(GATHER_SECONDS, self._tell)

    def _tell(self) -> None:
        self._due = None
        pods = [found for ref, found in self._objects.items() if ref.kind == "Pod"]
        self._told.engines(list(sightings(pods)))
        stored = next((found for ref, found in self._objects.items() if ref.kind == "ConfigMap"), None)
        self._told.config(stored.get("data") or {} if stored is not None else None)


def sightings(pods: Collection[Manifest]) -> Iterator[Sighting]:
    """The engines among a fleet's pods: leaders of the large tier and every pod of the small one.

    An instance drains when any of its pods does (contracts.md, "Drain"); a pod that is being deleted drains too.
    Where not one pod is ready, those count of which their kubelet said so last: after an API server was away, the
    controller of nodes calls every node lost that it did not hear of, and its pods not ready, while they serve. A
    machine that is off then costs attempts until breakers open, which is less than to refuse everything.
    """
    leaving = {_instance(pod) for pod in pods if _drains(pod)}
    telling = "Ready" if any(_is(pod, "Ready") for pod in pods) else "ContainersReady"
    for pod in pods:
        found = _labels(pod)
        address = (pod.get("status") or {}).get("podIP")
        tier = found.get(labels.TIER)
        if not address or tier not in (Tier.LARGE, Tier.SMALL) or found.get(labels.COMPONENT) != Component.ENGINE:
            continue
        if tier == Tier.LARGE and found.get(labels.POD_INDEX) != "0":
            continue
        yield Sighting(
            address=Address(address, labels.ENGINE_PORT),
            tier=Tier(tier),
            ready=_is(pod, telling),
            draining=_drains(pod) or _instance(pod) in leaving,
            life=pod["metadata"]["uid"],
        )


def _labels(pod: Manifest) -> dict[str, str]:
    found: dict[str, str] = pod["metadata"].get("labels") or {}
    return found


def _instance(pod: Manifest) -> tuple[str, str]:
    """What drains together: the ranks of a large instance, or one small pod."""
    found = _labels(pod)
    if found.get(labels.TIER) == Tier.LARGE and labels.INSTANCE in found:
        return Tier.LARGE, found[labels.INSTANCE]
    return Tier.SMALL, pod["metadata"]["name"]


def _drains(pod: Manifest) -> bool:
    return "deletionTimestamp" in pod["metadata"] or _labels(pod).get(labels.STATE) == PodState.DRAINING


def _is(pod: Manifest, condition: str) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == condition and c.get("status") == "True" for c in conditions)


async def follow(fleet: Fleet, told: Told) -> None:
    """Watches until it is cancelled. Raises Unavailable where there is no usable configuration of the cluster."""
    loop = asyncio.get_running_loop()
    memory = _Memory(told, loop)
    pages = asyncio.Semaphore(2)
    sources = (
        Source(kinds.POD, fleet.namespace, f"{labels.FLEET}={fleet.name},{labels.COMPONENT}={Component.ENGINE}"),
        Source(_CONFIG_MAP, fleet.namespace, name=f"{fleet.name}-router"),
    )
    async with connection.connect() as link, asyncio.TaskGroup() as group:
        for source in sources:
            reflector = Reflector(source, link, memory, pages=pages, clock=loop.time, jitter=random.random)
            group.create_task(reflector.run(), name=str(source))
