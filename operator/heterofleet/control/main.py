"""The operator's process: wires the parts together, starts them in order and stops them in order.

Read it to see who talks to whom. Start: the caches fill (reflection), kopf watches the custom resources, the Lease
is asked for; when the caches are full and the Lease is ours, every fleet is queued, those whose spec changed while
nobody watched first. Stop: no new reconcile, the running ones end, Events go out, then the Lease is given back.
Anything else that ends, a lost Lease above all, ends the process, and the kubelet starts a new one.
"""

import asyncio
import gc
import logging
import math
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import uvloop

from heterofleet.api.labels import FleetKey
from heterofleet.cluster import connection
from heterofleet.cluster.cache import Cache, Listeners
from heterofleet.cluster.client import Cluster, KubeCluster
from heterofleet.cluster.reflector import Reflection
from heterofleet.control import health, leader, logs, metrics, series, watcher
from heterofleet.control.events import Events, EventSink
from heterofleet.control.queue import Queue
from heterofleet.control.settings import Settings, SettingsError

_log = logging.getLogger(__name__)

GRACE_SECONDS: Final = 20.0
"""For running reconciles at a stop; the chart's terminationGracePeriodSeconds is longer."""
FLUSH_SECONDS: Final = 2.0
COLLECTOR: Final = (200_000, 10, 100)
"""Thresholds of Python's collector: its own (700 objects) would walk through everything that is being listed again
and again, which tripled the time to fill the caches of a thousand fleets (8.5 s to 2.6 s)."""


class Reconciler(Protocol):
    """What brings one fleet to what its spec says."""

    async def plan(self, wake: Callable[[FleetKey], None]) -> None:
        """Makes plans for ever beside the reconciles; `wake` asks for a reconcile."""

    async def reconcile(self, key: FleetKey) -> float | None:
        """Runs once; gives the seconds after which it wants to run again at the latest, or None."""

    def waiting_for_devices(self) -> Iterable[FleetKey]:
        """Names the fleets that would go on if a node came, changed, or got devices free."""


Factory = Callable[[Cluster, Cache, Settings, EventSink], Reconciler]


