"""What a test of the in-process operator holds in its hand: the time, what processes answer, and the writes."""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from heterofleet.api.labels import FleetKey, Tier
from heterofleet.api.routing import RequestClass
from heterofleet.cluster.cache import Cache
from heterofleet.cluster.objects import Ref
from heterofleet.metrics.history import Grid, History
from heterofleet.metrics.samples import Loss, Lost
from heterofleet.metrics.scrape import RouterAnswer, SupervisorAnswer
from heterofleet.metrics.signals import Signals, Tokens


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
    queues: dict[Tier, float] = field(default_factory=dict)
    """Requests that wait in each router."""

    async def engine_in_flight(self, address: str) -> int | None:
        self.asked += 1
        return self.in_flight.get(self._pod(address), 0)

    async def router_in_flight(self, router: str, endpoint: str) -> int | None:
        return self.by_router.get((self._pod(router), self._pod(endpoint)), 0)

    async def router_config(self, router: str) -> RouterAnswer | None:
        name = self._pod(router)
        return self.digests[name] if name in self.digests else RouterAnswer(digest=self._stored_digest(router))

    async def router_queue(self, router: str) -> Mapping[Tier, float] | None:
        del router
        return self.queues

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
class PlayedPrometheus:
    """A Prometheus that has told the same load of every fleet for ever; none at all until a test sets one."""

    offered: dict[RequestClass, float] | Lost = field(
        default_factory=lambda: Lost(Loss.NOT_CONFIGURED, "the operator has no Prometheus")
    )
    """Answers' tokens a second."""
    days: float = 2.0

    def reader(self, url: str | None) -> "PlayedPrometheus | Lost":
        del url
        return self.offered if isinstance(self.offered, Lost) else self

    def close(self) -> None:
        """Nothing is open."""

    def tell(self, plan: float, act: float) -> None:
        self.offered = {RequestClass.PLAN: plan, RequestClass.ACT: act}

    def lose(self, sentence: str = "http://prometheus:9090 did not answer within 10 s") -> None:
        self.offered = Lost(Loss.SLOW, sentence)

    async def read_all(self, now: datetime, ready_routers: Mapping[FleetKey, int]) -> Mapping[FleetKey, Signals] | Lost:
        del now
        if isinstance(self.offered, Lost):
            return self.offered
        offered = {name: Tokens(0.0, rate) for name, rate in self.offered.items()}
        return {
            key: Signals(age_seconds=5.0, routers=routers, offered=offered) for key, routers in ready_routers.items()
        }

    async def history(
        self, fleets: Iterable[FleetKey], start: datetime, end: datetime
    ) -> Mapping[FleetKey, Mapping[RequestClass, History]] | Lost:
        if isinstance(self.offered, Lost):
            return self.offered
        grid = Grid.between(max(start, end - timedelta(days=self.days)).timestamp(), end.timestamp())
        histories = {
            name: History(grid, np.zeros(grid.count), np.full(grid.count, rate)) for name, rate in self.offered.items()
        }
        return dict.fromkeys(fleets, histories)


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
