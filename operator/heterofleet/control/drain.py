"""Takes instances out of the endpoints and proves that they hold no request any more (contracts.md, "Drain").

A drain is marked on the pods themselves (label `state`, annotation `drain-deadline`), so a restart of the operator
loses nothing: only the two looks in a row that prove emptiness are repeated. What cannot be read counts as busy
until the deadline.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from heterofleet.api import labels
from heterofleet.api.conditions import LastDrain
from heterofleet.api.labels import Manifest, PodState
from heterofleet.cluster import errors
from heterofleet.cluster.client import Cluster
from heterofleet.cluster.objects import Ref
from heterofleet.cluster.records import PodRecord
from heterofleet.control import observe
from heterofleet.metrics.scrape import Engines

SETTLE_SECONDS = 2.0
"""Routers hear of the mark by their watch; requests that were on the way have arrived by then."""
LOOKS = 2
MOST_REMEMBERED = 1000
DRAINING_COST = "-2147483000"
DRAINED_COST = "-2147483647"
"""Deletion costs: a ReplicaSet takes drained pods first, then draining ones."""


@dataclass
class _Watch:
    """What this process has seen of one drain."""

    since: datetime
    at_start: int | None = None
    looked_at: datetime | None = None
    empty_looks: int = 0
    over: LastDrain | None = None


class Drains:
    """The drains of all fleets, by the UID of the pod that takes requests."""

    def __init__(self, cluster: Cluster, engines: Engines) -> None:
        self._cluster = cluster
        self._engines = engines
        self._watches: dict[str, _Watch] = {}

    async def mark(self, pods: Sequence[PodRecord], until: datetime, *, cost: str | None = None) -> list[Manifest]:
        """Label pods as draining, so that Services and routers leave them; gives the pods as they are then."""
        patches = [
            (pod, _mark(until, cost))
            for pod in pods
            if not observe.is_marked(pod) or (cost and pod.annotations.get(labels.POD_DELETION_COST) != cost)
        ]
        return await self._patch(patches)

    async def unmark(self, pods: Sequence[PodRecord]) -> list[Manifest]:
        """Put pods whose drain is called off back into the endpoints."""
        annotations = {labels.DRAIN_DEADLINE: None, labels.POD_DELETION_COST: None}
        patch = {"metadata": {"labels": {labels.STATE: PodState.SERVING}, "annotations": annotations}}
        for pod in pods:
            self._watches.pop(pod.uid, None)
        return await self._patch([(pod, patch) for pod in pods])

    async def look(
        self, instance: str, pod: PodRecord, routers: Sequence[PodRecord], now: datetime
    ) -> LastDrain | None:
        """The proof that a marked pod's drain is over, or None while it is not."""
        watch = self._watches.setdefault(pod.uid, _Watch(since=now))
        if watch.over is not None:
            return watch.over
        until = observe.deadline(pod.annotations)
        if until is not None and now >= until:
            watch.over = _proof(instance, watch, now, "the deadline passed before it held no request")
            return watch.over
        if pod.terminating or not pod.started:
            # Its supervisor drains it, or it has not answered anybody yet (again).
            watch.over = _proof(instance, watch, now, "")
            return watch.over
        if now < watch.since + timedelta(seconds=SETTLE_SECONDS) or _just_looked(watch, now):
            return None
        held = await self.in_flight(pod, routers)
        if watch.looked_at is None:
            watch.at_start = held
        watch.looked_at = now
        watch.empty_looks = watch.empty_looks + 1 if held == 0 else 0
        if watch.empty_looks >= LOOKS:
            watch.over = _proof(instance, watch, now, "")
        return watch.over

    async def in_flight(self, pod: PodRecord, routers: Sequence[PodRecord]) -> int | None:
        """Requests that an instance holds, by its engine and by every router; None when one of them is silent."""
        asked = [self._engines.router_in_flight(router.ip, pod.ip) for router in routers if router.ready and router.ip]
        engine, *by_router = await asyncio.gather(self._engines.engine_in_flight(pod.ip), *asked)
        if engine is None or any(count is None for count in by_router):
            return None
        return max(engine, sum(count for count in by_router if count is not None))

    def forget_gone(self, alive: Callable[[], Iterable[PodRecord]]) -> None:
        """Drop what is remembered of pods that are gone, now and then."""
        if len(self._watches) > MOST_REMEMBERED:
            present = {pod.uid for pod in alive()}
            self._watches = {uid: watch for uid, watch in self._watches.items() if uid in present}

    async def _patch(self, patches: Sequence[tuple[PodRecord, Manifest]]) -> list[Manifest]:
        changed = []
        for pod, patch in patches:
            try:
                ref = Ref("v1", "Pod", pod.namespace, pod.name)
                changed.append(await self._cluster.merge_patch(ref, patch, uid=pod.uid))
            except (errors.NotFound, errors.Conflict):
                continue  # It is gone, or another pod has its name: the watch will tell.
        return changed


def _mark(until: datetime, cost: str | None) -> Manifest:
    annotations = {labels.DRAIN_DEADLINE: until.isoformat(timespec="seconds")}
    if cost is not None:
        annotations[labels.POD_DELETION_COST] = cost
    return {"metadata": {"labels": {labels.STATE: PodState.DRAINING}, "annotations": annotations}}


def _just_looked(watch: _Watch, now: datetime) -> bool:
    return watch.looked_at is not None and now < watch.looked_at + timedelta(seconds=0.5)


def _proof(instance: str, watch: _Watch, now: datetime, aborted: str) -> LastDrain:
    return LastDrain(
        instance=instance,
        in_flight_at_start=watch.at_start,
        completed=now.replace(microsecond=0),
        aborted=bool(aborted),
        reason=aborted,
    )
