"""Which rows count, and what a figure is made of: pure, from the runs of a system and of the direct way.

    a row counts when   no answer was wrong, missing or counted twice, in any run
                        its system's core was busy in every run, so that it is the system that was measured
                        direct gave well more, so that neither load nor engines held it back
    ratio               the median over rounds of ours / peer: what slows a round down slows both
    cost ratio          the same of CPU time a request, peer / ours: what the ratio is where both cores are busy. Of a
                        peer that load and engines hold back it is known all the same

A row that does not count is printed with its reasons, and no figure that is made of it is met.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.routerbench.wrk import Taken

BUSY: Final = 0.95
DIRECT_MARGIN: Final = 1.2
"""Load and engines need less than 1 / this of their core for what the fastest system does."""


@dataclass(frozen=True)
class Row:
    """The runs of one system, one a round. `faults` are what checks of its answers and counts found, in sentences."""

    name: str
    runs: tuple[Taken, ...]
    faults: tuple[str, ...] = ()

    @property
    def per_second(self) -> float:
        return statistics.median(run.per_second for run in self.runs)

    @property
    def cpu_us(self) -> float:
        return statistics.median(run.cpu_us for run in self.runs)

    @property
    def busy(self) -> float:
        """Of the run in which the core had most to spare."""
        return min(run.busy for run in self.runs)

    @property
    def errors(self) -> int:
        return sum(run.errors for run in self.runs)


def wrong(row: Row) -> list[str]:
    """What was wrong with the answers of a row."""
    return [*row.faults, *([f"{row.errors} errors"] if row.errors else [])]


def invalid(row: Row, direct: Row) -> list[str]:
    """Why a row does not count; empty when it does."""
    reasons = wrong(row)
    if row.busy < BUSY:
        reasons.append(f"its core was busy for {row.busy:.1%} only")
    if direct.per_second < DIRECT_MARGIN * row.per_second:
        reasons.append(f"direct gives only {direct.per_second / row.per_second:.2f} times as much")
    return reasons


def ratios(ours: Row, peer: Row) -> list[float]:
    """Requests a second over the peer's, round by round."""
    return [one.per_second / other.per_second for one, other in zip(ours.runs, peer.runs, strict=True)]


def cost_ratios(ours: Row, peer: Row) -> list[float]:
    """The peer's CPU time a request over ours, round by round."""
    return [other.cpu_us / one.cpu_us for one, other in zip(ours.runs, peer.runs, strict=True)]


def spread(samples: Sequence[float], digits: int = 0) -> str:
    """Median and range, for people."""
    return f"{statistics.median(samples):,.{digits}f} [{min(samples):,.{digits}f} .. {max(samples):,.{digits}f}]"
