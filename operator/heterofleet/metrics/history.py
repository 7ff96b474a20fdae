"""What classes of a fleet offered over time, minute by minute, with NaN where nothing is known: pure.

start, step, values      one array a class and kind of token; the grid is the same for all
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil, floor
from typing import Final

import numpy as np

from heterofleet.api.labels import FleetKey
from heterofleet.api.routing import RequestClass
from heterofleet.metrics.rules import STEP_SECONDS
from heterofleet.metrics.samples import Floats, Run, fleet_of

MOST_STEPS: Final = 1440
"""Steps of one question: a day, of the 11,000 that Prometheus allows, so that an answer stays small."""


@dataclass(frozen=True, slots=True)
class Grid:
    """`count` times, `step_seconds` apart, from `start` (seconds since the epoch, a multiple of the step)."""

    start: float
    step_seconds: float
    count: int

    @classmethod
    def between(cls, start: float, end: float, scale: float = 1.0) -> "Grid":
        """The steps from `start` to `end`, both included where they are steps; whole seconds, as the client rounds."""
        step = max(1.0, float(round(STEP_SECONDS / scale)))
        first, last = ceil(start / step), floor(end / step)
        return cls(first * step, step, max(0, last - first + 1))

    @property
    def end(self) -> float:
        return self.start + (self.count - 1) * self.step_seconds

    def parts(self) -> Iterator["Grid"]:
        """The same steps in questions of at most MOST_STEPS, oldest first."""
        for first in range(0, self.count, MOST_STEPS):
            start = self.start + first * self.step_seconds
            yield Grid(start, self.step_seconds, min(MOST_STEPS, self.count - first))

    def times(self) -> Floats:
        return self.start + self.step_seconds * np.arange(self.count, dtype=np.float64)

    def index(self, times: Floats) -> Floats:
        """Where times lie on the grid, as whole numbers; NaN for those that lie on no step of it."""
        places = (times - self.start) / self.step_seconds
        nearest = np.round(places)
        on_grid = (np.abs(places - nearest) < 1e-6) & (nearest >= 0) & (nearest < self.count)
        return np.where(on_grid, nearest, np.nan)


@dataclass(frozen=True, slots=True)
class History:
    """Tokens a second that one class of a fleet offered, cache hits taken off."""

    grid: Grid
    prompt: Floats
    completion: Floats

    def work(self, prompt_weight: float) -> Floats:
        """Work tokens a second at each step; NaN where one of both is not known."""
        return self.completion + prompt_weight * self.prompt

    def points(self, prompt_weight: float) -> Iterator[tuple[float, float]]:
        """(seconds since the epoch, work tokens a second) of the steps that are known, oldest first."""
        work = self.work(prompt_weight)
        known = ~np.isnan(work)
        yield from zip(self.grid.times()[known].tolist(), work[known].tolist(), strict=True)


Key = tuple[FleetKey, RequestClass]


def put(runs: Iterable[Run], grid: Grid, fleets: frozenset[FleetKey], into: dict[Key, Floats]) -> None:
    """Writes the values of runs onto the grid; absurd ones stay NaN."""
    for run in runs:
        fleet, request_class = fleet_of(run.labels), run.labels.get("class", "")
        if fleet is None or fleet not in fleets or request_class not in tuple(RequestClass):
            continue
        values = into.setdefault((fleet, RequestClass(request_class)), np.full(grid.count, np.nan))
        places = grid.index(run.times)
        good = ~np.isnan(places) & np.isfinite(run.values) & (run.values >= 0)
        steps = places[good].astype(int)
        # Two series of one class, such as those of two Prometheus that ship to one store, are two opinions: no number.
        values[steps] = np.where(np.isnan(values[steps]), run.values[good], np.nan)
