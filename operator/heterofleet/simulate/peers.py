"""What else could set the counts of a tier, for comparison: policies that see what the product sees.

StaticPeak    the most that will ever be needed, always
Hpa           Kubernetes' HorizontalPodAutoscaler on work per instance
QueueTarget   KEDA's way: requests in flight and waiting over a target an instance
LastValue     what the last minute's work takes, no more
"""

from collections import deque
from dataclasses import dataclass, field
from math import ceil
from typing import Final

from heterofleet.simulate.fluid import Seen

TOLERANCE: Final = 0.1

BACKLOG_MINUTES: Final = 5.0
"""Minutes in which a backlog shall be worked off: backlog / 5 counts as demand."""

_SYNCS_A_MINUTE: Final = 4


@dataclass(frozen=True, slots=True)
class StaticPeak:
    """As many as the highest minute takes."""

    count: int

    def decide(self, seen: Seen) -> int:
        del seen
        return self.count


@dataclass(slots=True)
class Hpa:
    """The algorithm of autoscaling/v2 with its default policies, on a metric of its kind AverageValue.

    usage = (arrived + waiting / 5) / capacity, in instances; ratio = usage / (count x target); within the tolerance of
    1 the count stays, else it is usage / target, rounded up. Up to double it or 4 more, whichever is more, are added
    every 15 s; a count falls to the highest that was recommended within the scale-down window. Without a metric it
    stays, as Kubernetes does.
    """

    capacity: float
    target: float
    window_seconds: int = 300
    least: int = 1
    _recommended: deque[tuple[int, int]] = field(default_factory=deque)

    def decide(self, seen: Seen) -> int:
        count = seen.count
        if seen.arrived is None:
            return count
        usage = (seen.arrived + seen.waiting / BACKLOG_MINUTES) / self.capacity
        wanted = count
        if count == 0 or abs(usage / (count * self.target) - 1) > TOLERANCE:
            wanted = max(self.least, ceil(usage / self.target - 1e-9))
        return self._limited(count, self._stabilised(seen.minute, count, wanted))

    def _stabilised(self, minute: int, count: int, wanted: int) -> int:
        recommended = self._recommended
        recommended.append((minute, wanted))
        while recommended[0][0] * 60 < minute * 60 - self.window_seconds:
            recommended.popleft()
        return wanted if wanted >= count else min(count, max(size for _, size in recommended))

    @staticmethod
    def _limited(count: int, wanted: int) -> int:
        most = count
        for _ in range(_SYNCS_A_MINUTE):
            most = max(2 * most, most + 4)
        return min(wanted, most)


@dataclass(slots=True)
class QueueTarget:
    """KEDA's way: work in flight and waiting over `target` of an instance's capacity, and a cooldown on the way down.

    What is served saturates at what is ready, and what waits shows only once it waits.
    """

    capacity: float
    target: float = 0.7
    cooldown_seconds: int = 300
    least: int = 1
    _high_until: int = -1

    def decide(self, seen: Seen) -> int:
        wanted = max(self.least, ceil((seen.served + seen.waiting) / (self.capacity * self.target) - 1e-9))
        if wanted >= seen.count:
            self._high_until = seen.minute * 60 + self.cooldown_seconds
            return wanted
        return seen.count if seen.minute * 60 < self._high_until else wanted


@dataclass(frozen=True, slots=True)
class LastValue:
    """The last minute again."""

    capacity: float
    least: int = 1

    def decide(self, seen: Seen) -> int:
        if seen.arrived is None:
            return seen.count
        return max(self.least, ceil(seen.arrived / self.capacity - 1e-9))
