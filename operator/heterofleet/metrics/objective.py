"""Decides how Prometheus tells what was in time, though objectives differ from fleet to fleet and buckets do not.

    in time = (1 - w) x observations at or below `lower` + w x those at or below `upper`
    w       = (objective - lower) / (upper - lower)

PromQL's histogram_quantile takes one share for all series and cannot compare with a threshold of each. So the operator
tells both weights of each fleet's objective as gauges with the label `le`, and one multiplication of buckets and
weights (`ratios`) counts for all fleets. Values are taken to be spread evenly within a bucket, as histogram_quantile
does.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, NamedTuple

FIRST_TOKEN_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300)
"""Seconds; the routers' own bounds of time_to_first_token_seconds, which a test holds these to."""

INTER_TOKEN_BOUNDS: Final = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5)
"""Seconds; the same of inter_token_seconds."""


class Weight(NamedTuple):
    """What the observations at or below one bound count for; `le` is written as routers write it."""

    le: str
    share: float


def weights(objective: float, bounds: Sequence[float]) -> tuple[Weight, ...]:
    """One weight for an objective that is a bound, else two; their shares sum to 1, but below the first bound.

    Above the last bound nothing is known but that an observation was beyond it: the last bound is the objective then.
    """
    above = bisect_left(bounds, objective)
    if above == len(bounds):
        return (Weight(_le(bounds[-1]), 1.0),)
    lower = bounds[above - 1] if above else 0.0
    share = (objective - lower) / (bounds[above] - lower)
    upper = Weight(_le(bounds[above]), share)
    return (upper,) if share == 1.0 or not above else (Weight(_le(lower), 1.0 - share), upper)


def _le(bound: float) -> str:
    return repr(float(bound))
