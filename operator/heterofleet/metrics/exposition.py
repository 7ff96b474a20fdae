"""Reads the few numbers that decisions need out of a Prometheus exposition: pure.

`metrics.scrape` fetches the text; a text that cannot be read or lacks the series gives None, never zero.
"""

from collections.abc import Iterable, Mapping
from math import isfinite, nan

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from heterofleet.api.labels import Tier

ENGINE_RUNNING = "vllm:num_requests_running"
ENGINE_WAITING = "vllm:num_requests_waiting"
ROUTER_PREFIX = "heterofleet_router_"
ROUTER_IN_FLIGHT = "heterofleet_router_in_flight_requests"
ROUTER_QUEUE = "heterofleet_router_queue_requests"


def engine_in_flight(text: str) -> int | None:
    """Requests that an engine runs or holds back, over all its models and engine cores."""
    samples = _samples(text)
    if samples is None or not {ENGINE_RUNNING, ENGINE_WAITING} <= {sample.name for sample in samples}:
        return None
    return _count(sample.value for sample in samples if sample.name in (ENGINE_RUNNING, ENGINE_WAITING))


def router_in_flight(text: str, endpoint: str) -> int | None:
    """Requests that a router has under way at an endpoint; an endpoint that it does not list has none.

    None when the text is no exposition of a router.
    """
    families = _families(text)
    if families is None or not any(family.name.startswith(ROUTER_PREFIX) for family in families):
        return None
    samples = (sample for family in families if family.name == ROUTER_IN_FLIGHT for sample in family.samples)
    return _count(sample.value for sample in samples if sample.labels.get("endpoint") == endpoint)


def router_queue(text: str) -> Mapping[Tier, float] | None:
    """Requests that wait in a router for a place in each tier; None where it does not say so of both."""
    families = _families(text)
    waiting: dict[str, float] = {}
    for family in families or ():
        for sample in family.samples if family.name == ROUTER_QUEUE else ():
            tier = sample.labels.get("tier", "")
            waiting[tier] = waiting.get(tier, 0.0) + sample.value
    if not all(isfinite(waiting.get(tier, nan)) and waiting[tier] >= 0 for tier in Tier):
        return None
    return {tier: waiting[tier] for tier in Tier}


def _families(text: str) -> list[Metric] | None:
    try:
        return list(text_string_to_metric_families(text))
    except ValueError:
        return None


def _samples(text: str) -> list[Sample] | None:
    families = _families(text)
    return None if families is None else [sample for family in families for sample in family.samples]


def _count(values: Iterable[float]) -> int | None:
    """Their sum; None where one of them is not a number."""
    total = sum(values)
    return int(total) if isfinite(total) else None
