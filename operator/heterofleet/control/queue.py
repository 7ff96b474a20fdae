"""Decides which fleet is reconciled when: one worker a fleet at a time, and no fleet at another's expense.

Stands between everything that notices a change (watches, kopf, timers) and `reconcile`. A key that is added
while it runs is run once more afterwards; a failing key comes back after 1 s doubling to 5 min, with jitter; every
key comes back within the resync period. Three lanes keep a bad day of some fleets from becoming everybody's:
changes go before routine (resync, start-up), and fleets that failed last time may hold only half of the workers.
"""

import asyncio
import enum
import heapq
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from heterofleet.api.labels import FleetKey
from heterofleet.cluster import errors
from heterofleet.control import logs

_log = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS: Final = 1.0
LONGEST_BACKOFF_SECONDS: Final = 300.0
JITTER: Final = 0.1
LONGEST_RECONCILE_SECONDS: Final = 120.0
"""A reconcile that hangs would hold a worker for ever."""
SLACK: Final = 1000
"""Overtaken wishes that may stay in the timeline before it is made anew."""


class Lane(enum.Enum):
    """In order of precedence."""

    CHANGED = enum.auto()
    ROUTINE = enum.auto()
    FAILING = enum.auto()


class Meter(Protocol):
    def reconciled(self, outcome: str, seconds: float) -> None: ...


@dataclass
class _Entry:
    due: float
    urgent: bool


class Queue:
    """Runs `reconcile` for keys; it returns in how many seconds it wants to be called again, or None."""

    def __init__(
        self,
        reconcile: Callable[[FleetKey], Awaitable[float | None]],
        *,
        exists: Callable[[FleetKey], bool],
        workers: int,
        resync_seconds: float,
        meter: Meter,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._reconcile = reconcile
        self._exists = exists
        self._workers = workers
        self._most_failing = max(1, workers // 2)
        self._resync_seconds = resync_seconds
        self._meter = meter
        self._jitter = jitter
        self._entries: dict[FleetKey, _Entry] = {}
        self._timeline: list[tuple[float, FleetKey]] = []
        self._lanes: dict[Lane, dict[FleetKey, None]] = {lane: {} for lane in Lane}
        self._running: dict[FleetKey, Lane] = {}
        self._again: dict[FleetKey, _Entry] = {}
        self._failures: dict[FleetKey, int] = {}
        self._not_before: dict[FleetKey, float] = {}
        self._wake = asyncio.Event()
        self._stopping = False

    def add(self, key: FleetKey, delay: float = 0.0, *, urgent: bool = True) -> None:
        """Asks for a run of `key` in `delay` seconds; of several wishes the earliest counts.

        A fleet that just failed waits out at least the first backoff, since its own failing may cause changes.
        """
        due = max(asyncio.get_running_loop().time() + delay, self._not_before.get(key, 0.0))
        entries = self._again if key in self._running else self._entries
        entry = entries.get(key)
        if entry is None:
            entry = entries[key] = _Entry(due, urgent)
        elif due < entry.due or (urgent and not entry.urgent):
            entry.due, entry.urgent = min(due, entry.due), urgent or entry.urgent
        else:
            return
        if entries is self._entries:
            self._unlane(key)
            heapq.heappush(self._timeline, (entry.due, key))
            self._wake.set()

    def depth(self) -> int:
        """Keys that are due and wait for a worker."""
        return sum(map(len, self._lanes.values()))

    def failing(self) -> int:
        return len(self._failures)

    def stop(self) -> None:
        """Takes no new key; `run` ends when the running ones have."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Runs keys as they come due, until `stop`."""
        async with asyncio.TaskGroup() as group:
            while not self._stopping:
                self._wake.clear()
                self._sort_due()
                while (picked := self._pick()) is not None:
                    key, lane = picked
                    self._running[key] = lane
                    group.create_task(self._work(key), name=f"reconcile {key.namespace}/{key.name}")
                await self._wait()

    async def _wait(self) -> None:
        due = self._timeline[0][0] if self._timeline else None
        try:
            async with asyncio.timeout_at(due):
                await self._wake.wait()
        except TimeoutError:
            return

    def _sort_due(self) -> None:
        now = asyncio.get_running_loop().time()
        if len(self._timeline) > 2 * len(self._entries) + SLACK:
            self._timeline = sorted((entry.due, key) for key, entry in self._entries.items())
        while self._timeline and self._timeline[0][0] <= now:
            due, key = heapq.heappop(self._timeline)
            entry = self._entries.get(key)
            # The timeline keeps what was overtaken by an earlier wish; the entry tells.
            if entry is not None and entry.due == due:
                self._lanes[self._lane(key, entry)][key] = None

    def _lane(self, key: FleetKey, entry: _Entry) -> Lane:
        if key in self._failures:
            return Lane.FAILING
        return Lane.CHANGED if entry.urgent else Lane.ROUTINE

    def _pick(self) -> tuple[FleetKey, Lane] | None:
        if len(self._running) >= self._workers:
            return None
        for lane, keys in self._lanes.items():
            if lane is Lane.FAILING and self._count_failing() >= self._most_failing:
                continue
            for key in keys:
                del keys[key]
                del self._entries[key]
                return key, lane
        return None

    def _count_failing(self) -> int:
        return sum(lane is Lane.FAILING for lane in self._running.values())

    def _unlane(self, key: FleetKey) -> None:
        for keys in self._lanes.values():
            keys.pop(key, None)

    async def _work(self, key: FleetKey) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            with logs.about(key):
                wish = await self._attempt(key)
        finally:
            del self._running[key]
            again = self._again.pop(key, None)
            self._wake.set()
        self._meter.reconciled("failed" if key in self._failures else "done", loop.time() - started)
        if again is not None:
            self.add(key, max(0.0, again.due - loop.time()), urgent=again.urgent)
        if self._exists(key):
            self.add(key, wish, urgent=False)
        elif again is None:
            self._forget(key)

    async def _attempt(self, key: FleetKey) -> float:
        """Reconciles once and gives the seconds to the next time; whatever goes wrong stays with this fleet."""
        try:
            async with asyncio.timeout(LONGEST_RECONCILE_SECONDS):
                wish = await self._reconcile(key)
        except errors.ClusterError as exc:
            delay = self._fail(key)
            _log.warning("Reconcile failed, next in %.1f s: %s", delay, exc)
            return delay
        except Exception:  # noqa: BLE001 (a fleet whose reconcile has a bug must not stop the others)
            delay = self._fail(key)
            _log.exception("Reconcile failed, next in %.1f s", delay)
            return delay
        self._forget(key)
        resync = self._resync_seconds * (1 + JITTER * (2 * self._jitter() - 1))
        return resync if wish is None else min(wish, resync)

    def _fail(self, key: FleetKey) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        backoff = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 16), LONGEST_BACKOFF_SECONDS)
        self._not_before[key] = asyncio.get_running_loop().time() + FIRST_BACKOFF_SECONDS
        return backoff * (1 + JITTER * (2 * self._jitter() - 1))

    def _forget(self, key: FleetKey) -> None:
        self._failures.pop(key, None)
        self._not_before.pop(key, None)
