"""The router's process: builds the parts, feeds them their configuration, listens, and drains at SIGTERM.

`Router` is the only place where parts meet: everything below takes what it needs as arguments.
"""

import asyncio
import contextlib
import gc
import logging
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, Final

from heterofleet.api import routing
from heterofleet.api.labels import METRICS_PORT
from heterofleet.api.ladder import Escalation
from heterofleet.router import admin, files, front, spans
from heterofleet.router.attempts import Attempts
from heterofleet.router.books import Books
from heterofleet.router.call import Call
from heterofleet.router.climb import Climber
from heterofleet.router.climb import Tools as ClimbTools
from heterofleet.router.comparing import Comparisons
from heterofleet.router.configured import Configured
from heterofleet.router.copies import Copies
from heterofleet.router.dispatch import Dispatcher
from heterofleet.router.embeddings import Embedding
from heterofleet.router.embeddings import Tools as EmbeddingTools
from heterofleet.router.endpoints import Registry, Sighting
from heterofleet.router.gauges import Gauges
from heterofleet.router.inbound import Front
from heterofleet.router.keyring import Keyring
from heterofleet.router.logs import Logs
from heterofleet.router.metrics import Exposition, Metrics
from heterofleet.router.pipeline import Parts, Pipeline
from heterofleet.router.recall import Recall
from heterofleet.router.reviewing import Reviewing
from heterofleet.router.settings import Settings
from heterofleet.router.shadowing import Shadows
from heterofleet.router.snapshot import Rejected, Snapshot
from heterofleet.router.spans import Spans
from heterofleet.router.successes import Detour
from heterofleet.router.upstream import IDLE_SECONDS, Pool
from heterofleet.router.watchers import Watchers

_log = logging.getLogger(__name__)

HAND_ON_SECONDS: Final = 0.05
TIDY_SECONDS: Final = 1.0
COLLECTOR: Final = (50_000, 20, 100)
"""Thresholds of Python's collector: a request leaves no cycles behind, and its own (700 objects) would look for them
every few requests."""


