"""OpenTelemetry spans, an extra: one span a request, as a child of the client's own where it sent a traceparent.

Made when the request has ended, from what was noted of it anyway, so that it costs nothing where nobody asks for it.
Engines get the client's traceparent, not this span's: their spans stand beside it. On where OTEL_EXPORTER_OTLP_ENDPOINT
is set and the packages are installed (heterofleet[opentelemetry]); OpenTelemetry's own variables say the rest.
"""

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from heterofleet.router.call import Call, Ending

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_log = logging.getLogger(__name__)

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
SERVICE: Final = "heterofleet-router"
SERVICE_VARIABLE: Final = "OTEL_SERVICE_NAME"
_NANO: Final = 1_000_000_000
_TRACE_HEADERS: Final = ("traceparent", "tracestate")
_FAILURES: Final = frozenset({Ending.FAILED, Ending.CUT_OFF})


class Spans:
    """Tells a provider of every request. `clock` tells wall time."""

    def __init__(self, provider: "TracerProvider", clock: Callable[[], float]) -> None:
        from opentelemetry import trace  # noqa: PLC0415  an extra, and a tenth of a second
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415  the same extra

        self._provider, self._clock, self._trace = provider, clock, trace
        self._tracer = provider.get_tracer(SERVICE)
        self._propagator = TraceContextTextMapPropagator()

    def tell(self, call: Call, seconds: float) -> None:
        """One request that has just ended and took `seconds`."""
        ended = int(self._clock() * _NANO)
        headers = {name: value for name in _TRACE_HEADERS if (value := call.exchange.header(name.encode())) is not None}
        span = self._tracer.start_span(
            f"{call.operation}",
            context=self._propagator.extract(headers),
            kind=self._trace.SpanKind.SERVER,
            attributes=_attributes(call),
            start_time=ended - int(seconds * _NANO),
        )
        if call.ending in _FAILURES:
            span.set_status(self._trace.StatusCode.ERROR, call.sentence)
        span.end(ended)

    def close(self) -> None:
        """Sends what is left."""
        self._provider.shutdown()


def _attributes(call: Call) -> dict[str, str | int]:
    told: dict[str, str | int | None] = {
        "http.response.status_code": call.status,
        "heterofleet.outcome": call.ending,
        "heterofleet.request_id": call.request_id.decode("latin-1"),
        "heterofleet.attempts": len(call.attempts) - call.nobody,
        "heterofleet.class": call.decision.request_class if call.decision is not None else None,
        "heterofleet.tier": call.tier,
        "heterofleet.endpoint": call.endpoint,
        "heterofleet.cache": call.cache,
        "heterofleet.tenant": call.tenant or None,
        "gen_ai.request.model": call.request.model if call.request is not None else None,
    }
    return {name: value for name, value in told.items() if value is not None}


def configured(environment: Mapping[str, str], clock: Callable[[], float]) -> Spans | None:
    """Spans that are sent where the environment says; None where it says nothing, or the packages are missing."""
    if not environment.get(ENDPOINT):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  the same extra
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415  the same extra
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  the same extra
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415  the same extra
    except ImportError as exc:
        _log.warning("%s is set, but %s is not installed: pip install 'heterofleet[opentelemetry]'", ENDPOINT, exc.name)
        return None
    name = environment.get(SERVICE_VARIABLE) or SERVICE
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Spans(provider, clock)
