"""Whether a process's memory grows: a rule over its samples. Pure.

    growth = median of the last LAST samples - median of the first LAST samples after its warm-up

where the warm-up is WARM_UP_SECONDS, and a third of the samples at most: caches fill, pools grow to their size, and
what is imported late is there. Medians, since one large request must not look like a leak.
"""

import statistics
from collections.abc import Sequence
from typing import Final

from soak.sampling import Sample

MOST_MB: Final = 10.0
"""Growth that is allowed, in megabytes."""

WARM_UP_SECONDS: Final = 60.0
LAST: Final = 10
FEWEST: Final = 12
"""Samples below which a process has lived too short to say anything."""


def growth_mb(samples: Sequence[Sample]) -> float | None:
    """None where there are too few samples."""
    if len(samples) < FEWEST:
        return None
    begins = samples[0].at + WARM_UP_SECONDS
    warm = next((number for number, sample in enumerate(samples) if sample.at >= begins), len(samples))
    after = samples[min(warm, len(samples) // 3) :]
    first, last = after[:LAST], after[-LAST:]
    return statistics.median(s.memory_mb for s in last) - statistics.median(s.memory_mb for s in first)
