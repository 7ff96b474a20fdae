"""What is asked of Prometheus, with its unit: one query a signal, for all fleets.

The expensive ones are recorded (`metrics.rules`); gauges are asked for as they are. GPU utilisation is not among them:
it stands at 100 % from the moment where demand begins to be hidden behind it.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from heterofleet.api.labels import FleetKey
from heterofleet.metrics import rules
from heterofleet.metrics.rules import window


class Signal(StrEnum):
    """What is known by one query; the value is the name under which it is missed."""

    ROUTERS = "routers"
    NEWEST_SAMPLE = "newest sample"
    DEMAND = "requests"
    OFFERED_PROMPT = "offered prompt tokens"
    OFFERED_COMPLETION = "offered completion tokens"
    HOURLY_PROMPT = "offered prompt tokens of the hour"
    HOURLY_COMPLETION = "offered completion tokens of the hour"
    ESCALATED_PROMPT = "escalated prompt tokens"
    ESCALATED_COMPLETION = "escalated completion tokens"
    SPILLED_PROMPT = "spilled prompt tokens"
    SPILLED_COMPLETION = "spilled completion tokens"
    CACHE_HITS = "cache hits"
    LATENCY_FIRST = "time to first token"
    LATENCY_NEXT = "inter-token time"
    QUEUE = "queue"
    QUEUE_AGE = "age of the queue"
    IN_FLIGHT = "in-flight requests"
    ENGINES = "engines"
    RUNNING = "running requests"
    WAITING = "waiting requests"
    KV_CACHE = "KV-cache use"
    SPENT = "fleet money of 24 hours"
    ENGINE_PROMPT = "engines' prompt tokens"
    ENGINE_GENERATION = "engines' generated tokens"


class Query(NamedTuple):
    """One question; `unit` is that of its values, `labels` tell its series of one fleet apart."""

    expression: str
    unit: str
    labels: tuple[str, ...] = ()


TOKENS: Final = "tokens/s"

INSTANT: Final = {
    # Asked of the routers' own series: that recording rules are missing is then seen, and can be said.
    Signal.ROUTERS: Query("count by (namespace, fleet) (heterofleet_router_connections)", "routers"),
    Signal.NEWEST_SAMPLE: Query(rules.NEWEST_SAMPLE, "seconds since the epoch"),
    Signal.DEMAND: Query(rules.DEMAND, "requests/s", ("class",)),
    Signal.OFFERED_PROMPT: Query(rules.OFFERED_PROMPT, TOKENS, ("class",)),
    Signal.OFFERED_COMPLETION: Query(rules.OFFERED_COMPLETION, TOKENS, ("class",)),
    Signal.HOURLY_PROMPT: Query(rules.HOURLY_PROMPT, TOKENS, ("class",)),
    Signal.HOURLY_COMPLETION: Query(rules.HOURLY_COMPLETION, TOKENS, ("class",)),
    Signal.ESCALATED_PROMPT: Query(rules.ESCALATED_PROMPT, TOKENS, ("class",)),
    Signal.ESCALATED_COMPLETION: Query(rules.ESCALATED_COMPLETION, TOKENS, ("class",)),
    Signal.SPILLED_PROMPT: Query(rules.SPILLED_PROMPT, TOKENS, ("class",)),
    Signal.SPILLED_COMPLETION: Query(rules.SPILLED_COMPLETION, TOKENS, ("class",)),
    Signal.CACHE_HITS: Query(rules.CACHE_HITS, "share of requests", ("class",)),
    Signal.LATENCY_FIRST: Query(rules.LATENCY_FIRST, "requests/s", ("class", "le")),
    Signal.LATENCY_NEXT: Query(rules.LATENCY_NEXT, "tokens/s", ("tier", "le")),
    Signal.QUEUE: Query("sum by (namespace, fleet, tier) (heterofleet_router_queue_requests)", "requests", ("tier",)),
    Signal.QUEUE_AGE: Query(
        "max by (namespace, fleet, tier) (heterofleet_router_queue_oldest_age_seconds)", "seconds", ("tier",)
    ),
    Signal.IN_FLIGHT: Query(
        "sum by (namespace, fleet, tier) (heterofleet_router_in_flight_requests)", "requests", ("tier",)
    ),
    # An engine has one series a core (data parallel rank) and model.
    Signal.ENGINES: Query(
        "count by (namespace, fleet, tier) (count by (namespace, fleet, tier, pool, instance)"
        ' (vllm:num_requests_running{fleet!=""}))',
        "instances",
        ("tier",),
    ),
    Signal.RUNNING: Query(
        'sum by (namespace, fleet, tier) (vllm:num_requests_running{fleet!=""})', "requests", ("tier",)
    ),
    Signal.WAITING: Query(
        'sum by (namespace, fleet, tier) (vllm:num_requests_waiting{fleet!=""})', "requests", ("tier",)
    ),
    Signal.KV_CACHE: Query(
        'avg by (namespace, fleet, tier) (vllm:kv_cache_usage_perc{fleet!=""})', "share of the cache", ("tier",)
    ),
    Signal.SPENT: Query(rules.SPENT, "USD"),
    Signal.ENGINE_PROMPT: Query(rules.ENGINE_PROMPT, TOKENS, ("tier",)),
    Signal.ENGINE_GENERATION: Query(rules.ENGINE_GENERATION, TOKENS, ("tier",)),
}

HISTORY: Final = {Signal.OFFERED_PROMPT: rules.OFFERED_PROMPT, Signal.OFFERED_COMPLETION: rules.OFFERED_COMPLETION}

_ONE_STEP: Final = rules.STEP_SECONDS - 0.001
"""A value stands for its own step alone: ranges include both ends, and PromQL's own lookback would fill gaps of up to
five minutes with what was before them."""


def history(signal: Signal, fleets: Iterable[FleetKey], scale: float = 1.0) -> str:
    """A query for some fleets' values over time, in steps of `rules.STEP_SECONDS`; gaps of it stay gaps."""
    keys = sorted(fleets)
    namespaces, names = _any_of(key.namespace for key in keys), _any_of(key.name for key in keys)
    selector = f'{HISTORY[signal]}{{namespace=~"{namespaces}",fleet=~"{names}"}}'
    return f"last_over_time({selector}[{window(_ONE_STEP, scale)}])"


def _any_of(names: Iterable[str]) -> str:
    """A regular expression of PromQL; names of namespaces and fleets have no character that means anything in it."""
    return "|".join(sorted(set(names)))
