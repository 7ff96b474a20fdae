"""OpenTelemetry spans of a router: one a request, under the client's own, and none where nobody asks for them."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from heterofleet.router import spans
from heterofleet.router.spans import Spans
from router import engines
from router.engines import engine, says
from router.running import asked, config, running

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
NOW = 1_764_000_000.0


@dataclass
class Collected:
    """Spans that a test looks at."""

    exporter: InMemorySpanExporter
    spans: Spans

    def only(self) -> ReadableSpan:
        (span,) = self.exporter.get_finished_spans()
        return span


@pytest.fixture
def collected() -> Iterator[Collected]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    made = Spans(provider, lambda: NOW)
    yield Collected(exporter, made)
    made.close()


async def test_a_request_is_a_span_under_its_clients_own(tmp_path: Path, collected: Collected):
    async with engine(says("Hello")) as small, running(tmp_path, config([small]), traced=collected.spans) as router:
        await router.ask("act", f"traceparent: 00-{TRACE}-{PARENT}-01", "x-request-id: one")
        span = collected.only()
        assert (span.name, span.kind) == ("chat", SpanKind.SERVER)
        assert span.parent is not None
        assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
        assert dict(span.attributes or {}) == {
            "http.response.status_code": 200,
            "heterofleet.outcome": "ok",
            "heterofleet.request_id": "one",
            "heterofleet.attempts": 1,
            "heterofleet.class": "act",
            "heterofleet.tier": "small",
            "heterofleet.endpoint": small.key,
            "gen_ai.request.model": "act",
        }
        assert span.status.status_code is StatusCode.UNSET
        assert span.end_time == int(NOW * 1e9)
        assert span.start_time is not None
        assert span.start_time < span.end_time
        assert asked(small)[0].headers["traceparent"] == f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize("headers", [[], ["traceparent: nonsense"]])
async def test_without_a_sound_traceparent_a_span_begins_a_trace(
    tmp_path: Path, collected: Collected, headers: list[str]
):
    async with engine(says("Hello")) as small, running(tmp_path, config([small]), traced=collected.spans) as router:
        await router.ask("act", *headers)
        assert collected.only().parent is None


async def test_a_request_that_fails_says_so_and_why(tmp_path: Path, collected: Collected):
    broken = engines.writes(engines.whole(500, b"{}"))
    said: dict[str, Any] = config([], retry={"attempts": 0}, fallback={"largeForSmall": False, "cached": False})
    async with engine(broken) as small:
        said["endpoints"] = [{"address": small.key, "tier": "small"}]
        async with running(tmp_path, said, traced=collected.spans) as router:
            await router.ask()
            span = collected.only()
            assert span.status.status_code is StatusCode.ERROR
            assert span.status.description == (
                "the engines gave no answer that can be passed on, at the only attempt"
                " (the last ended with an error of the engine)"
            )


def test_nothing_is_loaded_where_nobody_asks_for_spans():
    program = (
        "import sys, time; from heterofleet.router import server, spans\n"
        "print(spans.configured({}, time.time), [name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "None []\n"


def test_spans_go_where_the_environment_says(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(spans.ENDPOINT, "http://127.0.0.1:1")
    made = spans.configured({spans.ENDPOINT: "http://127.0.0.1:1"}, lambda: NOW)
    assert made is not None
    assert made._provider.resource.attributes["service.name"] == "heterofleet-router"
    made.close()
