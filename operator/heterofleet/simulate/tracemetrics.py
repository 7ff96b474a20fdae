"""A trace pulled from Prometheus: what a fleet was asked for, as its own planner has seen it.

The series are those that the operator learns from (`metrics.queries`); minutes of which nothing is known stay so. The
client of Prometheus is the operator's, and is loaded by those who ask one.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from heterofleet.api.labels import FleetKey
from heterofleet.api.routing import RequestClass
from heterofleet.simulate.trace import MINUTE_SECONDS, Floats, InvalidTrace, Trace, Traffic

if TYPE_CHECKING:
    from heterofleet.metrics.history import Grid, History
    from heterofleet.metrics.prometheus import Prometheus


class NoAnswer(Exception):
    """Prometheus could not be asked; the sentence says why."""


def read(url: str, fleet: FleetKey, begin: datetime, end: datetime) -> Trace:
    """The fleet's load between two times. Raises NoAnswer, and InvalidTrace where there is none."""
    try:
        from heterofleet.metrics.prometheus import HttpPrometheus  # noqa: PLC0415  the operator's client
        from heterofleet.metrics.source import Source  # noqa: PLC0415
    except ImportError as exc:
        raise NoAnswer(f"{exc.name} is not installed: pip install 'heterofleet[operator]'") from exc
    try:
        source = Source(url=url)
    except ValueError as exc:
        raise InvalidTrace(f"{url} is no address of a Prometheus: write http://HOST:PORT") from exc

    async def asked() -> Trace:
        prometheus = HttpPrometheus(source)
        try:
            return await of(prometheus, url, fleet, begin, end)
        finally:
            prometheus.close()

    return asyncio.run(asked())


async def of(prometheus: "Prometheus", url: str, fleet: FleetKey, begin: datetime, end: datetime) -> Trace:
    """The same from a Prometheus that is at hand; `url` is its name in sentences."""
    from heterofleet.metrics.reader import Reader  # noqa: PLC0415  the operator's client
    from heterofleet.metrics.samples import Lost  # noqa: PLC0415
    from heterofleet.metrics.source import Source  # noqa: PLC0415

    known = await Reader(prometheus, Source(url=url)).history([fleet], begin, end)
    if isinstance(known, Lost):
        raise NoAnswer(known.sentence)
    classes = known.get(fleet)
    if not classes:
        raise InvalidTrace(
            f"no load of fleet {fleet.name} in namespace {fleet.namespace} is known there: let its routers be scraped,"
            " with the recording rules of the chart, or choose another --from and --to"
        )
    grid = next(iter(classes.values())).grid
    requests = await _requests(prometheus, fleet, grid)
    traffic = {each: _traffic(classes.get(each), requests.get(each), grid) for each in RequestClass}
    return Trace(datetime.fromtimestamp(grid.start, UTC), traffic)


async def _requests(prometheus: "Prometheus", fleet: FleetKey, grid: "Grid") -> Mapping[RequestClass, Floats]:
    """Requests a second by class."""
    from heterofleet.metrics import history  # noqa: PLC0415  the operator's client
    from heterofleet.metrics.queries import INSTANT, Signal  # noqa: PLC0415
    from heterofleet.metrics.samples import Lost  # noqa: PLC0415

    arrays: dict[history.Key, Floats] = {}
    for part in grid.parts():
        runs = await prometheus.over_time(INSTANT[Signal.DEMAND].expression, part.start, part.end, part.step_seconds)
        if isinstance(runs, Lost):
            raise NoAnswer(runs.sentence)
        history.put(runs, grid, frozenset([fleet]), arrays)
    return {request_class: values for (_, request_class), values in arrays.items()}


def _traffic(known: "History | None", requests: Floats | None, grid: "Grid") -> Traffic:
    """A class of which nobody has told was asked for nothing."""
    if known is None:
        nothing = np.zeros(grid.count)
        return Traffic(nothing, nothing, nothing)
    asked = np.full(grid.count, np.nan) if requests is None else requests
    unknown = np.isnan(known.prompt) | np.isnan(known.completion) | np.isnan(asked)
    series = (np.where(unknown, np.nan, values * MINUTE_SECONDS) for values in (asked, known.prompt, known.completion))
    return Traffic(*series)
