"""Reads quantiles, and the share within an objective, off the buckets of a histogram: pure.

Objectives differ from fleet to fleet, so that Prometheus is asked for buckets, of all fleets at once, and not for
quantiles. Within a bucket values are taken to be spread evenly, as PromQL's histogram_quantile does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from heterofleet.metrics.samples import absurd


@dataclass(frozen=True, slots=True)
class Histogram:
    """`bounds` in seconds, rising, the last one infinite; `counts` are those at or below each bound, as rates."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    @classmethod
    def of(cls, counts: Mapping[str, float]) -> Self | None:
        """From values by label `le`; None where they are no histogram, or nothing was observed."""
        try:
            pairs = sorted((float(bound), count) for bound, count in counts.items())
        except ValueError:
            return None
        if not pairs or pairs[-1][0] != float("inf") or any(absurd(count) for _, count in pairs):
            return None
        # Rates of buckets that were scraped at one moment can still differ by a rounding.
        rising, highest = [], 0.0
        for _, count in pairs:
            highest = max(highest, count)
            rising.append(highest)
        return cls(tuple(bound for bound, _ in pairs), tuple(rising)) if highest > 0 else None

    def quantile(self, share: float) -> float:
        """Seconds within which that share of the observations was; the last finite bound where it was beyond it."""
        rank = share * self.counts[-1]
        lower, below = 0.0, 0.0
        for bound, count in zip(self.bounds[:-1], self.counts[:-1], strict=True):
            if count >= rank:
                return lower if count == below else lower + (bound - lower) * (rank - below) / (count - below)
            lower, below = bound, count
        return lower

    def share_within(self, seconds: float) -> float:
        """Share of the observations that were at most that long; those beyond the last finite bound were longer."""
        edges = [(0.0, 0.0), *zip(self.bounds[:-1], self.counts[:-1], strict=True)]
        reached = edges[-1][1]
        for (lower, below), (bound, count) in pairwise(edges):
            if seconds < bound:
                reached = below + (count - below) * max(0.0, seconds - lower) / (bound - lower)
                break
        return reached / self.counts[-1]
