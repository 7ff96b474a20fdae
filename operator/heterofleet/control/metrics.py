"""Names and counts what the operator's process does; scraped at /metrics.

Stands beside the client, the queue and the election, which each know only the small Protocol of what they count.
Labels are enums: no fleet's name, so that a thousand fleets do not make a thousand series.
"""

import functools
from collections import Counter as Tally
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from heterofleet.api.labels import FleetKey, Manifest

PREFIX: Final = "heterofleet_operator_"
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
        self._fleets = Gauge(f"{PREFIX}fleets", "Fleets whose condition is True.", ["condition"], registry=registry)

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

    def count_conditions(self, true_conditions: Tally[str]) -> None:
        """Sets, for each condition type, how many fleets have it True; types that vanished become 0."""
        for sample in next(iter(self._fleets.collect())).samples:
            condition = sample.labels["condition"]
            self._fleets.labels(condition).set(true_conditions.get(condition, 0))
        for condition, count in true_conditions.items():
            self._fleets.labels(condition).set(count)

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        text: bytes = prometheus_client.generate_latest(self.registry)
        return text

    def _gauge(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        Gauge(f"{PREFIX}{name}", documentation, registry=self.registry).set_function(read)


def _size(sizes: Callable[[], Mapping[str, int]], kind: str) -> float:
    return sizes()[kind]


class Fleets(Protocol):
    """The part of the cache that conditions are counted in."""

    def fleets(self) -> tuple[FleetKey, ...]: ...

    def fleet_version(self, key: FleetKey) -> int: ...

    def fleet(self, key: FleetKey) -> Manifest | None: ...


class ConditionTally:
    """Counts over all fleets which conditions are True, reading again only the fleets that changed."""

    def __init__(self, fleets: Fleets) -> None:
        self._fleets = fleets
        self._read: dict[FleetKey, tuple[int, frozenset[str]]] = {}

    def count(self) -> Tally[str]:
        tally: Tally[str] = Tally()
        read: dict[FleetKey, tuple[int, frozenset[str]]] = {}
        for key in self._fleets.fleets():
            version = self._fleets.fleet_version(key)
            known = self._read.get(key)
            read[key] = known if known and known[0] == version else (version, self._true_conditions(key))
            tally.update(read[key][1])
        self._read = read
        return tally

    def _true_conditions(self, key: FleetKey) -> frozenset[str]:
        status = (self._fleets.fleet(key) or {}).get("status") or {}
        return frozenset(item["type"] for item in status.get("conditions") or () if item["status"] == "True")
