"""Every expression of dashboard, rules and alerts, asked of a Prometheus that scraped a loopback data centre."""

import asyncio
import re
from pathlib import Path
from typing import Final

import pytest

from heterofleet.metrics import alerts
from metrics import loopback
from metrics.expressions import asked, panels, recorded, without_data
from router.running import Running
from testbed import prometheus
from testbed.prometheus import PrometheusServer

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
"""Of traffic, for rates over five seconds."""
FIRING: Final = {"HeterofleetMoneyBurn", "HeterofleetPlanHeld", "HeterofleetUpdateAvailable", "HeterofleetPlanStuck"}
"""Alerts whose cause the fleet of the data centre has; each other expression is empty."""


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


async def test_every_expression_is_understood_and_has_data(tmp_path: Path):
    try:
        prometheus.promtool()
    except prometheus.MissingError:
        pytest.skip("Prometheus is missing")
    async with loopback.scraped(tmp_path) as (router, server):
        await until_recorded(router, server)
        asking = set(panels(loopback.NAMESPACE, loopback.FLEET, "5s"))
        silent = await without_data(server, asking, ROUNDS, lambda: traffic(router))
        assert {word for expression in silent for word in re.findall(r"heterofleet_router_\w+", expression)} == set(
            EMPTY
        )
        records = set(recorded(loopback.SCALE))
        unrecorded = await without_data(server, records, ROUNDS, lambda: traffic(router))
        assert unrecorded == {record for record in records if any(word in record for word in NOT_HERE)}
        firing = {alert.name for alert in alerts.every() if await asked(server, alert.expression)}
        assert firing == FIRING
