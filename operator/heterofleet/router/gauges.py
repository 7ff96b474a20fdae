"""The gauges of a router: what is so at the moment of a scrape, read from the parts that know it."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from heterofleet.router.attempts import Attempts
from heterofleet.router.breaker import State
from heterofleet.router.counts import Labels
from heterofleet.router.dispatch import Dispatcher
from heterofleet.router.embeddings import Engine
from heterofleet.router.endpoints import Endpoint, Registry
from heterofleet.router.policy import EMBED
from heterofleet.router.successes import Detour

Family = tuple[str, str, tuple[str, ...], dict[Labels, float]]


@dataclass(frozen=True, slots=True)
class Gauges:
    """`metrics.Gauges` over the parts of one router; `connections` counts those of clients."""

    loop: asyncio.AbstractEventLoop
    registry: Registry
    dispatcher: Dispatcher
    attempts: Attempts
    detour: Callable[[], Detour]
    connections: Callable[[], int]
    embedding: Callable[[], Sequence[Engine]] = tuple
    """The engines beside the tiers."""

    def __call__(self) -> Iterator[Family]:
        now = self.loop.time()
        yield from self._of_endpoints(now)
        yield from self._of_queues(now)
        yield "connections", "Open connections of clients.", (), {(): float(self.connections())}
        yield "attempts_in_flight", "Attempts under way.", (), {(): float(len(self.attempts))}
        yield "tasks", "Tasks of the event loop: one a request, beside a handful that run for ever.", (), {(): _tasks()}
        detour = self.detour()
        share = detour.standing(now).share
        yield "small_success_ratio", "Share of good answers of the small tier in the window.", (), {(): share}
        yield "detour", "1 while act requests go to the large tier at once.", (), {(): float(detour.active)}

    def _of_endpoints(self, now: float) -> Iterator[Family]:
        endpoints, engines = self.registry.all(), self.embedding()
        yield (
            "in_flight_requests", "Requests of this router under way at an endpoint.", ("tier", "endpoint"),
            {(e.tier, e.key): float(e.in_flight) for e in endpoints}
            | {(EMBED, e.key): float(e.in_flight) for e in engines},
        )  # fmt: skip
        yield (
            "breaker_open", "1 while an endpoint gets no requests since it failed.", ("tier", "endpoint"),
            {(e.tier, e.key): float(e.breaker.state(now) is not State.CLOSED) for e in endpoints}
            | {(EMBED, e.key): float(e.breaker.state(now) is not State.CLOSED) for e in engines},
        )  # fmt: skip
        counts: dict[Labels, float] = {(EMBED, "serving"): float(len(engines))} if engines else {}
        for endpoint in endpoints:
            labels = (endpoint.tier, _state(endpoint))
            counts[labels] = counts.get(labels, 0.0) + 1.0
        yield "endpoints", "Endpoints by state.", ("tier", "state"), counts

    def _of_queues(self, now: float) -> Iterator[Family]:
        waiting = self.dispatcher.waiting
        yield (
            "queue_requests", "Requests that wait for a place.", ("tier",),
            {(tier,): float(len(queue)) for tier, queue in waiting.items()},
        )  # fmt: skip
        yield (
            "queue_oldest_age_seconds", "How long the one has waited that waits longest.", ("tier",),
            {(tier,): queue.oldest_age(now) for tier, queue in waiting.items()},
        )  # fmt: skip


def _state(endpoint: Endpoint) -> str:
    if endpoint.serves:
        return "serving"
    return "draining" if endpoint.draining else "starting"


def _tasks() -> float:
    return float(len(asyncio.all_tasks()))
