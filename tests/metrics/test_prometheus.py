"""Signals and history as a real Prometheus tells them."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from aiohttp import web

from heterofleet.api.labels import FleetKey, Tier
from heterofleet.api.routing import RequestClass
from heterofleet.metrics import rules
from heterofleet.metrics.prometheus import HttpPrometheus
from heterofleet.metrics.reader import Reader
from heterofleet.metrics.samples import Loss, Lost
from heterofleet.metrics.signals import Signals, TierSignals, Tokens
from heterofleet.metrics.source import Source
from heterofleet.router.metrics import Exposition, Metrics
from metrics import openmetrics
from testbed import ports, prometheus
from testbed.eventually import eventually_async

ACT, PLAN = RequestClass.ACT, RequestClass.PLAN
FLEET, OTHER = FleetKey("a", "f"), FleetKey("b", "g")
DAYS: Final = 7
MINUTES: Final = DAYS * 1440
END: Final = float(int(time.time()) // 60 * 60)
START: Final = END - 60 * (MINUTES - 1)
GAP: Final = range(5000, 5020)
NOW: Final = datetime.fromtimestamp(END + 20, UTC)


def load(minute: int) -> float:
    """Prompt tokens a second of FLEET's act class: something that no two minutes of a day have alike."""
    return 1000.0 + minute % 1440 + minute / MINUTES


def labels_of(fleet: FleetKey, request_class: str | None = None, **more: str) -> dict[str, str]:
    named = {} if request_class is None else {"class": request_class}
    return {"namespace": fleet.namespace, "fleet": fleet.name, **named, **more}


