"""Answers like a router's metrics port: the configuration it has applied, and what it has in flight to each endpoint.

The operator asks both of every router pod: `GET /config` after it has changed the ConfigMap, `/metrics` while it
drains. A test sets the fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class RouterLike:
    """One router; `in_flight` is by endpoint, `address:port`."""

    digest: str | None = None
    rejected: str | None = None
    error: str | None = None
    versions: tuple[str, ...] = ("router.heterofleet.io/v1alpha1",)
    in_flight: Mapping[str, int] = field(default_factory=dict)

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/config", self._config)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._well)
        application.router.add_get("/readyz", self._well)
        application.router.add_post("/testbed/state", self._set_state)
        return application

    async def _config(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"digest": self.digest, "rejected": self.rejected, "error": self.error, "versions": list(self.versions)}
        )

    async def _metrics(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(text=self.metrics())

    def metrics(self) -> str:
        """In Prometheus' text format."""
        name = "heterofleet_router_in_flight_requests"
        lines = [f'{name}{{endpoint="{endpoint}"}} {count}\n' for endpoint, count in sorted(self.in_flight.items())]
        return f"# TYPE {name} gauge\n{''.join(lines)}"

    async def _well(self, _request: web.Request) -> web.StreamResponse:
        return web.Response()

    async def _set_state(self, request: web.Request) -> web.StreamResponse:
        for name, value in (await request.json()).items():
            setattr(self, name, value)
        return web.json_response({})
