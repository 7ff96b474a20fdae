"""The operator's parts in this process, against the real API server, with a clock that a test moves.

Everything is real but for three things that a test must hold in its hand: the time (`advance`), what engines, routers
and supervisors answer (`engines`), and when the operator dies (`kill`, `dies_after`). It runs in a thread with an
event loop of its own, so tests are plain functions. It leads without a Lease and watches without kopf; the real
process is `testbed.operatorprocess`.
"""

import asyncio
import contextlib
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from heterofleet.api.labels import FleetKey, Manifest
from heterofleet.cluster import connection
from heterofleet.cluster.cache import Cache, Listeners
from heterofleet.cluster.client import KubeCluster
from heterofleet.cluster.reflector import Reflection
from heterofleet.control import entry, virtual
from heterofleet.control.events import Events
from heterofleet.control.loads import Loads
from heterofleet.control.lore import Lore
from heterofleet.control.planner import Planner
from heterofleet.control.queue import Queue
from heterofleet.control.reconcile import IncompleteError, Reconciler, Tools
from heterofleet.control.settings import Settings
from heterofleet.desired.platform import Platform
from heterofleet.planning import catalogue
from reconcile.played import Clock, Meter, PlayedEngines, PlayedPrometheus
from testbed.eventually import eventually

START_SECONDS = 30.0


