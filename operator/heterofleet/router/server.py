"""The router's process: builds the parts, feeds them their configuration, listens, and drains at SIGTERM.

`run` is the only place where parts meet: everything below takes what it needs as arguments.
"""

import asyncio
import contextlib
import logging
import random
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import orjson

from heterofleet.api import routing
from heterofleet.api.policy import RouterPolicy
from heterofleet.api.policy import Store as StorePolicy
from heterofleet.router import admin, classify, files, front, spend
from heterofleet.router.accesslog import AccessLog
from heterofleet.router.attempts import Attempts
from heterofleet.router.auth import InvalidKeys, Keys
from heterofleet.router.breaker import State
from heterofleet.router.budget import Budgets
from heterofleet.router.call import Call
from heterofleet.router.climb import Climber
from heterofleet.router.climb import Tools as ClimbTools
from heterofleet.router.configured import Configured
from heterofleet.router.desk import ReviewDesk
from heterofleet.router.dispatch import Dispatcher
from heterofleet.router.endpoints import Registry, Sighting
from heterofleet.router.inbound import Front
from heterofleet.router.ledger import Ledger
from heterofleet.router.metrics import Exposition, Metrics
from heterofleet.router.pipeline import Parts, Pipeline
from heterofleet.router.recall import Recall
from heterofleet.router.reviewing import Reviewing
from heterofleet.router.settings import Settings
from heterofleet.router.snapshot import Rejected, Snapshot
from heterofleet.router.stores import Store
from heterofleet.router.stores.memory import MemoryStore
from heterofleet.router.successes import Detour
from heterofleet.router.watchers import Watchers

_log = logging.getLogger(__name__)

HAND_ON_SECONDS: Final = 0.05
CLOSE_IDLE_SECONDS: Final = 1.0
KEYS_SECONDS: Final = 2.0


