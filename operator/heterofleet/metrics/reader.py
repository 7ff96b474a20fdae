"""Reads the signals of all fleets at once, and the history of some: what the planner asks of Prometheus.

    read_all    one question a signal, for all fleets of one Prometheus
    history     questions of a day and a few fleets each, when a process starts and after a gap

Both say `Lost` where Prometheus as a whole says nothing; what one fleet or one signal lacks is masked and named.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from heterofleet.api.labels import FleetKey
from heterofleet.api.routing import RequestClass
from heterofleet.metrics import history, queries, rules, signals
from heterofleet.metrics.history import Grid, History, Key
from heterofleet.metrics.prometheus import Prometheus
from heterofleet.metrics.queries import INSTANT, Signal
from heterofleet.metrics.samples import FUTURE_SECONDS, Floats, Loss, Lost, Sample
from heterofleet.metrics.signals import Signals
from heterofleet.metrics.source import Source

FLEETS_AT_ONCE: Final = 10
NOBODY: Final[Mapping[FleetKey, int]] = {}

_NEEDED: Final = (Signal.NEWEST_SAMPLE, Signal.OFFERED_PROMPT, Signal.OFFERED_COMPLETION)
_OF_ONE_PART: Final = frozenset({Loss.FAILED, Loss.TOO_LARGE, Loss.MALFORMED})
"""Losses that another part of a history may be spared; after the others nobody need be asked again."""


class Reader:
    """The signals of one Prometheus. `scale` is how many seconds pass in one of the clock (the test bed's)."""

    def __init__(self, prometheus: Prometheus, source: Source, scale: float = 1.0) -> None:
        self._prometheus, self._source, self._scale = prometheus, source, scale

    async def read_all(
        self, now: datetime, ready_routers: Mapping[FleetKey, int] = NOBODY
    ) -> Mapping[FleetKey, Signals] | Lost:
        """The signals of all fleets that it hears of. Where it hears of fewer routers of a fleet than `ready_routers`
        says that there are, the fleet's load is not known."""
        routers = await self._prometheus.instant(INSTANT[Signal.ROUTERS].expression)
        if isinstance(routers, Lost):
            return routers  # Before all the others are asked, each of which would be waited for.
        lost = self._unusable(routers, now.timestamp())
        if lost is not None:
            return lost
        others = [signal for signal in INSTANT if signal is not Signal.ROUTERS]
        answered = await asyncio.gather(*(self._prometheus.instant(INSTANT[signal].expression) for signal in others))
        answers: dict[Signal, tuple[Sample, ...] | Lost] = dict(zip(others, answered, strict=True))
        answers[Signal.ROUTERS] = routers
        for signal in _NEEDED:
            if isinstance(answer := answers[signal], Lost):
                return answer
        if not answers[Signal.NEWEST_SAMPLE]:
            return Lost(
                Loss.RULES_MISSING,
                f"{self._source.url} scrapes routers, but lacks the recording rules {rules.GROUP}: set"
                " prometheus.rules.enabled in the chart, or load manifests/prometheus/rules.yaml",
            )
        # A third of a second for 1,000 fleets: on a thread, so that reconciles and the Lease need not wait for it.
        return await asyncio.to_thread(
            signals.of_fleets,
            answers,
            now.timestamp(),
            stale_after_seconds=self._source.stale_after_seconds / self._scale,
            ready_routers=ready_routers,
        )

    async def history(
        self, fleets: Iterable[FleetKey], start: datetime, end: datetime
    ) -> Mapping[FleetKey, Mapping[RequestClass, History]] | Lost:
        """What each class of these fleets offered from `start` to `end`; classes that nobody told of are left out."""
        grid = Grid.between(start.timestamp(), end.timestamp(), self._scale)
        found: dict[FleetKey, dict[RequestClass, History]] = {}
        for some in _some_at_once(sorted(fleets)):
            prompts = await self._over_time(Signal.OFFERED_PROMPT, frozenset(some), grid)
            if isinstance(prompts, Lost):
                return prompts
            completions = await self._over_time(Signal.OFFERED_COMPLETION, frozenset(some), grid)
            if isinstance(completions, Lost):
                return completions
            for fleet, request_class in prompts.keys() & completions.keys():
                key = fleet, request_class
                found.setdefault(fleet, {})[request_class] = History(grid, prompts[key], completions[key])
        return found

    async def _over_time(self, signal: Signal, fleets: frozenset[FleetKey], grid: Grid) -> dict[Key, Floats] | Lost:
        expression = queries.history(signal, fleets, self._scale)
        arrays: dict[Key, Floats] = {}
        losses: list[Lost] = []
        parts = list(grid.parts())
        for part in parts:
            runs = await self._prometheus.over_time(expression, part.start, part.end, part.step_seconds)
            if not isinstance(runs, Lost):
                history.put(runs, grid, fleets, arrays)
            elif runs.reason in _OF_ONE_PART and len(losses) + 1 < len(parts):
                losses.append(runs)
            else:
                return runs
        return arrays

    def _unusable(self, routers: tuple[Sample, ...], now: float) -> Lost | None:
        url = self._source.url
        if not routers:
            return Lost(
                Loss.NO_ROUTERS,
                f"{url} has no series of routers: let it scrape them (spec.monitoring.podMonitor, docs/install.md)",
            )
        ahead = routers[0].at - now
        if abs(ahead) > FUTURE_SECONDS:
            return Lost(Loss.CLOCK, f"the clock of {url} is {ahead:+.0f} s off the operator's: set both right")
        return None


def _some_at_once(fleets: list[FleetKey]) -> Iterator[list[FleetKey]]:
    for first in range(0, len(fleets), FLEETS_AT_ONCE):
        yield fleets[first : first + FLEETS_AT_ONCE]
