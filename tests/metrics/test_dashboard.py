"""Every expression of dashboard, rules and alerts, asked of a Prometheus that scraped a loopback data centre."""

import asyncio
import json
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from heterofleet.metrics import alerts, shipped
from metrics import loopback
from router.running import Running
from testbed import prometheus
from testbed.prometheus import PrometheusServer

DASHBOARD: Final = Path(__file__).resolve().parents[2] / "charts" / "heterofleet" / "files" / "dashboard.json"
EMPTY: Final = {
    "heterofleet_router_reviews_total": "no answer was held for a person",
}
"""Panels' expressions that this data centre gives no data, by a series of theirs, and why."""
NOT_HERE: Final = ("engine_prompt_tokens", "engine_generation_tokens")
"""Recorded of vLLM's own series, which scripted engines do not have."""
SEEN: Final = (
    "heterofleet:inter_token_late:ratio3d and heterofleet:utilisation:ratio5m"
    " and on (namespace, fleet) heterofleet:cross_tier_seconds:mean1h"
    " and on (namespace, fleet) heterofleet:cost_usd_per_token:ratio1h"
    " and on (namespace, fleet) heterofleet:escalation_rate:ratio1h > 0"
)
ROUNDS: Final = 8
FIRING: Final = {"HeterofleetMoneyBurn", "HeterofleetPlanHeld", "HeterofleetUpdateAvailable", "HeterofleetPlanStuck"}
"""Alerts whose cause the fleet of the data centre has; each other expression is empty."""


def panels() -> Iterator[str]:
    """The expressions of all panels."""
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            yield filled(target["expr"])


def filled(expression: str) -> str:
    """With its variables replaced, as Grafana would."""
    of_fleet = expression.replace("$namespace", loopback.NAMESPACE).replace("$fleet", loopback.FLEET)
    return of_fleet.replace("$__rate_interval", "5s")


def recorded() -> Iterator[str]:
    """The series that the product's rules record."""
    for group in shipped.recorded(loopback.SCALE)["groups"]:
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


async def traffic(router: Running) -> None:
    """Plan and act, whole and streamed, easy and hard; what is asked twice is answered from the cache."""
    for question in ("First", "Second", loopback.HARD):
        for model in ("act", "plan"):
            said = [{"role": "user", "content": question}]
            for fields in ({}, {"stream": True}):
                assert (await router.ask(model, messages=said, temperature=0, **fields)).status == 200


async def until_recorded(router: Running, server: PrometheusServer) -> None:
    """Traffic goes on until rules have seen some of it."""
    async with asyncio.timeout(60):
        while not await asked(server, SEEN):
            await traffic(router)
            await asyncio.sleep(0.5)


async def left_without_data(router: Running, server: PrometheusServer, expressions: set[str]) -> set[str]:
    """Those of the expressions that gave no data in any of some seconds of traffic: a rate's window is five here."""
    left = expressions
    for _ in range(ROUNDS):
        await traffic(router)
        left = {expression for expression in left if not await asked(server, expression)}
    return left


async def test_every_expression_is_understood_and_has_data(tmp_path: Path):
    try:
        prometheus.promtool()
    except prometheus.MissingError:
        pytest.skip("Prometheus is missing")
    async with loopback.scraped(tmp_path) as (router, server):
        await until_recorded(router, server)
        silent = await left_without_data(router, server, set(panels()))
        assert {word for expression in silent for word in re.findall(r"heterofleet_router_\w+", expression)} == set(
            EMPTY
        )
        unrecorded = await left_without_data(router, server, set(recorded()))
        assert unrecorded == {record for record in recorded() if any(word in record for word in NOT_HERE)}
        firing = {alert.name for alert in alerts.every() if await asked(server, alert.expression)}
        assert firing == FIRING