class Router:
    """One router. `run` serves until it is told to stop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = loop = asyncio.get_running_loop()
        self._metrics = Metrics()
        self._registry = Registry(loop.time)
        self._attempts = Attempts(loop)
        self._chance = random.Random()  # noqa: S311  it spreads load, it guards nothing
        self._dispatcher = Dispatcher(self._registry, loop.time, self._chance)
        self._configured = Configured(classify.shipped(), self._apply, lambda: self._metrics.config_rejections.add(1))
        self._detour = Detour(self._policy().escalation)
        self._recall = Recall()
        self._keys: Keys | None = None
        self._store: Store = MemoryStore()
        self._store_policy = StorePolicy()
        self._desk = ReviewDesk(self._store, time.time)
        self._ledger = Ledger(uuid.uuid4().hex, Budgets(self._policy().tenants))
        self._accesslog = self._open_log()
        self._leaving = False
        self._front: Front | None = None
        self.port = 0
        self.metrics_port = 0
        self.listening = asyncio.Event()
        self.stopping = asyncio.Event()
        climber = Climber(
            ClimbTools(
                loop=loop,
                registry=self._registry,
                dispatcher=self._dispatcher,
                attempts=self._attempts,
                metrics=self._metrics,
                detour=lambda: self._detour,
                stale=self._recall.stale,
                review=Reviewing(lambda: self._desk, time.time),
                chance=self._chance,
                engine_key=self._engine_key,
            )
        )
        self._pipeline = Pipeline(
            Parts(
                current=lambda: self._configured.current,
                keys=lambda: self._keys,
                ledger=lambda: self._ledger,
                detour=lambda: self._detour,
                engine_key=self._engine_key,
                climber=climber,
                caches=self._recall,
                screen=_screen,
                after=_nothing_after,
                metrics=self._metrics,
                log=self._accesslog.put if self._accesslog is not None else None,
                chance=self._chance,
                now=loop.time,
            )
        )

    async def run(self) -> None:
        """Serves until `stopping` is set, then drains."""
        async with self._background():
            snapshot = await self._first_configuration()
            config = snapshot.config
            paths = front.Paths(
                self._pipeline.handle,
                lambda: self._configured.current,
                lambda: self._keys,
                lambda: self._desk,
                time.time,
            )
            self._front = Front(paths.answer, snapshot.policy.limits, front.refusal, self._report)
            settings = self._settings
            port = config.port if settings.port is None else settings.port
            metrics_port = config.metrics_port if settings.metrics_port is None else settings.metrics_port
            exposition = Exposition(self._metrics, config.namespace, config.fleet, self._gauges)
            answers = admin.Answers(exposition.text, self._configured.report, self._unready)
            async with admin.serve(settings.metrics_host, metrics_port, answers) as self.metrics_port:
                self.port = await self._front.listen(settings.host or "0.0.0.0", port)  # noqa: S104  a pod's own network
                self.listening.set()
                _log.info("listening on port %d, metrics on port %d", self.port, self.metrics_port)
                await self.stopping.wait()
                await self._leave(self._front)
        if self._accesslog is not None:
            self._accesslog.close()

    async def _leave(self, listening: Front) -> None:
        """Serves on while others still send here, then lets what runs end."""
        self._leaving = True
        _log.info("leaving: no longer ready, serving on for %.0f s", self._settings.linger_seconds)
        await asyncio.sleep(self._settings.linger_seconds)
        whole = await listening.drain(self._settings.drain_seconds)
        if not whole:
            _log.warning("requests were cut off after %.0f s of draining", self._settings.drain_seconds)

    @contextlib.asynccontextmanager
    async def _background(self) -> AsyncIterator[None]:
        watchers = Watchers(
            self._registry, self._attempts, lambda: self._configured.current, self._engine_key, self._loop.time
        )
        tasks = [
            self._loop.create_task(coroutine, name=name)
            for name, coroutine in (
                ("source", self._follow()),
                ("sweep attempts", self._attempts.sweep()),
                ("watchers", watchers.run()),
                ("spend", spend.keep_in_step(self._ledger, self._store, time.time)),
                ("hand on", self._hand_on()),
                ("keys", self._read_keys_for_ever()),
            )
        ]
        for task in tasks:
            task.add_done_callback(self._ended)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._desk.close()
            await self._store.close()
            for endpoint in self._registry.all():
                endpoint.pool.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A part that ends by itself has failed; the router would go on half alive."""
        if not task.cancelled() and task.exception() is not None:
            _log.error("%s failed: the router stops", task.get_name(), exc_info=task.exception())
            self.stopping.set()
            self.listening.set()

    async def _follow(self) -> None:
        settings = self._settings
        if settings.config is not None:
            await files.follow(settings.config, self._take_file)
            return
        from heterofleet.router import kube  # noqa: PLC0415  brings the Kubernetes client, which only a cluster needs

        await kube.follow(kube.Fleet(settings.namespace, settings.fleet), kube.Told(self._take_engines, self._take_map))

    def _take_file(self, text: str) -> None:
        try:
            as_json = orjson.dumps(files.text_as_json_object(text)).decode()
        except (ValueError, TypeError) as exc:
            _log.error("the configuration is refused and the former one stays: %s", exc)  # noqa: TRY400
            return
        self._configured.take_config(as_json)
        current = self._configured.current
        if current is not None:
            try:
                self._take_engines(files.sightings(current.config))
            except ValueError as exc:
                _log.error("the engines of the configuration are refused: %s", exc)  # noqa: TRY400

    def _take_engines(self, sightings: list[Sighting]) -> None:
        if self._registry.replace(sightings):
            self._dispatcher.hand_on()

    def _take_map(self, data: dict[str, str] | None) -> None:
        """What the ConfigMap holds; while there is none the last one stays in force."""
        if data is None:
            return
        if routing.CONFIG_KEY in data:
            self._configured.take_config(data[routing.CONFIG_KEY])
        if routing.PLAN_KEY in data:
            self._configured.take_plan(data[routing.PLAN_KEY])

    def _apply(self, snapshot: Snapshot) -> None:
        """Tells the parts that keep state what has changed. Raises Rejected before anything has."""
        policy = snapshot.policy
        if policy.auth.keys_secret is not None and self._keys is None:
            self._read_keys(required=True)
        if policy.auth.keys_secret is None:
            self._keys = None
        former = self._configured.current
        if former is None or former.policy.escalation != policy.escalation:
            self._detour = Detour(policy.escalation)
        self._registry.configure(policy.breaker)
        self._attempts.limits = policy.limits
        if self._front is not None:
            self._front.limits = policy.limits
        weights = {tenant.name: tenant.weight for tenant in policy.tenants.named}
        self._dispatcher.configure(
            policy.queue,
            policy.affinity,
            {tier: settings.max_in_flight for tier, settings in snapshot.tiers.items()},
            lambda tenant: weights.get(tenant, 1.0),
        )
        self._ledger.policy = Budgets(policy.tenants)
        self._recall.configure(policy.cache, self._store)

    async def _first_configuration(self) -> Snapshot:
        while self._configured.current is None:
            await asyncio.sleep(0.01)
            if self.stopping.is_set():
                raise SystemExit(1)
        return self._configured.current

    async def _hand_on(self) -> None:
        """Deadlines of those that wait pass, and breakers let requests through again, without any other event."""
        closed = 0.0
        while True:
            await asyncio.sleep(HAND_ON_SECONDS)
            if any(len(waiting) for waiting in self._dispatcher.waiting.values()):
                self._dispatcher.hand_on()
            now = self._loop.time()
            if now - closed >= CLOSE_IDLE_SECONDS:
                closed = now
                for endpoint in self._registry.all():
                    endpoint.pool.close_idle(now - IDLE_CONNECTION_SECONDS)

    async def _read_keys_for_ever(self) -> None:
        while True:
            await asyncio.sleep(KEYS_SECONDS)
            current = self._configured.current
            if current is not None and current.policy.auth.keys_secret is not None:
                with contextlib.suppress(Rejected):
                    self._read_keys(required=False)

    def _read_keys(self, *, required: bool) -> None:
        """Keys as they are mounted now; what cannot be read leaves the former ones. Raises Rejected where there are none."""
        try:
            texts = {path.name: path.read_text() for path in _entries(self._settings.keys)}
            self._keys = Keys.parse(texts)
        except (OSError, UnicodeDecodeError, InvalidKeys) as exc:
            if required:
                raise Rejected(f"auth.keysSecret: {exc}") from exc
            _log.warning("the clients' keys cannot be read, the former ones stay: %s", exc)

    def _engine_key(self) -> bytes | None:
        return None

    def _policy(self) -> RouterPolicy:
        current = self._configured.current
        return current.policy if current is not None else RouterPolicy()

    def _open_log(self) -> AccessLog | None:
        where = self._settings.access_log
        if where == "none":
            return None
        out = sys.stdout.buffer if where == "-" else Path(where).open("ab")  # noqa: SIM115  the log's thread keeps it open
        return AccessLog(out, self._loop)

    def _report(self, defect: BaseException) -> None:
        self._metrics.defects.add(1)
        _log.error("a request ended by a defect of the router", exc_info=defect)

    def _unready(self) -> str | None:
        if self._leaving:
            return "the router is leaving"
        return None if self._registry.synced else "the engines are not known yet"

    def _gauges(self) -> Iterator[tuple[str, str, tuple[str, ...], dict[tuple[str, ...], float]]]:
        now = self._loop.time()
        endpoints = self._registry.all()
        waiting = self._dispatcher.waiting
        yield (
            "in_flight_requests", "Requests of this router under way at an endpoint.", ("tier", "endpoint"),
            {(e.tier, e.key): float(e.in_flight) for e in endpoints},
        )  # fmt: skip
        yield (
            "breaker_open", "1 while an endpoint gets no requests since it failed.", ("tier", "endpoint"),
            {(e.tier, e.key): float(e.breaker.state(now) is not State.CLOSED) for e in endpoints},
        )  # fmt: skip
        yield (
            "endpoints", "Endpoints by state.", ("tier", "state"),
            _counted((e.tier, "serving" if e.serves else "draining" if e.draining else "starting") for e in endpoints),
        )  # fmt: skip
        yield (
            "queue_requests", "Requests that wait for a place.", ("tier",),
            {(tier,): float(len(queue)) for tier, queue in waiting.items()},
        )  # fmt: skip
        yield (
            "queue_oldest_age_seconds", "How long the one has waited that waits longest.", ("tier",),
            {(tier,): queue.oldest_age(now) for tier, queue in waiting.items()},
        )  # fmt: skip
        connections = float(len(self._front.connections)) if self._front is not None else 0.0
        yield "connections", "Open connections of clients.", (), {(): connections}
        yield "attempts_in_flight", "Attempts under way.", (), {(): float(len(self._attempts))}
        success = self._detour.standing(now)
        yield "small_success_ratio", "Share of good answers of the small tier in the window.", (), {(): success.share}
        yield "detour", "1 while act requests go to the large tier at once.", (), {(): float(self._detour.active)}


IDLE_CONNECTION_SECONDS: Final = 4.0
"""vLLM's server closes idle connections after 5 s; one that is reused right then would lose its request."""


def _counted(keys: Iterator[tuple[str, str]]) -> dict[tuple[str, ...], float]:
    counts: dict[tuple[str, ...], float] = {}
    for key in keys:
        counts[key] = counts.get(key, 0.0) + 1.0
    return counts


def _entries(folder: Path) -> list[Path]:
    """The files of a mounted Secret; what begins with dots is Kubernetes' own."""
    return [path for path in folder.iterdir() if not path.name.startswith("..") and path.is_file()]


def _screen(_call: Call) -> None:
    """Until there are rules."""


def _nothing_after(_call: Call) -> None:
    """Until there is something to compare."""


async def serve(settings: Settings) -> None:
    """Runs a router until SIGTERM or SIGINT."""
    router = Router(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, router.stopping.set)
    await router.run()
