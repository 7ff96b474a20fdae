"""GPU-hours over the share of violating minutes: what one setting after another makes of a policy."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, nan
from typing import Final

import numpy as np

from heterofleet.simulate.fluid import Run

SHARES: Final = (0.01, 0.02, 0.05)
"""Shares of violating minutes at which policies are compared."""


@dataclass(frozen=True, slots=True)
class Point:
    """One setting of a policy."""

    setting: str
    share: float
    gpu_hours: float


def points(runs: Iterable[tuple[str, Run]], part: slice) -> tuple[Point, ...]:
    """The points of these runs, by some of their minutes only."""
    made = ((setting, run.within(part)) for setting, run in runs)
    return tuple(Point(setting, run.violating_share, run.gpu_hours) for setting, run in made)


def hours_at(curve: Iterable[Point], share: float) -> float:
    """GPU-hours at a share of violating minutes, linear between two settings of the curve.

    A curve that ends below the share is taken at its end: it violates less, and its hours are those that it needs. One
    that begins above it has no such hours, which is `nan`.
    """
    ordered = sorted(curve, key=lambda point: (point.share, -point.gpu_hours))
    if not ordered or ordered[0].share > share:
        return nan
    least, hours = inf, []
    for point in ordered:
        least = min(least, point.gpu_hours)
        hours.append(least)
    return float(np.interp(share, [point.share for point in ordered], hours))


def best_at(curves: Iterable[Iterable[Point]], share: float) -> float:
    """The least hours that any of the curves has there; `nan` where none reaches it."""
    found = [hours for hours in (hours_at(curve, share) for curve in curves) if hours == hours]  # noqa: PLR0124 (nan)
    return min(found, default=nan)


def geometric_mean(values: Iterable[float]) -> float:
    return float(np.exp(np.mean(np.log(list(values)))))