class Operator:
    """All parts of one process; `run` runs them until `stop`."""

    def __init__(
        self,
        settings: Settings,
        factory: Factory,
        *,
        link: connection.Connection,
        lease_link: connection.Connection,
    ) -> None:
        self._settings = settings
        self._metrics = metrics.Metrics()
        self._synced = asyncio.Event()
        self._stopping = asyncio.Event()
        self._working = asyncio.Event()
        self._active = False
        unguarded = KubeCluster(lease_link, write_seconds_left=lambda: math.inf, meter=self._metrics)
        self._election = leader.Election(unguarded, settings.lease, settings.identity)
        cluster = KubeCluster(link, write_seconds_left=self._election.write_seconds_left, meter=self._metrics)
        self._cache = Cache(Listeners(self._fleet_changed, self._node_changed, self._devices_freed, self._synced.set))
        clock = asyncio.get_running_loop().time
        self._reflection = Reflection(
            link,
            self._cache,
            namespaces=settings.namespaces,
            served_kinds=cluster.served_kinds,
            clock=clock,
        )
        self._events = Events(cluster, self._metrics, settings.identity, clock=clock)
        self._reconciler = factory(cluster, self._cache, settings, self._events)
        self._queue = Queue(
            self._reconciler.reconcile,
            exists=lambda key: self._cache.fleet_version(key) > 0,
            workers=settings.workers,
            resync_seconds=settings.resync_seconds,
            meter=self._metrics,
        )
        self._metrics.observe(
            queue_depth=self._queue.depth,
            leading=self._election.leading.is_set,
            silence_seconds=self._reflection.silence_seconds,
        )
        self._metrics.count_objects(self._cache.sizes)
        self._metrics.collect_fleets(series.FleetSeries(self._cache))

    def stop(self) -> None:
        """Asks for a graceful end."""
        self._stopping.set()

    async def run(self) -> None:
        probes = health.Probes(lambda: self._cache.synced, self._reflection.silence_seconds, self._metrics.exposition)
        async with health.serve(self._settings.metrics_host, self._settings.metrics_port, probes) as port:
            _log.info("Serving health and metrics on port %d", port)
            try:
                await self._run_parts()
            finally:
                # Whatever ended the process, all writers have ended by now and a standby need not wait.
                await self._election.release()

    async def _run_parts(self) -> None:
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self._work(), name="work")
            background = [
                group.create_task(part, name=name)
                for name, part in (
                    ("reflection", self._reflection.run()),
                    ("events", self._events.run()),
                    ("election", self._election.run()),
                    ("kopf", self._watch()),
                    ("plans", self._plan()),
                )
            ]
            await self._stopping.wait()
            await self._finish(work)
            for task in background:
                task.cancel()

    async def _watch(self) -> None:
        await self._synced.wait()
        await watcher.run(self._cache, self._settings.namespaces)

    async def _work(self) -> None:
        """Reconciles from when the caches are full and the Lease is ours."""
        await self._synced.wait()
        _log.info("The caches are filled: %s", dict(self._cache.sizes()))
        # What was listed stays for long, so that the collector need never look at it again.
        gc.collect()
        gc.freeze()
        await self._election.leading.wait()
        self._active = True
        self._working.set()
        for key in self._cache.fleets():
            self._queue.add(key, urgent=not self._is_settled(key))
        await self._queue.run()

    async def _plan(self) -> None:
        """Plans from when the caches are full and the Lease is ours: a standby asks nobody anything."""
        await self._working.wait()
        await self._reconciler.plan(self._fleet_changed)

    async def _finish(self, work: asyncio.Task[None]) -> None:
        self._active = False
        self._queue.stop()
        if not self._election.leading.is_set() or not self._synced.is_set():
            work.cancel()
        _, unfinished = await asyncio.wait([work], timeout=GRACE_SECONDS)
        for task in unfinished:
            _log.warning("Reconciles still run after %g s and are cut off", GRACE_SECONDS)
            task.cancel()
        if self._election.leading.is_set():
            try:
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._events.flush()
            except TimeoutError:
                _log.warning("Not all Events were written")

    def _is_settled(self, key: FleetKey) -> bool:
        """Says whether the spec was seen by whoever led before; odd statuses are looked at first, too."""
        fleet = self._cache.fleet(key)
        status = fleet.get("status") if fleet else None
        if fleet is None or not isinstance(status, dict):
            return False
        return bool(status.get("observedGeneration") == fleet["metadata"].get("generation"))

    def _fleet_changed(self, key: FleetKey) -> None:
        if self._active:
            self._queue.add(key)

    def _node_changed(self, node: str) -> None:
        if self._active:
            for key in self._cache.fleets_on(node):
                self._queue.add(key)
            self._devices_freed()

    def _devices_freed(self) -> None:
        if self._active:
            for key in self._reconciler.waiting_for_devices():
                self._queue.add(key, urgent=False)


async def operate(settings: Settings, factory: Factory) -> None:
    """Runs the operator until SIGTERM or SIGINT; raises what ended it otherwise."""
    # Renewals have a way of their own: they must not wait for a slot behind requests that a slow server holds up.
    async with connection.connect() as link, connection.connect() as lease_link:
        operator = Operator(settings, factory, link=link, lease_link=lease_link)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(logs.on_loop_error)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, operator.stop)
        await operator.run()


def run(factory: Factory) -> int:
    """Reads the environment and runs; gives the exit status."""
    try:
        settings = Settings.read()
    except SettingsError as exc:
        sys.stderr.write(f"The operator's settings are wrong:\n{exc}\n")
        return 2
    logs.configure(settings.log_format, settings.log_level)
    gc.set_threshold(*COLLECTOR)
    ended = False
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(operate(settings, factory))
    except* (leader.LeaseLost, watcher.WatcherEndedError) as group:
        ended = True
        for reason in group.exceptions:
            _log.error("Exiting: %s", reason)
    return 1 if ended else 0
