"""Reads what a router says of itself at /metrics."""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from heterofleet.router.metrics import PREFIX
from soak.routers import Router

Series = Mapping[tuple[str, ...], float]


class Exposition:
    """One scrape: values by metric, each by its own labels in the order of their names."""

    def __init__(self, text: str) -> None:
        self._metrics: dict[str, dict[tuple[str, ...], float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                own = [value for label, value in sorted(sample.labels.items()) if label not in ("namespace", "fleet")]
                series = self._metrics.setdefault(sample.name.removeprefix(PREFIX), {})
                series[tuple(own)] = sample.value

    def of(self, name: str) -> Series:
        return self._metrics.get(name, {})

    def sum(self, name: str) -> float:
        """Of all series of a metric."""
        return sum(self.of(name).values())


async def scrape(router: Router) -> Exposition:
    """Raises OSError, IncompleteReadError and TimeoutError."""
    status, text = await router.get("/metrics")
    if status != 200:
        raise OSError(f"/metrics of {router.name} said {status}")
    return Exposition(text)
