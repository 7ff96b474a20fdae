"""The operator's process around a reconciler of twenty lines: what the process tests run.

It writes one ConfigMap a fleet, with the fleet's generation in it, owned by the fleet, and the observed generation
into status. `SMALL_OPERATOR_WRITE_EVERY` makes it write without end, for the tests of who may write.
"""

import itertools
import os
import sys
from collections.abc import Callable, Iterable

from heterofleet.api import labels
from heterofleet.api.labels import FleetKey, Manifest
from heterofleet.cluster import apply, objects
from heterofleet.cluster.cache import Cache
from heterofleet.cluster.client import Cluster
from heterofleet.cluster.objects import Ref
from heterofleet.control import logs, main
from heterofleet.control.events import EventSink
from heterofleet.control.settings import Settings


class SmallReconciler:
    def __init__(self, cluster: Cluster, cache: Cache, settings: Settings, events: EventSink) -> None:
        self._cluster = cluster
        self._cache = cache
        self._events = events
        self._identity = settings.identity
        self._every = float(os.environ.get("SMALL_OPERATOR_WRITE_EVERY", "0"))
        self._count = itertools.count()

    async def plan(self, wake: Callable[[FleetKey], None]) -> None:
        """Nothing is planned here."""

    async def reconcile(self, key: FleetKey) -> float | None:
        fleet = self._cache.fleet(key)
        if fleet is None or "deletionTimestamp" in fleet["metadata"]:
            return None
        generation = fleet["metadata"]["generation"]
        logs.at_generation(generation)
        if fleet["metadata"].get("annotations", {}).get("small/fails"):
            raise ValueError("this fleet fails on purpose")
        data = {"generation": str(generation)}
        if self._every:
            data = {"writer": self._identity, "count": str(next(self._count))}
        uid = fleet["metadata"]["uid"]
        desired = self._config_map(key, uid, data)
        todo = objects.changes([desired], self._cache.children(key), owner_uid=uid)
        outcome = await apply.execute(todo, self._cluster, self._cache, owner_uid=uid)
        if outcome.failed:
            raise outcome.failed[0].error
        if fleet.get("status", {}).get("observedGeneration") != generation:
            self._events.emit(fleet, kind="Normal", reason="Applied", message=f"Generation {generation} applied.")
            stored = await self._cluster.apply_status(Ref.of(fleet), {"observedGeneration": generation}, uid=uid)
            self._cache.put(stored)
        return self._every or None

    def waiting_for_devices(self) -> Iterable[FleetKey]:
        return ()

    def _config_map(self, key: FleetKey, uid: str, data: dict[str, str]) -> Manifest:
        owner = {
            "apiVersion": labels.API_VERSION,
            "kind": labels.FLEET_KIND,
            "name": key.name,
            "uid": uid,
            "controller": True,
        }
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "namespace": key.namespace,
                "name": f"{key.name}-small",
                "labels": {labels.FLEET: key.name},
                "ownerReferences": [owner],
            },
            "data": data,
        }


if __name__ == "__main__":
    sys.exit(main.run(SmallReconciler))
