"""A small data centre on loopback: a real router before scripted engines, and what the operator tells of its fleet.

Time runs sixty times as fast for rules and windows, so that an hour of a ratio is a minute here.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from heterofleet.api.labels import FleetKey, Manifest
from heterofleet.control.metrics import Metrics
from heterofleet.control.series import FleetSeries
from heterofleet.metrics import shipped
from router import engines, running
from router.running import Running
from testbed.prometheus import PrometheusServer, targets

SCALE: Final = 60.0
HARD: Final = "Hard"
"""What the small tier has no answer to, so that the large one is asked."""
TOKEN_SECONDS: Final = 0.01
NAMESPACE, FLEET = "team-a", "chat"
_MOMENT: Final = "2026-01-01T00:00:00Z"


def _tier(**more: Any) -> dict[str, Any]:
    return {"desired": 2, "ready": 2, "gpus": 8, "capacityTokensPerSecond": 240, **more}


def fleet() -> Manifest:
    """A fleet as the API server holds it: one instance starts, an update waits, and the last drain was cut short."""
    told = {"lastTransitionTime": _MOMENT}
    planned = {"instances": 2, "need": 3, "bound": "GpuBudget"}
    expected = {"tokensPerSecond": 90, "expectedTokensPerSecond": 70, "windowSeconds": 60}
    return {
        "spec": {
            "large": {"price": {"usdPerGpuHour": 2.5}, "objective": {"ttftSeconds": 4}},
            "small": {"price": {"usdPerGpuHour": 1.0}},
            "scaling": {"gpuBudget": 24},
            "budget": {"usdPerDay": 600},
        },
        "status": {
            "conditions": [
                {"type": "Ready", "status": "True", "reason": "AllReady", **told},
                {"type": "UpdateAvailable", "status": "True", "reason": "TemplateDiffers", **told},
            ],
            "large": _tier(instances=[{"index": 0, "state": "Ready"}, {"index": 1, "state": "Starting"}]),
            "small": _tier(),
            "plan": {"large": planned, "small": {**planned, "bound": "Forecast", "need": 2}},
            "forecast": {"plan": expected, "act": expected},
            "learned": {"promptWeight": 0.1},
            "lastDrain": {"instance": "chat-small-x", "completed": _MOMENT, "aborted": True},
        },
    }


class _OneFleet:
    def fleets(self) -> tuple[FleetKey, ...]:
        return (FleetKey(NAMESPACE, FLEET),)

    def fleet_version(self, key: FleetKey) -> int:
        del key
        return 1

    def fleet(self, key: FleetKey) -> Manifest | None:
        del key
        return fleet()


def operator() -> bytes:
    """What an operator with this fleet exposes."""
    metrics = Metrics()
    metrics.collect_fleets(FleetSeries(_OneFleet()))
    return metrics.exposition()


@contextlib.asynccontextmanager
async def scraped(folder: Path) -> AsyncIterator[tuple[Running, PrometheusServer]]:
    """The router, and a Prometheus that scrapes it and the operator each second. Raises prometheus.MissingError."""
    # Without a threshold act requests go on to the small tier, however often it fails, and are escalated one by one.
    policy = {"cache": {"exact": {"use": "Deterministic"}}, "escalation": {"threshold": 0}}
    of_fleet = {"namespace": NAMESPACE, "fleet": FLEET}
    async with contextlib.AsyncExitStack() as stack:
        small = await stack.enter_async_context(engines.engine(_easy))
        large = await stack.enter_async_context(engines.engine(_paced("three better words")))
        told = await stack.enter_async_context(engines.engine(engines.writes(_metrics())))
        router = await stack.enter_async_context(
            running.running(folder, {**running.config([small], [large], **policy), **of_fleet})
        )
        (folder / "prometheus").mkdir()
        scrapes = [
            {**targets("routers", [f"127.0.0.1:{router.router.metrics_port}"]), "honor_labels": True},
            {**targets("operator", [told.key]), "honor_labels": True},
        ]
        server = PrometheusServer(folder / "prometheus", scrapes=scrapes, rules=shipped.recorded(SCALE))
        await asyncio.to_thread(server.start)
        try:
            yield router, server
        finally:
            await asyncio.to_thread(server.stop)


def _paced(text: str) -> engines.Script:
    """Whole or streamed as asked, a word at a time."""

    async def script(received: engines.Received, writer: asyncio.StreamWriter) -> None:
        if not received.body or not received.fields.get("stream"):
            writer.write(engines.whole(200, engines.chat(text)))
            return
        writer.write(engines.STREAM_HEAD)
        for word in text.split(" "):
            writer.write(engines.piece(engines.delta(word)))
            await writer.drain()
            await asyncio.sleep(TOKEN_SECONDS)
        writer.write(engines.piece(engines.delta("", "stop")) + engines.piece(engines.usage(7, 3)))
        writer.write(engines.piece(engines.DONE) + engines.LAST)

    return script


async def _easy(received: engines.Received, writer: asyncio.StreamWriter) -> None:
    await _paced("" if HARD.encode() in received.body else "three good words")(received, writer)


def _metrics() -> bytes:
    return engines.whole(200, operator(), content_type="text/plain; version=0.0.4; charset=utf-8")
