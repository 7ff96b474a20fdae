"""The names of the operator's series, and how one of a fleet's own is made."""

from typing import Final

from prometheus_client.core import GaugeMetricFamily

PREFIX: Final = "heterofleet_operator_"


def family(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    """An empty gauge with these labels; `name` is without the prefix."""
    return GaugeMetricFamily(f"{PREFIX}{name}", documentation, labels=labels)
