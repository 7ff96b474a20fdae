"""The prefix policy as a curve over what the caches hold, at two loads, and the two figures that are made of it.

    where the cache is the bottleneck    at 1 x the working set: the caches can just hold everything together, and none
                                         of them what a policy brings to it that sends a conversation anywhere
    worst                                over all sizes and loads

Of several loads the one counts at which the policy does worse.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from benchmarks.routerbench import conversations

SEEDS: Final = (1, 2, 3)
THINKING: Final = (30.0, 20.0)
"""Mean seconds from an answer to the next question. At 20 the smallest caches are full of what is being answered."""


class Point(NamedTuple):
    """Mean seconds to the first token of each policy, seed by seed, at one load and one size of the caches."""

    think_seconds: float
    cache: float
    ttft: dict[str, tuple[float, ...]]

    def over(self, policy: str, other: str) -> list[float]:
        """How many times as long one takes as the other, seed by seed."""
        return [one / two for one, two in zip(self.ttft[policy], self.ttft[other], strict=True)]

    def line(self) -> tuple[str, ...]:
        """Load and size, the mean of each policy in milliseconds, and round robin over prefix."""
        means = (f"{statistics.fmean(ttft) * 1000:.0f}" for ttft in self.ttft.values())
        gain = statistics.median(self.over("round robin", "prefix"))
        return f"{self.think_seconds:.0f} s, {self.cache} x working set", *means, f"{gain:.2f}"


def points(say: Callable[[str], None], seeds: Sequence[int] = SEEDS) -> list[Point]:
    """Every size of the caches at every load."""
    found = []
    for think_seconds in THINKING:
        scripts = {seed: conversations.script(seed, think_seconds) for seed in seeds}
        for cache in conversations.CACHES:
            ttft = {
                policy: tuple(conversations.mean_ttft(script, policy, cache, seed) for seed, script in scripts.items())
                for policy in conversations.POLICIES
            }
            found.append(Point(think_seconds, cache, ttft))
            say(f"conversations: {' '.join(found[-1].line())}")
    return found


def worst_over_least_load(curve: Sequence[Point]) -> list[float]:
    """Prefix over least load at the point where prefix does worst, seed by seed."""
    return max((point.over("prefix", "least load") for point in curve), key=statistics.median)


def gain_where_cache_decides(curve: Sequence[Point]) -> list[float]:
    """Round robin over prefix where the caches together hold the working set once, seed by seed."""
    deciding = [point for point in curve if point.cache == 1.0]
    return min((point.over("round robin", "prefix") for point in deciding), key=statistics.median)
