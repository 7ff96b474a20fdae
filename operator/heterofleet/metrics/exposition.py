"""Reads the few numbers that decisions need out of a Prometheus exposition: pure.

`metrics.scrape` fetches the text; a text that cannot be read or lacks the series gives None, never zero.
"""

from prometheus_client.parser import text_string_to_metric_families

ENGINE_RUNNING = "vllm:num_requests_running"
ENGINE_WAITING = "vllm:num_requests_waiting"
ROUTER_IN_FLIGHT = "heterofleet_router_in_flight_requests"


def engine_in_flight(text: str) -> int | None:
    """Requests that an engine runs or holds back, over all its models and engine cores."""
    found = {ENGINE_RUNNING: None, ENGINE_WAITING: None} | _sums(text, (ENGINE_RUNNING, ENGINE_WAITING))
    running, waiting = found[ENGINE_RUNNING], found[ENGINE_WAITING]
    return None if running is None or waiting is None else int(running + waiting)


def router_in_flight(text: str, endpoint: str) -> int | None:
    """Requests that a router has under way at an endpoint; an endpoint that it does not list has none.

    None when the text is no exposition of a router.
    """
    total = 0.0
    seen = False
    try:
        for family in text_string_to_metric_families(text):
            seen = seen or family.name.startswith("heterofleet_router_")
            if family.name == ROUTER_IN_FLIGHT:
                total += sum(s.value for s in family.samples if s.labels.get("endpoint") == endpoint)
    except ValueError:
        return None
    return int(total) if seen else None


def _sums(text: str, names: tuple[str, ...]) -> dict[str, float | None]:
    sums: dict[str, float | None] = {}
    try:
        for family in text_string_to_metric_families(text):
            if family.name in names:
                sums[family.name] = sum(sample.value for sample in family.samples)
    except ValueError:
        return {}
    return sums