class Router:
    """One router. `run` serves until it is told to stop; `failed` says whether it stopped by itself.

    Raises Misused for arguments that name what cannot be used.
    """

    def __init__(self, settings: Settings, traced: Spans | None = None) -> None:
        self._settings = settings
        self._spans = traced
        self._loop = loop = asyncio.get_running_loop()
        self._metrics = Metrics()
        self._registry = Registry(loop.time)
        self._attempts = Attempts(loop)
        self._chance = random.Random()  # noqa: S311  it spreads load, it guards nothing
        self._dispatcher = Dispatcher(self._registry, loop.time, self._chance)
        self._configured = Configured(
            settings.classifier(), self._apply, lambda: self._metrics.config_rejections.add(1)
        )
        self._detour = Detour(Escalation())
        self._recall = Recall(self._metrics)
        self._keyring = Keyring(settings.keys, settings.engine_keys)
        self._books = Books(settings, time.time, self._ended)
        self._logs = Logs(settings.access_log, settings.audit_log, loop)
        self._copies = Copies(self._dispatcher, self._attempts, lambda: self._keyring.engine, loop.time)
        self._comparisons = Comparisons(self._copies, self._dispatcher, self._metrics, self._chance)
        self._shadows = Shadows(self._copies, self._dispatcher, self._metrics, self._chance)
        self._embedding = Embedding(EmbeddingTools(loop, self._attempts, self._metrics, self._chance))
        self._leaving = False
        self._front: Front | None = None
        self.failed = False
        self.port = 0
        self.metrics_port = 0
        self.listening = asyncio.Event()
        self.stopping = asyncio.Event()
        self._pipeline = Pipeline(self._parts(self._climber()))
        self._gauges = Gauges(
            loop, self._registry, self._dispatcher, self._attempts, lambda: self._detour, self._connections,
            lambda: self._embedding.engines,
        )  # fmt: skip

    def _climber(self) -> Climber:
        return Climber(
            ClimbTools(
                loop=self._loop,
                registry=self._registry,
                dispatcher=self._dispatcher,
                attempts=self._attempts,
                metrics=self._metrics,
                detour=lambda: self._detour,
                stale=self._recall.stale,
                review=Reviewing(lambda: self._books.desk, time.time),
                compare=self._comparisons.before,
                chance=self._chance,
            )
        )

    def _parts(self, climber: Climber) -> Parts:
        return Parts(
            current=lambda: self._configured.current,
            keys=lambda: self._keyring.clients,
            ledger=lambda: self._books.ledger,
            detour=lambda: self._detour,
            engine_key=lambda: self._keyring.engine,
            climber=climber,
            embedding=self._embedding,
            caches=self._recall,
            after=self._after,
            metrics=self._metrics,
            log=self._logs.access,
            audit=self._logs.audit,
            trace=None if self._spans is None else self._spans.tell,
            chance=self._chance,
            now=self._loop.time,
        )

    def _after(self, call: Call) -> None:
        """What is done with a request once it was answered."""
        if call.snapshot.copies:
            self._comparisons.after(call)
            self._shadows.after(call)

    async def run(self) -> None:
        """Serves until `stopping` is set, then drains."""
        settings = self._settings
        answers = admin.Answers(self._exposition, self._configured.report, self._unready)
        try:
            async with self._background():
                await self._until(self._configured.heard)
                async with admin.serve(settings.metrics_host, self._metrics_port(), answers) as self.metrics_port:
                    await self._serve()
        finally:
            self._logs.close()

    async def _serve(self) -> None:
        """Listens once there is a configuration."""
        while self._configured.current is None:
            if self.stopping.is_set():
                return
            await asyncio.sleep(0.01)
        snapshot, settings = self._configured.current, self._settings
        paths = front.Paths(
            self._pipeline.handle,
            lambda: self._configured.current,
            lambda: self._keyring.clients,
            lambda: self._books.desk,
            time.time,
        )
        self._front = Front(paths.answer, snapshot.policy.limits, front.refusal, self._report)
        port = snapshot.config.port if settings.port is None else settings.port
        self.port = await self._front.listen(settings.host or "0.0.0.0", port)  # noqa: S104  a pod's own network
        self.listening.set()
        _log.info("listening on port %d, metrics on port %d", self.port, self.metrics_port)
        await self.stopping.wait()
        await self._leave(self._front)

    async def _until(self, event: asyncio.Event) -> None:
        """Waits for `event`, or until the router is to stop."""
        waits = [self._loop.create_task(one.wait()) for one in (event, self.stopping)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _leave(self, listening: Front) -> None:
        """Serves on while others still send here, then lets what runs end."""
        self._leaving = listening.leaving = True
        self._books.desk.leaving = True
        _log.info("leaving: no longer ready, serving on for %.0f s", self._settings.linger_seconds)
        await asyncio.sleep(self._settings.linger_seconds)
        whole = await listening.drain(self._settings.drain_seconds)
        if not whole:
            _log.warning("requests were cut off after %.0f s of draining", self._settings.drain_seconds)

    @contextlib.asynccontextmanager
    async def _background(self) -> AsyncIterator[None]:
        tasks = [self._loop.create_task(work, name=name) for name, work in self._work()]
        for task in tasks:
            task.add_done_callback(self._ended)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._copies.close()
            await self._recall.close()
            await self._books.close()
            for pool in self._pools():
                pool.close()

    def _work(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """What runs beside the requests, as long as the router does."""
        watchers = Watchers(
            self._registry,
            self._attempts,
            lambda: self._configured.current,
            lambda: self._keyring.engine,
            self._loop.time,
        )
        yield "source", self._follow()
        yield "sweep attempts", self._attempts.sweep()
        yield "watchers", watchers.run()
        yield "hand on", self._hand_on()
        yield "tidy", self._tidy()
        yield "keys", self._keyring.follow()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A part that ends by itself has failed; the router would go on half alive."""
        if not task.cancelled() and task.exception() is not None:
            _log.error("%s failed: the router stops", task.get_name(), exc_info=task.exception())
            self.failed = True
            self.stopping.set()

    async def _follow(self) -> None:
        settings = self._settings
        if settings.config is not None:
            await files.follow(settings.config, self._take_file)
            return
        from heterofleet.router import kube  # noqa: PLC0415  brings the Kubernetes client, which only a cluster needs

        await kube.follow(kube.Fleet(settings.namespace, settings.fleet), kube.Told(self._take_engines, self._take_map))

    def _take_file(self, text: str) -> None:
        try:
            config, plan = files.documents(text)
        except ValueError as exc:
            self._configured.refuse(text, str(exc))
        else:
            self._configured.take_plan(plan)
            self._configured.take_config(config)

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
        policy, former = snapshot.policy, self._configured.current
        sightings = self._sightings(snapshot)
        asked = policy.auth.keys_secret is not None
        clients = (self._keyring.clients or self._keyring.first_clients()) if asked else None
        self._books.configure(snapshot.config)
        self._keyring.clients = clients
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
            large_for_small=policy.fallback.large_for_small,
        )
        self._embedding.configure(policy.embeddings, policy.breaker)
        self._recall.configure(policy.cache, self._books.store, gives_stale=policy.fallback.cached)
        if sightings is not None:
            self._take_engines(sightings)

    def _sightings(self, snapshot: Snapshot) -> list[Sighting] | None:
        """The engines that a file names; None in a cluster, which is watched for them. Raises Rejected."""
        if self._settings.config is None:
            return None
        try:
            return files.sightings(snapshot.config)
        except ValueError as exc:
            raise Rejected(str(exc)) from exc

    async def _hand_on(self) -> None:
        """Deadlines of those that wait pass, and breakers let requests through again, without any other event."""
        while True:
            await asyncio.sleep(HAND_ON_SECONDS)
            if any(len(waiting) for waiting in self._dispatcher.waiting.values()):
                self._dispatcher.hand_on()

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(TIDY_SECONDS)
            self._configured.try_again()
            for pool in self._pools():
                pool.close_idle(self._loop.time() - IDLE_SECONDS)

    def _pools(self) -> list[Pool]:
        return [*(e.pool for e in self._registry.all()), *(e.pool for e in self._embedding.engines)]

    def _report(self, defect: BaseException) -> None:
        self._metrics.defects.add(1)
        _log.error("a request ended by a defect of the router", exc_info=defect)

    def _metrics_port(self) -> int:
        current = self._configured.current
        configured = METRICS_PORT if current is None else current.config.metrics_port
        return configured if self._settings.metrics_port is None else self._settings.metrics_port

    def _exposition(self) -> bytes:
        current = self._configured.current
        namespace = self._settings.namespace if current is None else current.config.namespace
        fleet = self._settings.fleet if current is None else current.config.fleet
        return Exposition(self._metrics, namespace, fleet, self._gauges).text()

    def _connections(self) -> int:
        return len(self._front.connections) if self._front is not None else 0

    def _unready(self) -> str | None:
        if self._leaving:
            return "the router is leaving"
        if self._configured.current is None:
            return f"no configuration is in force: {self._configured.error or 'none has come'}"
        if not self.listening.is_set():
            return "the router does not listen yet"
        return self._books.unready() if self._registry.synced else "the engines are not known yet"


async def serve(settings: Settings) -> None:
    """Runs a router until SIGTERM or SIGINT; ends the process with 1 if a part of it failed."""
    traced = spans.configured(os.environ, time.time)
    router = Router(settings, traced)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, router.stopping.set)
    # What is there by now stays to the end; the collector need not walk through it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR)
    await router.run()
    if traced is not None:
        await asyncio.to_thread(traced.close)
    if router.failed:
        sys.exit(1)
