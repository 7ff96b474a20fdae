"""The operator's parts in this process, against the real API server, with a clock that a test moves.

Everything is real but for three things that a test must hold in its hand: the time (`advance`), what engines, routers
and supervisors answer (`engines`), and when the operator dies (`kill`, `dies_after`). It runs in a thread with an
event loop of its own, so tests are plain functions. It leads without a Lease and watches without kopf; the real
process is `testbed.operatorprocess`.
"""

import asyncio
import contextlib
import hashlib
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from heterofleet.api.labels import FleetKey, Manifest
from heterofleet.cluster import connection
from heterofleet.cluster.cache import Cache, Listeners
from heterofleet.cluster.client import KubeCluster
from heterofleet.cluster.objects import Ref
from heterofleet.cluster.reflector import Reflection
from heterofleet.control import entry
from heterofleet.control.events import Events
from heterofleet.control.queue import Queue
from heterofleet.control.reconcile import IncompleteError, Reconciler, Tools
from heterofleet.control.settings import Settings
from heterofleet.desired.platform import Platform
from heterofleet.metrics.scrape import RouterAnswer, SupervisorAnswer
from testbed.eventually import eventually

START_SECONDS = 30.0


class Clock:
    """The real time, plus what a test has added."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class PlayedEngines:
    """What a fleet's processes answer: by pod name, else the default. None plays silence."""

    cache: Callable[[], Cache]
    in_flight: dict[str, int | None] = field(default_factory=dict)
    by_router: dict[tuple[str, str], int | None] = field(default_factory=dict)
    digests: dict[str, RouterAnswer | None] = field(default_factory=dict)
    supervisors: dict[str, SupervisorAnswer | None] = field(default_factory=dict)
    agreed: bool | None = True
    asked: int = 0

    async def engine_in_flight(self, address: str) -> int | None:
        self.asked += 1
        return self.in_flight.get(self._pod(address), 0)

    async def router_in_flight(self, router: str, endpoint: str) -> int | None:
        return self.by_router.get((self._pod(router), self._pod(endpoint)), 0)

    async def router_config(self, router: str) -> RouterAnswer | None:
        name = self._pod(router)
        return self.digests[name] if name in self.digests else RouterAnswer(digest=self._stored_digest(router))

    async def supervisor(self, address: str) -> SupervisorAnswer | None:
        return self.supervisors.get(self._pod(address))

    async def epochs_agree(self, addresses: tuple[str, ...]) -> bool | None:
        return self.agreed

    def _pod(self, address: str) -> str:
        return next((pod.name for pod in self.cache().all_pods() if pod.ip == address), "")

    def _stored_digest(self, router: str) -> str:
        """Routers read the ConfigMap: what is stored is what they run."""
        pod = next((pod for pod in self.cache().all_pods() if pod.ip == router), None)
        if pod is None:
            return ""
        fleet = pod.labels["heterofleet.io/fleet"]
        held = self.cache().children(FleetKey(pod.namespace, fleet))
        config = held.get(Ref("v1", "ConfigMap", pod.namespace, f"{fleet}-router"))
        return hashlib.sha256(config.body["data"]["config.json"].encode()).hexdigest() if config else ""


@dataclass
class Meter:
    """Counts what the operator writes, and lets it die after so many writes."""

    writes: list[tuple[str, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    allowed: float = math.inf

    def wrote(self, verb: str, kind: str) -> None:
        if kind != "Event":
            self.writes.append((verb, kind))

    def failed(self, reason: str) -> None:
        self.failures.append(reason)

    def reconciled(self, outcome: str, seconds: float) -> None:
        self.outcomes.append(outcome)

    def dropped_event(self) -> None:
        self.failures.append("event dropped")

    def seconds_left(self) -> float:
        return math.inf if len(self.writes) < self.allowed else 0.0


class Operator:
    """One operator for some namespaces; `start` after `kill` is a new process that remembers nothing."""

    def __init__(self, kubeconfig: Path, namespaces: Sequence[str]) -> None:
        self._kubeconfig = kubeconfig
        self._namespaces = tuple(namespaces)
        self.clock = Clock()
        self.meter = Meter()
        self.engines = PlayedEngines(lambda: self._cache)
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
        tools = Tools(
            cluster=cluster,
            cache=self._cache,
            events=events,
            engines=self.engines,
            platform=lambda: self.platform(entry.platform(settings, self._cache)),
            clock=self.clock,
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
