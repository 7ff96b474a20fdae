"""One tier by itself, as a fluid without a policy: counts are known beforehand, so that all minutes are one sum.

    ready(m)    = least count of the minutes m - 1 - start-up .. m - 1      a rise takes its start-up, a fall nothing
    waiting(m)  = max(0, waiting(m - 1) + arrived(m) - ready(m) x C)        Lindley's recursion, by running sums

It is `simulate.fluid` for one tier whose counts depend on nothing that it sees, a hundred times as fast; the tests hold
one to the other. What spills over between tiers, and the plan's hysteresis, are not here: `Trials.whole` has them.
"""

from math import ceil
from typing import Final

import numpy as np

from heterofleet.api.labels import Tier
from heterofleet.api.scaling import Scaling
from heterofleet.simulate import oracle
from heterofleet.simulate.fluid import Counts, Floats, Pool, Run, Track
from heterofleet.simulate.trace import MINUTE_SECONDS

_STABILISED_MINUTES: Final = max(1, ceil(Scaling().stabilization_seconds / MINUTE_SECONDS))


def counts(work_per_minute: Floats, capacity: float, least: int) -> Counts:
    """Instances that carry that work, lowered only to the most of the stabilisation's window."""
    needed = np.maximum(oracle.needed(work_per_minute, capacity), max(1, least))
    highest: Counts = _windows(needed, _STABILISED_MINUTES).max(axis=1)
    return highest


def run(tier: Tier, arrived: Floats, set_counts: Counts, pool: Pool) -> Run:
    """What the tier holds and serves when each minute ends with its count being set."""
    before = np.concatenate([set_counts[:1], set_counts[:-1]])
    ready = _windows(before, pool.startup_minutes + 1).min(axis=1)
    carried = ready * pool.capacity
    surplus = np.cumsum(arrived - carried)
    waiting = surplus - np.minimum(0.0, np.minimum.accumulate(surplus))
    served = arrived - np.diff(waiting, prepend=0.0)
    draining = np.maximum(0, -np.diff(before, prepend=before[:1])) * pool.drain_minutes
    track = Track(
        arrived=arrived,
        within=np.minimum(arrived, carried),
        waiting=waiting,
        served=np.maximum(0.0, served),
        ready=ready,
        booting=before - ready,
        draining=draining,
        gpus=pool.gpus,
    )
    return Run({tier: track})


def _windows(values: Counts, width: int) -> Counts:
    """Each value with those before it, a row each; before the first one it has always been as it is."""
    padded = np.concatenate([np.full(width - 1, values[0]), values])
    return np.lib.stride_tricks.sliding_window_view(padded, width)
