"""Asks engines, supervisors and routers directly: in-flight requests, queues, start epochs, the config in force.

The edge to the fleet's own processes; it works without Prometheus. What does not answer within TIMEOUT_SECONDS, or
answers nonsense, is None: the callers count that as busy, or as not known (architecture.md, principle 5).
"""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import aiohttp
from pydantic import ValidationError

from heterofleet.api.base import Reported
from heterofleet.api.labels import ENGINE_PORT, METRICS_PORT, Tier
from heterofleet.metrics import exposition

TIMEOUT_SECONDS = 1.0
SUPERVISOR_PORT = 8001
MOST_AT_ONCE = 64
LONGEST_ANSWER_BYTES = 4_000_000


class RouterAnswer(Reported):
    """What a router says of its configuration on GET /config; `versions` are those that it reads, if it says so."""

    digest: str = ""
    rejected: str = ""
    error: str = ""
    versions: tuple[str, ...] = ()


class Download(Reported):
    """How far a supervisor's download of its model is; `total` is 0 while it is not known."""

    state: str = ""
    bytes: int = 0
    total: int = 0


class SupervisorAnswer(Reported):
    """What a rank's supervisor says of itself on GET /status."""

    phase: str = ""
    sentence: str = ""
    agreed: bool = False
    download: Download | None = None


class Engines(Protocol):
    """What the operator asks of the processes of a fleet; tests have their own."""

    async def engine_in_flight(self, address: str) -> int | None: ...

    async def router_in_flight(self, router: str, endpoint: str) -> int | None: ...

    async def router_config(self, router: str) -> RouterAnswer | None: ...

    async def supervisor(self, address: str) -> SupervisorAnswer | None: ...

    async def epochs_agree(self, addresses: tuple[str, ...]) -> bool | None: ...


class Scrape:
    """HTTP to pod addresses, bounded in time, size and number."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._gate = asyncio.Semaphore(MOST_AT_ONCE)

    async def engine_in_flight(self, address: str) -> int | None:
        """Requests that the engine at pod address `address` holds."""
        text = await self._text(f"http://{_host(address)}:{ENGINE_PORT}/metrics")
        return None if text is None else exposition.engine_in_flight(text)

    async def router_in_flight(self, router: str, endpoint: str) -> int | None:
        """Requests that the router at `router` has under way at the pod address `endpoint`."""
        text = await self._text(f"http://{_host(router)}:{METRICS_PORT}/metrics")
        return None if text is None else exposition.router_in_flight(text, f"{_host(endpoint)}:{ENGINE_PORT}")

    async def router_queue(self, router: str) -> Mapping[Tier, float] | None:
        """Requests that wait in the router at `router` for a place in each tier; known without Prometheus."""
        text = await self._text(f"http://{_host(router)}:{METRICS_PORT}/metrics")
        return None if text is None else exposition.router_queue(text)

    async def router_config(self, router: str) -> RouterAnswer | None:
        """The configuration that the router at `router` has in force."""
        text = await self._text(f"http://{_host(router)}:{METRICS_PORT}/config")
        try:
            return None if text is None else RouterAnswer.model_validate_json(text)
        except ValidationError:
            return None

    async def supervisor(self, address: str) -> SupervisorAnswer | None:
        """What the supervisor at pod address `address` says of its rank."""
        text = await self._text(f"http://{_host(address)}:{SUPERVISOR_PORT}/status")
        try:
            return None if text is None else SupervisorAnswer.model_validate_json(text)
        except ValidationError:
            return None

    async def epochs_agree(self, addresses: tuple[str, ...]) -> bool | None:
        """Whether the supervisors of a group all say that their ranks agree; None when none of them answers."""
        answers = await asyncio.gather(*(self.supervisor(address) for address in addresses))
        if all(answer is None for answer in answers):
            return None
        return all(answer is not None and answer.agreed for answer in answers)

    async def _text(self, url: str) -> str | None:
        try:
            async with (
                self._gate,
                asyncio.timeout(TIMEOUT_SECONDS),
                self._session.get(url, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    return None
                body = await answer.content.read(LONGEST_ANSWER_BYTES)
                while len(body) < LONGEST_ANSWER_BYTES and (more := await answer.content.readany()):
                    body += more
                return body.decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
