"""The least GPU-hours without a violating minute, for somebody who knows the future (scaling.md, "Definitions").

The k-th instance is needed in the minutes whose work takes k or more. It is started in time before each such stretch,
and kept between two of them where that is no longer than starting and draining anew. The stretches of a (k+1)-th lie
within those of the k-th, so doing this for each k alone is the least of all, and the counts of all k are a schedule.
"""

from dataclasses import dataclass

import numpy as np

from heterofleet.simulate.fluid import Counts, Floats, Pool, Seen


def needed(work: Floats, capacity: float) -> Counts:
    """Instances that each minute's work takes."""
    return np.ceil(work / capacity - 1e-9).astype(np.int64)


def schedule(work: Floats, pool: Pool) -> Counts:
    """Instances that are there, ready or booting, in each minute."""
    need = needed(work, pool.capacity)
    present = np.zeros(len(need) + 1, dtype=np.int64)
    for level in range(1, int(need.max(initial=0)) + 1):
        minutes = np.flatnonzero(need >= level)
        breaks = np.flatnonzero(np.diff(minutes) - 1 > pool.startup_minutes + pool.drain_minutes)
        begins = minutes[np.concatenate([[0], breaks + 1])]
        ends = minutes[np.concatenate([breaks, [len(minutes) - 1]])]
        np.add.at(present, np.maximum(0, begins - pool.startup_minutes), 1)
        np.add.at(present, ends + 1, -1)
    return np.cumsum(present)[:-1]


@dataclass(frozen=True, slots=True)
class Oracle:
    """The schedule as a policy; its first count is the pool's `first`."""

    counts: Counts

    def decide(self, seen: Seen) -> int:
        return int(self.counts[min(seen.minute + 1, len(self.counts) - 1)])
