"""Looks after engines beside the requests: now and then a token from those that are idle, and what each has to do.

An engine may answer /health and still not generate, so an idle one is asked for a token; a loaded one never is, since a
probe that queues behind real work would take healthy engines out under overload (architecture.md, principle 6). What
engines run and hold back beyond our own requests comes from other routers, and counts as load; how much of its cache
an engine needs for them tells whether any is left for conversations to come (`pick`).
"""

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import Final

import orjson

from heterofleet.router import requesthead
from heterofleet.router.attempts import Attempts
from heterofleet.router.endpoints import Endpoint, Registry
from heterofleet.router.openai import Operation
from heterofleet.router.snapshot import Snapshot

LOOK_SECONDS: Final = 1.0
LOADS_SECONDS: Final = 2.0
PROBE_SECONDS: Final = 20.0
METRICS_SECONDS: Final = 1.5
MOST_AT_ONCE: Final = 16
_HELD: Final = re.compile(rb"^vllm:num_requests_(?:running|waiting)(?:\{[^}]*\})? +([0-9.eE+]+)", re.MULTILINE)

_CACHE_USE: Final = re.compile(rb"^vllm:kv_cache_usage_perc(?:\{[^}]*\})? +([0-9.eE+-]+)", re.MULTILINE)


class Watchers:
    """The two loops; `current` gives the snapshot in force, None while there is none."""

    def __init__(self, registry: Registry, attempts: Attempts, current: Callable[[], Snapshot | None],
                 engine_key: Callable[[], bytes | None], now: Callable[[], float]) -> None:  # fmt: skip
        self._registry, self._attempts, self._current, self._now = registry, attempts, current, now
        self._engine_key = engine_key
        self._gate = asyncio.Semaphore(MOST_AT_ONCE)
        self._probing: set[Endpoint] = set()

    async def run(self) -> None:
        """Watches until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._probe_for_ever(group), name="probe idle engines")
            group.create_task(self._read_loads_for_ever(), name="read engines' loads")

    async def _probe_for_ever(self, group: asyncio.TaskGroup) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            snapshot = self._current()
            pause = snapshot.policy.breaker.probe_idle_seconds if snapshot is not None else 0.0
            if snapshot is None or not pause:
                continue
            for endpoint in self._registry.all():
                if self._is_due(endpoint, pause):
                    self._probing.add(endpoint)
                    group.create_task(self._probe(endpoint, snapshot), name=f"probe {endpoint.key}")

    def _is_due(self, endpoint: Endpoint, pause: float) -> bool:
        idle = endpoint.serves and not endpoint.in_flight and not endpoint.foreign and endpoint not in self._probing
        return idle and self._now() - endpoint.idle_since >= pause and endpoint.breaker.allows(self._now())

    async def _probe(self, endpoint: Endpoint, snapshot: Snapshot) -> None:
        try:
            async with self._gate:
                endpoint.breaker.sent(self._now())
                if await self.generates(endpoint, snapshot):
                    endpoint.breaker.succeeded(self._now())
                else:
                    endpoint.breaker.failed(self._now())
        finally:
            endpoint.idle_since = self._now()
            self._probing.discard(endpoint)

    async def generates(self, endpoint: Endpoint, snapshot: Snapshot) -> bool:
        """Whether the engine answers with a token now."""
        model = endpoint.model or snapshot.tiers[endpoint.tier].served_name
        body = orjson.dumps({"model": model, "prompt": "1", "max_tokens": 1, "temperature": 0})
        tail = requesthead.head_tail({}, b"probe", self._engine_key())
        request = requesthead.whole(Operation.COMPLETIONS, endpoint.head, tail, body)
        answer = await self._ask(endpoint, request, PROBE_SECONDS)
        return answer is not None and b'"choices"' in answer

    async def _read_loads_for_ever(self) -> None:
        while True:
            await asyncio.sleep(LOADS_SECONDS)
            await asyncio.gather(*(self._read_load(e) for e in self._registry.all() if e.serves))

    async def _read_load(self, endpoint: Endpoint) -> None:
        async with self._gate:
            text = await self._ask(endpoint, b"GET /metrics HTTP/1.1%b\r\n" % endpoint.head, METRICS_SECONDS)
        if text is not None:
            endpoint.heard(held_requests(text) or 0, cache_use(text))

    async def _ask(self, endpoint: Endpoint, request: bytes, seconds: float) -> bytes | None:
        under = await self._attempts.begin(endpoint, request, seconds, None)
        under.abort()
        return under.attempt.body if under.attempt.whole and under.attempt.status == 200 else None


def held_requests(text: bytes) -> int | None:
    """Requests that an engine runs or holds back, by its metrics; None where it does not say."""
    found = _HELD.findall(text)
    with contextlib.suppress(ValueError, OverflowError):
        return int(sum(map(float, found))) if found else None
    return None


def cache_use(text: bytes) -> float:
    """The share of an engine's KV cache that running sequences hold, in the mean of its ranks; 0 if it says none."""
    found = _CACHE_USE.findall(text)
    with contextlib.suppress(ValueError):
        return sum(map(float, found)) / len(found) if found else 0.0
    return 0.0
