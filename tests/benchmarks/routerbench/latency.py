"""What a router adds: percentiles through it less the same percentiles of the direct way, at the same rate.

A difference of percentiles, not a percentile of differences, which nobody can measure: no request goes both ways.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from benchmarks.figures import percentile
from benchmarks.routerbench import openloop
from benchmarks.routerbench.systems import Running

SHARES: Final = (0.5, 0.99)


class Added(NamedTuple):
    """One round: milliseconds through the router, direct, at the median and the 99th of a hundred; wrong answers."""

    through: tuple[float, float]
    direct: tuple[float, float]
    errors: int

    @property
    def p50_ms(self) -> float:
        return self.through[0] - self.direct[0]

    @property
    def p99_ms(self) -> float:
        return self.through[1] - self.direct[1]


def added(
    running: Running, direct: Running, bodies: Sequence[str], rate: float, seconds: float, rounds: int,
    say: Callable[[str], None],
) -> list[Added]:  # fmt: skip
    """Round by round, at this rate: half of what the router itself can do."""
    found = []
    for number in range(rounds):
        floor, floor_errors = _percentiles(direct, bodies, rate, seconds, number)
        through, errors = _percentiles(running, bodies, rate, seconds, number)
        found.append(Added(through, floor, errors + floor_errors))
        say(
            f"round {number + 1}: {running.name} at {rate:,.0f}/s: p50 {through[0]:.3f} ms, p99 {through[1]:.3f} ms;"
            f" direct {floor[0]:.3f} and {floor[1]:.3f} ms"
        )
    return found


def _percentiles(
    running: Running, bodies: Sequence[str], rate: float, seconds: float, seed: int
) -> tuple[tuple[float, float], int]:
    taken = openloop.measure(running.port, bodies, rate, seconds, seed)
    p50, p99 = (percentile(taken.seconds, share) * 1000 for share in SHARES)
    return (p50, p99), taken.errors
