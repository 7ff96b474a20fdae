"""What a test of the in-process operator holds in its hand: the time, what processes answer, and the writes."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from heterofleet.api.labels import FleetKey
from heterofleet.cluster.cache import Cache
from heterofleet.cluster.objects import Ref
from heterofleet.metrics.scrape import RouterAnswer, SupervisorAnswer


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
