"""`heterofleet top --prometheus` before a real Prometheus that has scraped routers for a while."""

import time
from pathlib import Path

import pytest

from heterofleet.api.labels import FleetKey, Tier
from heterofleet.cli import topsources
from testbed import prometheus

CHAT = FleetKey("prod", "chat")
OF_ROUTERS = ('pod="a"', 'pod="b"')
STEP_SECONDS, MINUTES = 15, 15


def series(name: str, kind: str, labels: str, now: int, a_second: float, value: float = 0.0) -> str:
    """A gauge that stands at `value`, or a counter that grows, of each of two routers.

    It goes on beyond now, so that a machine that is slow to ask sees the same rate.
    """
    lines = [f"# TYPE {name.removesuffix('_total')} {kind}"]
    for router in OF_ROUTERS:
        for step in range(2 * MINUTES * 60 // STEP_SECONDS):
            at = now - MINUTES * 60 + step * STEP_SECONDS
            amount = value + a_second * step * STEP_SECONDS
            lines.append(f'{name}{{namespace="prod",fleet="chat",{labels},{router}}} {amount} {at}')
    return "\n".join(lines)


def history(now: int) -> str:
    router = "heterofleet_router_"
    return "\n".join(
        [
            series(f"{router}queue_requests", "gauge", 'tier="small"', now, 0, 3),
            series(f"{router}in_flight_requests", "gauge", 'tier="large",endpoint="10.0.0.1:8000"', now, 0, 20),
            series(f"{router}offered_total", "counter", 'class="act"', now, 2.0),
            series(f"{router}escalations_total", "counter", 'class="act",reason="bad"', now, 0.1),
            series(f"{router}prompt_tokens_total", "counter", 'class="act",tier="small"', now, 200),
            series(f"{router}completion_tokens_total", "counter", 'class="act",tier="small"', now, 50),
        ]
    )


async def test_the_flow_of_a_fleet_is_the_sum_over_its_routers(tmp_path: Path) -> None:
    try:
        server = prometheus.PrometheusServer(tmp_path)
    except prometheus.MissingError:
        pytest.skip("Prometheus is missing")
    server.backfill(history(int(time.time())))
    with server:
        async with topsources.prometheus(server.url) as source:
            flow = (await source.flows([CHAT])).of[CHAT]
    assert (dict(flow.queue), dict(flow.in_flight)) == ({Tier.SMALL: 6}, {Tier.LARGE: 40})
    assert flow.requests_per_second == pytest.approx(4, rel=0.05)
    assert flow.tokens_per_second == pytest.approx(500, rel=0.05)
    assert flow.escalation_rate == pytest.approx(0.05, rel=0.05)
