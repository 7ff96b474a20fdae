"""Says which Prometheus a fleet's signals come from: the operator's own, or one that the fleet names and may name."""

from collections.abc import Callable
from typing import Final

from heterofleet.metrics.prometheus import HttpPrometheus
from heterofleet.metrics.reader import Reader
from heterofleet.metrics.samples import Loss, Lost
from heterofleet.metrics.source import Source

NOT_CONFIGURED: Final = Lost(
    Loss.NOT_CONFIGURED,
    "the operator has no Prometheus: set prometheus.url in the chart (HETEROFLEET_PROMETHEUS_URL)",
)


class Sources:
    """One reader an address, made when it is first asked for."""

    def __init__(
        self, source: Source, scale: float = 1.0, connect: Callable[[Source], HttpPrometheus] = HttpPrometheus
    ) -> None:
        self._source, self._scale, self._connect = source, scale, connect
        self._open: dict[str, tuple[HttpPrometheus, Reader]] = {}

    def reader(self, url: str | None) -> Reader | Lost:
        """The reader for a fleet whose spec.scaling.prometheusUrl is `url`."""
        source = self._source if url is None else self._source.elsewhere(url)
        if source is None:
            return Lost(
                Loss.NOT_ALLOWED,
                f"{url} is not one of the addresses that fleets may name: add it to prometheus.allowedUrls in the"
                " chart, or leave spec.scaling.prometheusUrl out",
            )
        if not source.url:
            return NOT_CONFIGURED
        if source.url not in self._open:
            prometheus = self._connect(source)
            self._open[source.url] = prometheus, Reader(prometheus, source, self._scale)
        return self._open[source.url][1]

    def close(self) -> None:
        for prometheus, _ in self._open.values():
            prometheus.close()
        self._open.clear()
