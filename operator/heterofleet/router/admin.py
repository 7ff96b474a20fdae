"""The metrics port: /metrics, /config, /healthz and /readyz, for Prometheus, the operator and the kubelet."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web


@dataclass(frozen=True)
class Answers:
    """What the answers are made of, read at each request. `unready` is why no traffic should come, or None."""

    metrics: Callable[[], bytes]
    config: Callable[[], dict[str, Any]]
    unready: Callable[[], str | None]

    async def get_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self.metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def get_config(self, _request: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(self.config()), content_type="application/json")

    async def get_healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def get_readyz(self, _request: web.Request) -> web.Response:
        why = self.unready()
        return web.Response(text="ok\n") if why is None else web.Response(status=503, text=f"{why}\n")


@contextlib.asynccontextmanager
async def serve(host: str, port: int, answers: Answers) -> AsyncIterator[int]:
    """Serves until the context is left; gives the port (a free one was taken if it was 0)."""
    application = web.Application()
    application.add_routes(
        [
            web.get("/metrics", answers.get_metrics),
            web.get("/config", answers.get_config),
            web.get("/healthz", answers.get_healthz),
            web.get("/readyz", answers.get_readyz),
        ]
    )
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host or None, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
