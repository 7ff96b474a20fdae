"""Expressions of dashboard and rules, asked of a Prometheus."""

import asyncio
import json
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

from heterofleet.metrics import shipped
from testbed.prometheus import PrometheusServer

DASHBOARD: Final = Path(__file__).resolve().parents[2] / "charts" / "heterofleet" / "files" / "dashboard.json"


def panels(namespace: str, fleet: str, interval: str) -> Iterator[str]:
    """The expressions of all panels, with their variables replaced as Grafana would; `interval` is that of rates."""
    filling = {"$namespace": namespace, "$fleet": fleet, "$__rate_interval": interval}
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for variable, value in filling.items():
                expression = expression.replace(variable, value)
            yield expression


def recorded(scale: float) -> Iterator[str]:
    """The series that the product's rules record."""
    for group in shipped.recorded(scale)["groups"]:
        for rule in group["rules"]:
            yield rule["record"]


async def asked(server: PrometheusServer, expression: str) -> list[dict[str, Any]]:
    """The series of one expression. A parse error is an HTTPError."""

    def ask() -> list[dict[str, Any]]:
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{server.url}/api/v1/query?{query}", timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    return await asyncio.to_thread(ask)


async def without_data(
    server: PrometheusServer, expressions: set[str], rounds: int, between: Callable[[], Awaitable[object]]
) -> set[str]:
    """Those of the expressions that gave no data in any of so many rounds; `between` is awaited before each."""
    left = expressions
    for _ in range(rounds):
        await between()
        left = {expression for expression in left if not await asked(server, expression)}
    return left
