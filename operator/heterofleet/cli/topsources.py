"""Where `top` learns what flows: each fleet's routers through the API server's proxy, or one Prometheus for all.

What cannot be asked is not known, never zero; `Flows.note` says why, for a person who wonders at the dashes.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from heterofleet.api.labels import COMPONENT, FLEET, METRICS_PORT, Component, FleetKey, Tier
from heterofleet.cli.access import Api
from heterofleet.cli.errors import CliError, UsageError
from heterofleet.cli.topflow import Flow, Look, flow, look
from heterofleet.cluster import errors

if TYPE_CHECKING:
    from heterofleet.metrics.prometheus import Prometheus

MOST_ASKED: Final = 40
"""Fleets whose routers are asked one by one; beyond, a picture would take longer than people look at it."""
AT_ONCE: Final = 32


class Flows(NamedTuple):
    """What is known, by fleet, and a sentence on what is not."""

    of: Mapping[FleetKey, Flow]
    note: str = ""


class Source(Protocol):
    """Asked once for each picture."""

    async def flows(self, keys: Sequence[FleetKey]) -> Flows: ...


Looks = Mapping[FleetKey, Mapping[str, Look]]
"""What the routers of each fleet told, by their names."""


@dataclass
class Routers:
    """Asks routers' metrics through the API server; rates are between this picture and the one before.

    `namespace` None is all; `clock` tells seconds. The first picture of a run looks twice, `pause` apart, since one
    look knows no rate.
    """

    api: Api
    namespace: str | None
    clock: Callable[[], float]
    pause: Callable[[], Awaitable[None]]
    _before: Looks = field(default_factory=dict)

    async def flows(self, keys: Sequence[FleetKey]) -> Flows:
        if len(keys) > MOST_ASKED:
            note = f"Of more than {MOST_ASKED} fleets the flow is asked of Prometheus alone: --prometheus URL."
            return Flows({}, note)
        try:
            routers = await self._running(frozenset(keys))
            now = await self._look(routers)
            if now and not self._before:
                await self.pause()
                self._before, now = now, await self._look(routers)
        except errors.Forbidden as error:
            return Flows({}, f"The flow is not shown: {error}.")
        before, self._before = self._before, now
        told = {key: flow(before.get(key, {}), looks) for key, looks in now.items()}
        return Flows(told, _UNREACHED if routers and not told else "")

    async def _running(self, keys: frozenset[FleetKey]) -> Sequence[tuple[FleetKey, str]]:
        """The routers of these fleets that can be asked: whose each is, and its name."""
        where = f"/api/v1/namespaces/{self.namespace}/pods" if self.namespace else "/api/v1/pods"
        pods = await self.api.list(where, {"labelSelector": f"{COMPONENT}={Component.ROUTER}"})
        running = [pod["metadata"] for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]
        routers = [(FleetKey(one["namespace"], one["labels"].get(FLEET, "")), str(one["name"])) for one in running]
        return [(key, name) for key, name in routers if key in keys]

    async def _look(self, routers: Sequence[tuple[FleetKey, str]]) -> Looks:
        gate = asyncio.Semaphore(AT_ONCE)
        answers = await asyncio.gather(*(self._ask(key, name, gate) for key, name in routers), return_exceptions=True)
        found: dict[FleetKey, dict[str, Look]] = {}
        for (key, name), answer in zip(routers, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            if answer is not None:
                found.setdefault(key, {})[name] = answer
        return found

    async def _ask(self, key: FleetKey, name: str, gate: asyncio.Semaphore) -> Look | None:
        """One router; nothing is known of one that starts, ends, or is out of the server's reach."""
        path = f"/api/v1/namespaces/{key.namespace}/pods/{name}:{METRICS_PORT}/proxy/metrics"
        async with gate:
            try:
                return look(await self.api.text(path), self.clock())
            except errors.ClusterError as error:
                if _is_about_rights(error):
                    raise
                return None


_UNREACHED: Final = (
    f"No router answered the API server: a NetworkPolicy may keep it from their port {METRICS_PORT}."
    " A Prometheus knows the flow, too: --prometheus URL."
)


def _is_about_rights(error: errors.ClusterError) -> bool:
    """A refusal of the API server names the user and the right; what is in between it and a pod says other things."""
    return isinstance(error, errors.Forbidden) and "cannot get resource" in str(error)


_BY: Final = "sum by (namespace, fleet"
_RATE: Final = "(rate(heterofleet_router_"
_QUERIES: Final[Mapping[str, str]] = {
    "queue": f"{_BY}, tier) (heterofleet_router_queue_requests)",
    "in_flight": f"{_BY}, tier) (heterofleet_router_in_flight_requests)",
    "requests": f"{_BY}) {_RATE}offered_total[2m]))",
    "tokens": f"{_BY}) {_RATE}prompt_tokens_total[2m])) + {_BY}) {_RATE}completion_tokens_total[2m]))",
    "escalation": f'{_BY}) {_RATE}escalations_total[10m])) / {_BY}) {_RATE}offered_total{{class="act"}}[10m]))',
}


@dataclass(frozen=True)
class FromPrometheus:
    """Asks one Prometheus five questions for all fleets."""

    prometheus: "Prometheus"

    async def flows(self, keys: Sequence[FleetKey]) -> Flows:
        from heterofleet.metrics.samples import Lost, absurd, fleet_of  # noqa: PLC0415  numpy, for those who ask one

        answers = await asyncio.gather(*(self.prometheus.instant(expression) for expression in _QUERIES.values()))
        known: dict[FleetKey, dict[str, dict[str, float]]] = {}
        for name, answer in zip(_QUERIES, answers, strict=True):
            if isinstance(answer, Lost):
                return Flows({}, f"The flow is not shown: {answer.sentence}.")
            for sample in answer:
                key = fleet_of(sample.labels)
                if key is not None and not absurd(sample.value):
                    known.setdefault(key, {}).setdefault(name, {})[sample.labels.get("tier", "")] = sample.value
        told = {key: _flow(known[key]) for key in keys if key in known}
        return Flows(told, "" if told or not keys else "Prometheus knows none of these fleets: does it scrape routers?")


def _flow(known: Mapping[str, Mapping[str, float]]) -> Flow:
    by_tier = {
        name: {Tier(tier): value for tier, value in known.get(name, {}).items() if tier in set(Tier)}
        for name in ("queue", "in_flight")
    }
    return Flow(
        queue=by_tier["queue"],
        in_flight=by_tier["in_flight"],
        requests_per_second=known.get("requests", {}).get(""),
        tokens_per_second=known.get("tokens", {}).get(""),
        escalation_rate=known.get("escalation", {}).get(""),
    )


@contextlib.asynccontextmanager
async def prometheus(url: str) -> AsyncIterator[FromPrometheus]:
    """The Prometheus at an address. Raises UsageError for what is none, CliError where its client is not installed."""
    try:
        from heterofleet.metrics.prometheus import HttpPrometheus  # noqa: PLC0415  the operator's client
        from heterofleet.metrics.source import Source as Address  # noqa: PLC0415
    except ImportError as exc:
        raise CliError(f"{exc.name} is not installed: pip install 'heterofleet[operator]'") from exc
    try:
        address = Address(url=url, timeout_seconds=5)
    except ValueError as exc:
        raise UsageError(f"--prometheus {url}: is no address of a Prometheus, write http://HOST:PORT") from exc
    client = HttpPrometheus(address)
    try:
        yield FromPrometheus(client)
    finally:
        client.close()
