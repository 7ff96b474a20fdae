"""Answers like a router's metrics port: the configuration it has applied, and what it has in flight to each endpoint.

The operator asks both of every router pod: `GET /config` after it has changed the ConfigMap, `/metrics` while it
drains. A test sets the fields.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

ReadConfig = Callable[[], Awaitable[str | None]]
"""Gives `config.json` as it is stored now, None while there is none."""


@dataclass
class RouterLike:
    """One router; `in_flight` is by endpoint, `address:port`.

    With `read` it applies what is stored, unless `stuck`, and refuses an API version that it does not know.
    """

    digest: str = ""
    rejected: str = ""
    error: str = ""
    versions: tuple[str, ...] = ("router.heterofleet.io/v1alpha1",)
    in_flight: dict[str, int] = field(default_factory=dict)
    stuck: bool = False
    read: ReadConfig | None = None

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/config", self._config)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._well)
        application.router.add_get("/readyz", self._well)
        return application

    async def _config(self, _request: web.Request) -> web.StreamResponse:
        stored = await self.read() if self.read is not None and not self.stuck else None
        if stored is not None:
            self.take(stored)
        return web.json_response(
            {"digest": self.digest, "rejected": self.rejected, "error": self.error, "versions": list(self.versions)}
        )

    def take(self, stored: str) -> None:
        """Applies a configuration, or keeps the former one and says why."""
        digest = hashlib.sha256(stored.encode()).hexdigest()
        version = json.loads(stored).get("apiVersion")
        if version in self.versions:
            self.digest, self.rejected, self.error = digest, "", ""
        else:
            self.rejected, self.error = digest, f"unknown apiVersion {version}"

    async def _metrics(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(text=self.metrics())

    def metrics(self) -> str:
        """In Prometheus' text format."""
        name = "heterofleet_router_in_flight_requests"
        lines = [f'{name}{{endpoint="{endpoint}"}} {count}\n' for endpoint, count in sorted(self.in_flight.items())]
        return f"# TYPE {name} gauge\n{''.join(lines)}"

    async def _well(self, _request: web.Request) -> web.StreamResponse:
        return web.Response()
