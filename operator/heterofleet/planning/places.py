"""How far a tier's count may rise for the places there are on nodes.

A count in force is never lowered for lack of places: what waits for one comes by itself when a node does. A rise goes
as far as places are free, and where the GPU budget is used up, also as far as the other tier's release would free some.
Such a release that has led to no place (the GPUs were scattered over nodes) is not asked for again for a while.
"""

from datetime import datetime, timedelta
from typing import Final

from heterofleet.planning.situation import TierNow

_RETRY: Final = timedelta(minutes=30)


def live(now: TierNow) -> int:
    """Instances that hold GPUs, or will as soon as they are placed; draining ones are counted apart."""
    return now.ready + len(now.booting) + now.pending


def most(now: TierNow, other: TierNow, free_gpus: float, unplaced_at: datetime | None, at: datetime) -> int | None:
    """The highest count that has places; None where nobody can say. `free_gpus` are those left in the budget."""
    if now.placeable is None:
        return None
    places = max(0, now.placeable)
    if free_gpus < now.gpus_per_instance and (unplaced_at is None or at - unplaced_at >= _RETRY):
        places += live(other) * other.gpus_per_instance // now.gpus_per_instance
    return max(now.count, live(now) + places)


def lacking(now: TierNow, wanted: int, free_gpus: float) -> bool:
    """Says that only places are missing for what is wanted, not GPUs of the budget."""
    return now.placeable == 0 and wanted > live(now) and free_gpus >= now.gpus_per_instance