class Operator:
    """One operator for some namespaces; `start` after `kill` is a new process that remembers nothing."""

    def __init__(self, kubeconfig: Path, namespaces: Sequence[str]) -> None:
        self._kubeconfig = kubeconfig
        self._namespaces = tuple(namespaces)
        self.clock = Clock()
        self.meter = Meter()
        self.engines = PlayedEngines(lambda: self._cache)
        self.prometheus = PlayedPrometheus()
        self.platform: Callable[[Platform], Platform] = lambda platform: platform
        self._cache: Cache
        self._queue: Queue
        self._reconciler: Reconciler
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    # ---- its life

    def start(self, writes: float = math.inf) -> Self:
        """A new process: empty memory, caches filled, every fleet queued; it dies after so many writes."""
        self._started.clear()
        self.dies_after(writes)
        self._thread = threading.Thread(target=self._run, name="operator", daemon=True)
        self._thread.start()
        if not self._started.wait(START_SECONDS) or self._error is not None:
            raise RuntimeError("the operator did not start") from self._error
        return self

    def kill(self) -> None:
        """End it in the middle of whatever it does; its memory is lost."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._main is None:
            return
        with contextlib.suppress(RuntimeError):  # It may have ended by itself.
            self._loop.call_soon_threadsafe(self._main.cancel)
        thread.join(START_SECONDS)
        if self._error is not None:
            raise RuntimeError("the operator broke down") from self._error

    def restart(self, writes: float = math.inf) -> None:
        self.kill()
        self.start(writes)

    def dies_after(self, writes: float) -> None:
        """Let so many writes through from now on and no more, as if it were killed right after the last."""
        self.meter.allowed = len(self.meter.writes) + writes

    @property
    def is_dead(self) -> bool:
        return self.meter.seconds_left() <= 0

    # ---- time

    def advance(self, seconds: float) -> None:
        """Let time pass for the operator, and have it look at every fleet."""
        self.clock.ahead += timedelta(seconds=seconds)
        self.look()

    def look(self) -> None:
        """Have every fleet reconciled once more."""
        self._call(self._enqueue_all)

    def plan(self) -> None:
        """One look at the load and one plan of every fleet, and what comes of it."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._plan(), self._loop).result(30)

    async def _plan(self) -> None:
        await self._loads.look()
        for key in self._cache.fleets():
            if await self._planner.tick(key):
                self._queue.add(key)

    def now(self) -> datetime:
        return self.clock()

    # ---- what it did

    def writes(self) -> list[tuple[str, str]]:
        """(verb, kind) of each write since the last call, but Events."""
        seen, self.meter.writes = self.meter.writes[:], []
        return seen

    def settle(self) -> None:
        """Wait until a reconcile of every fleet writes nothing."""

        def is_at_rest() -> bool:
            before = len(self.meter.writes)
            try:
                for key in self._cache.fleets():
                    self.reconcile_now(*key)
            except IncompleteError:
                return False
            return len(self.meter.writes) == before

        eventually(is_at_rest, message="a reconcile writes nothing")

    def reconcile_now(self, namespace: str, name: str) -> None:
        """One reconcile, here and now, whose error is the test's."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._reconcile(FleetKey(namespace, name)), self._loop).result(30)

    async def _reconcile(self, key: FleetKey) -> float | None:
        """One at a time for a fleet, as the queue has it, also where a test asks beside it."""
        async with self._turns.setdefault(key, asyncio.Lock()):
            return await self._reconciler.reconcile(key)

    def _call(self, function: Callable[[], Any]) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(function)

    def _enqueue_all(self) -> None:
        for key in self._cache.fleets():
            self._queue.add(key)

    # ---- its parts

    def _run(self) -> None:
        self._error = None
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            try:
                runner.run(self._supervise())
            except asyncio.CancelledError:
                return
            except BaseException as exc:  # noqa: BLE001  the thread of the test raises it
                self._error = exc
            finally:
                self._started.set()
                # Closed TLS connections are taken down by the loop, which is closed itself after this.
                runner.run(asyncio.sleep(0.1))

    async def _supervise(self) -> None:
        self._main = asyncio.current_task()
        async with connection.connect(self._kubeconfig) as link:
            cluster = KubeCluster(link, write_seconds_left=self.meter.seconds_left, meter=self.meter)
            self._turns: dict[FleetKey, asyncio.Lock] = {}
            synced = asyncio.Event()
            self._cache = Cache(Listeners(self._changed, self._node_changed, self._freed, synced.set))
            loop_time = asyncio.get_running_loop().time
            reflection = Reflection(
                link,
                self._cache,
                namespaces=self._namespaces,
                served_kinds=cluster.served_kinds,
                clock=loop_time,
                sleep=_sleep_a_little,
            )
            events = Events(cluster, self.meter, "test", clock=loop_time)
            self._reconciler = self._build(cluster, events)
            self._queue = Queue(
                self._reconcile,
                exists=lambda key: self._cache.fleet_version(key) > 0,
                workers=4,
                resync_seconds=600,
                meter=self.meter,
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(reflection.run())
                group.create_task(events.run())
                await synced.wait()
                self._started.set()
                self._enqueue_all()
                await self._queue.run()

    def _build(self, cluster: KubeCluster, events: Events) -> Reconciler:
        settings = Settings(identity="test", pod_namespace="operators", router_image="router:test")
        clock = virtual.Clock(self.clock)
        self._loads = Loads(self.prometheus, self.engines, clock)
        self._planner = Planner(self._loads, Lore(catalogue.load(), clock), clock, lambda: 0.5)
        tools = Tools(
            cluster=cluster,
            cache=self._cache,
            events=events,
            engines=self.engines,
            platform=lambda: self.platform(entry.platform(settings, self._cache)),
            clock=self.clock,
            planner=self._planner,
        )
        return Reconciler(tools)

    def _changed(self, key: FleetKey) -> None:
        if self._started.is_set():
            self._queue.add(key)

    def _node_changed(self, node: str) -> None:
        if self._started.is_set():
            for key in self._cache.fleets_on(node):
                self._queue.add(key)
            self._freed()

    def _freed(self) -> None:
        if self._started.is_set():
            for key in self._reconciler.waiting_for_devices():
                self._queue.add(key, urgent=False)


async def _sleep_a_little(seconds: float) -> None:
    """Kinds that come later are looked for every minute; a test waits for a second."""
    await asyncio.sleep(min(seconds, 1.0))


def with_images(engine: str) -> Callable[[Platform], Platform]:
    """The platform of an operator whose default engine image is another one."""
    return lambda platform: replace(platform, engine_image=engine)


def owned_by(manifest: Manifest) -> str:
    """UID of the controller of an object."""
    owners = manifest["metadata"].get("ownerReferences", ())
    return next((owner["uid"] for owner in owners if owner.get("controller")), "")