def history() -> str:
    """Seven days: with twenty minutes of silence, a minute that is no number and one below zero."""
    times = [START + 60 * minute for minute in range(MINUTES)]
    act = [(at, load(minute)) for minute, at in enumerate(times) if minute not in GAP]
    act[100], act[200] = (act[100][0], float("nan")), (act[200][0], -1.0)
    flat = [(at, 2.0) for at in times]
    last = times[-30:]
    known = [(fleet, request_class) for fleet in (FLEET, OTHER) for request_class in (ACT, PLAN)]
    now = {
        rules.ESCALATED_PROMPT: 10.0,
        rules.ESCALATED_COMPLETION: 4.0,
        rules.SPILLED_PROMPT: 30.0,
        rules.SPILLED_COMPLETION: 2.0,
        rules.HOURLY_PROMPT: 100.0,
        rules.HOURLY_COMPLETION: 40.0,
        rules.CACHE_HITS: 0.25,
        rules.DEMAND: 3.0,
    }
    # Of one class alone for all the days, since promtool takes its time for each.
    long = {(FLEET, ACT)}
    prompts = [(labels_of(*key), act if key in long else flat[-30:]) for key in known]
    completions = [(labels_of(*key), flat if key in long else flat[-30:]) for key in known]
    return openmetrics.of(
        {
            rules.OFFERED_PROMPT: prompts,
            rules.OFFERED_COMPLETION: completions,
            **{
                record: [(labels_of(*key), [(at, value) for at in last]) for key in known]
                for record, value in now.items()
            },
            rules.NEWEST_SAMPLE: [
                (labels_of(FLEET), [(at, at - 10) for at in last]),
                (labels_of(OTHER), [(at, END - 1000) for at in last]),
            ],
            "heterofleet_router_connections": [
                (labels_of(fleet, pod=pod), [(at, 1.0) for at in last])
                for fleet in (FLEET, OTHER)
                for pod in ("1", "2")
            ],
            "heterofleet_router_queue_requests": [(labels_of(FLEET, tier="small"), [(at, 7.0) for at in last])],
            "heterofleet_router_queue_oldest_age_seconds": [
                (labels_of(FLEET, tier="small"), [(at, 1.5) for at in last])
            ],
            "vllm:num_requests_running": [
                (labels_of(FLEET, tier="small", pool="default", instance=pod), [(at, 4.0) for at in last])
                for pod in ("p1", "p2")
            ],
            rules.ENGINE_PROMPT: [(labels_of(FLEET, tier="small"), [(at, 200.0) for at in last])],
            rules.ENGINE_GENERATION: [(labels_of(FLEET, tier="small"), [(at, 80.0) for at in last])],
            rules.LATENCY_FIRST: [
                (labels_of(FLEET, ACT, le=le), [(at, count) for at in last])
                for le, count in (("1.0", 6.0), ("2.5", 9.0), ("+Inf", 10.0))
            ],
        }
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[prometheus.PrometheusServer]:
    try:
        # A long lookback, so that what was written before the tests began is still the newest however slow they are.
        made = prometheus.PrometheusServer(tmp_path_factory.mktemp("prometheus"), lookback="1h")
    except prometheus.MissingError:
        pytest.skip("Prometheus is missing")
    made.backfill(history())
    with made:
        yield made


@pytest.fixture
async def reader(server: prometheus.PrometheusServer) -> AsyncIterator[Reader]:
    source = Source(url=server.url, stale_after_seconds=900)
    asked = HttpPrometheus(source)
    yield Reader(asked, source)
    asked.close()


async def test_every_signal_of_a_fleet_is_what_was_written(reader: Reader):
    read = await reader.read_all(NOW)
    assert not isinstance(read, Lost)
    found = read[FLEET]
    both = (PLAN, ACT)
    assert found == Signals(
        age_seconds=30.0,
        routers=2,
        requests=dict.fromkeys(both, 3.0),
        offered={PLAN: Tokens(2.0, 2.0), ACT: Tokens(load(MINUTES - 1), 2.0)},
        hourly=dict.fromkeys(both, Tokens(100.0, 40.0)),
        escalated=dict.fromkeys(both, Tokens(10.0, 4.0)),
        spilled=dict.fromkeys(both, Tokens(30.0, 2.0)),
        cache_hits=dict.fromkeys(both, 0.25),
        first_token=found.first_token,
        tiers={
            Tier.LARGE: TierSignals(),
            Tier.SMALL: TierSignals(
                queue_requests=7.0,
                queue_oldest_age_seconds=1.5,
                engines=2.0,
                running_requests=8.0,
                served=Tokens(200.0, 80.0),
            ),
        },
    )
    # (4 + 0.1 x 10) / (40 + 0.1 x 100), (2 + 0.1 x 30) / 50, (80 + 0.1 x 200) / 2.
    assert (found.escalation_rate(0.1), found.spill_over_rate(0.1)) == (0.1, 0.1)
    assert found.tiers[Tier.SMALL].served_per_instance(0.1) == 50.0
    # 6 within a second, 9 within 2.5: halfway between both are 7.5 of 10.
    assert found.first_token[ACT].share_within(1.75) == pytest.approx(0.75)


async def test_a_fleet_whose_newest_sample_is_old_has_no_load_and_the_other_has(reader: Reader):
    read = await reader.read_all(NOW)
    assert not isinstance(read, Lost)
    assert (read[OTHER].age_seconds, read[OTHER].offered, read[OTHER].missing) == (1020.0, {}, ("fresh samples",))
    assert read[FLEET].missing == ()


async def test_a_router_that_prometheus_does_not_hear_of_makes_the_load_unknown(reader: Reader):
    read = await reader.read_all(NOW, {FLEET: 3})
    assert not isinstance(read, Lost)
    assert (read[FLEET].offered, read[FLEET].missing) == ({}, ("1 of 3 routers",))


async def test_seven_days_come_back_minute_by_minute_and_what_is_absurd_or_absent_is_no_number(reader: Reader):
    read = await reader.history([FLEET, OTHER], datetime.fromtimestamp(START, UTC), NOW)
    assert not isinstance(read, Lost)
    act = read[FLEET][ACT]
    expected = np.array([load(minute) for minute in range(MINUTES)])
    expected[[100, 200, *GAP]] = np.nan
    np.testing.assert_array_equal(act.prompt, expected)
    np.testing.assert_array_equal(act.completion, np.full(MINUTES, 2.0))
    assert (act.grid.start, act.grid.step_seconds, act.grid.count) == (START, 60.0, MINUTES)
    np.testing.assert_array_equal(act.work(0.1), 2.0 + 0.1 * expected)
    points = list(act.points(0.1))
    assert (len(points), points[0]) == (MINUTES - 22, (START, 2.0 + 0.1 * load(0)))
    assert {fleet: set(classes) for fleet, classes in read.items()} == {FLEET: {ACT, PLAN}, OTHER: {ACT, PLAN}}


async def test_fleets_that_nobody_asked_for_are_not_in_a_history(reader: Reader):
    read = await reader.history([FleetKey("a", "f"), FleetKey("b", "f")], NOW - timedelta(hours=1), NOW)
    assert isinstance(read, dict)
    assert set(read) == {FLEET}


async def test_a_prometheus_without_routers_and_one_without_rules_are_told_apart(tmp_path: Path):
    silent = prometheus.PrometheusServer(tmp_path / "silent")
    with silent:
        assert await told(silent) is Loss.NO_ROUTERS
    ruleless = prometheus.PrometheusServer(tmp_path / "ruleless", lookback="1h")
    ruleless.backfill(
        openmetrics.of({"heterofleet_router_connections": [(labels_of(FLEET), [(END - 60, 1.0), (END, 1.0)])]})
    )
    with ruleless:
        assert await told(ruleless) is Loss.RULES_MISSING


async def test_a_prometheus_that_hangs_is_slow_and_is_heard_again_without_anyone(tmp_path: Path):
    server = prometheus.PrometheusServer(tmp_path)
    with server:
        source = Source(url=server.url, timeout_seconds=0.5)
        asked = HttpPrometheus(source)
        server.freeze()
        assert await reason(asked) is Loss.SLOW
        server.thaw()
        assert await asked.instant("vector(1)") != ()
        server.stop()
        assert await reason(asked) is Loss.UNREACHABLE
        server.start()
        assert not isinstance(await asked.instant("vector(1)"), Lost)
        asked.close()


async def test_a_question_that_prometheus_refuses_is_told_in_its_words(server: prometheus.PrometheusServer):
    asked = HttpPrometheus(Source(url=server.url))
    answer = await asked.instant("sum(")
    asked.close()
    assert isinstance(answer, Lost)
    assert (answer.reason, "parse error" in answer.sentence) == (Loss.FAILED, True)


@pytest.fixture
async def router() -> AsyncIterator[str]:
    """The address of a router's metrics: 20 act requests a second, of 100 prompt and 30 completion tokens each."""
    metrics, began = Metrics(), time.monotonic()
    exposition = Exposition(metrics, "a", "f", lambda: [("connections", "Open.", (), {(): 1.0})])
    amounts = (
        (metrics.offered, 20.0, ("act",)),
        (metrics.requests, 20.0, ("act", "small", "ok")),
        (metrics.prompt_tokens, 2000.0, ("act", "small")),
        (metrics.completion_tokens, 600.0, ("act", "small")),
    )

    async def scrape(_: web.Request) -> web.Response:
        for counter, per_second, labels in amounts:
            counter.values[labels] = per_second * (time.monotonic() - began)
        return web.Response(body=exposition.text(), content_type="text/plain")

    application = web.Application()
    application.router.add_get("/metrics", scrape)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    port = ports.free(1)[0]
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"127.0.0.1:{port}"
    await runner.cleanup()


async def test_rules_and_routers_of_compressed_time_tell_the_load_within_seconds(tmp_path: Path, router: str):
    """Counters that rise with the clock are scraped each half second, by rules sixty times as fast."""
    scrapes = [prometheus.targets("routers", [router], namespace="a", fleet="f")]
    server = await asyncio.to_thread(
        prometheus.PrometheusServer, tmp_path, scrapes=scrapes, rules=rules.file(60), interval="500ms"
    )
    with server:
        source = Source(url=server.url)
        asked = HttpPrometheus(source)
        reader = Reader(asked, source, scale=60)

        async def is_told() -> bool:
            read = await reader.read_all(datetime.now(UTC), {FLEET: 1})
            assert not isinstance(read, Lost), read
            assert read[FLEET].missing == ()
            found = read[FLEET].offered[ACT]
            # A scrape may be late by a good part of its window.
            assert found.prompt == pytest.approx(20 * 100, rel=0.3)
            assert found.completion / found.prompt == pytest.approx(0.3, rel=0.1)
            return True

        await eventually_async(is_told)
        asked.close()


async def told(server: prometheus.PrometheusServer) -> Loss | None:
    source = Source(url=server.url)
    asked = HttpPrometheus(source)
    read = await Reader(asked, source).read_all(datetime.now(UTC))
    asked.close()
    return read.reason if isinstance(read, Lost) else None


async def reason(asked: HttpPrometheus) -> Loss | None:
    answer = await asked.instant("vector(1)")
    return answer.reason if isinstance(answer, Lost) else None
