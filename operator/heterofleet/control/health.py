"""Answers the kubelet and Prometheus: /healthz, /readyz, /metrics.

Healthy: the event loop answers and no watch has been silent for too long. Ready: every cache is filled. A standby
is ready too, since it can take over at once; who leads is a metric, not a state of health.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

LONGEST_SILENCE_SECONDS: Final = 600.0
"""A restart only helps when the process is at fault, so a long outage of the API server must pass first."""


@dataclass(frozen=True)
class Probes:
    """What the answers are made of, read at each request."""

    synced: Callable[[], bool]
    silence_seconds: Callable[[], float]
    exposition: Callable[[], bytes]

    async def healthz(self, _request: web.Request) -> web.Response:
        silence = self.silence_seconds()
        if silence > LONGEST_SILENCE_SECONDS:
            return web.Response(status=503, text=f"nothing was heard from a watch for {silence:.0f} s\n")
        return web.Response(text="ok\n")

    async def readyz(self, _request: web.Request) -> web.Response:
        if not self.synced():
            return web.Response(status=503, text="the caches are not filled yet\n")
        return web.Response(text="ok\n")

    async def metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self.exposition(), headers={"Content-Type": "text/plain; version=0.0.4"})


@contextlib.asynccontextmanager
async def serve(host: str, port: int, probes: Probes) -> AsyncIterator[int]:
    """Serves until the context is left; gives the port (a free one was taken if it was 0)."""
    application = web.Application()
    application.add_routes(
        [
            web.get("/healthz", probes.healthz),
            web.get("/readyz", probes.readyz),
            web.get("/metrics", probes.metrics),
        ]
    )
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host or None, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
