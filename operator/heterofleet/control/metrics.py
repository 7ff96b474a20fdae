"""Names and counts what the operator's process does; scraped at /metrics.

Stands beside the client, the queue and the election, which each know only the small Protocol of what they count.
Labels are enums here; the few series that a fleet has of its own come from its status (`series`).
"""

import functools
from collections.abc import Callable, Mapping
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.registry import Collector

from heterofleet.control.gauges import PREFIX

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)


class Metrics:
    """All counters of one process, in a registry of its own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        prometheus_client.ProcessCollector(registry=registry)
        self._reconciles = Counter(
            f"{PREFIX}reconciles", "Reconciles of a fleet, by outcome (done, failed).", ["outcome"], registry=registry
        )
        self._seconds = Histogram(
            f"{PREFIX}reconcile_seconds", "Duration of one reconcile.", buckets=_SECONDS, registry=registry
        )
        self._writes = Counter(
            f"{PREFIX}writes", "Writes that the API server took.", ["verb", "kind"], registry=registry
        )
        self._errors = Counter(
            f"{PREFIX}errors",
            "Writes that the API server refused or lost, by its reason.",
            ["reason"],
            registry=registry,
        )
        self._events_dropped = Counter(
            f"{PREFIX}events_dropped", "Events not written since too many were waiting.", registry=registry
        )

    def reconciled(self, outcome: str, seconds: float) -> None:
        self._reconciles.labels(outcome).inc()
        self._seconds.observe(seconds)

    def wrote(self, verb: str, kind: str) -> None:
        self._writes.labels(verb, kind).inc()

    def failed(self, reason: str) -> None:
        self._errors.labels(reason).inc()

    def dropped_event(self) -> None:
        self._events_dropped.inc()

    def observe(
        self,
        *,
        queue_depth: Callable[[], int],
        leading: Callable[[], bool],
        silence_seconds: Callable[[], float],
    ) -> None:
        """Registers what is read at each scrape."""
        self._gauge("queue_depth", "Fleets that wait for a worker.", queue_depth)
        self._gauge("leader", "1 while this process may write.", leading)
        self._gauge("silence_seconds", "Since the most silent watch was heard.", silence_seconds)

    def count_objects(self, sizes: Callable[[], Mapping[str, int]]) -> None:
        """Registers the sizes of the cache, by kind of record."""
        gauge = Gauge(f"{PREFIX}cache_objects", "Objects in memory.", ["kind"], registry=self.registry)
        for kind in sizes():
            gauge.labels(kind).set_function(functools.partial(_size, sizes, kind))

    def collect_fleets(self, series: Collector) -> None:
        """Registers what is read from the fleets themselves (see `series`)."""
        self.registry.register(series)

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        text: bytes = prometheus_client.generate_latest(self.registry)
        return text

    def _gauge(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        Gauge(f"{PREFIX}{name}", documentation, registry=self.registry).set_function(read)


def _size(sizes: Callable[[], Mapping[str, int]], kind: str) -> float:
    return sizes()[kind]
