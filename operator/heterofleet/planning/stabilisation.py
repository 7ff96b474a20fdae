"""How fast a count may follow its need, which the need itself does not say: up at once, down with care.

    peak hold    a count is lowered to the highest need of the last `stabilizationSeconds`
    hysteresis   and only where the load leaves a tenth of an instance to spare
    cooldown     and not within `cooldownSeconds` of its last fall
    step         a decision changes it by at most `maxStep`, up or down

What was needed when is `situation.Memory`, which goes through status: a tier of which nothing is remembered begins with
its count in force as a need, so that a restarted operator takes nothing away at once; a count that somebody else holds
is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from heterofleet.api.labels import Tier
from heterofleet.api.planned import Bound
from heterofleet.api.scaling import Scaling
from heterofleet.planning.situation import Memory

Needs = tuple[tuple[datetime, int], ...]

_SPARE: Final = 0.1
"""Share of an instance that a lower count must leave idle, so that a load on an edge moves nothing."""

_ROUNDING: Final = 1e-9
"""Below this share of an instance a need is an error of arithmetic."""

_MOST_NEEDS: Final = 32
"""Needs remembered for a tier; what is more is merged, which holds a count up longer and never shorter."""

_MISSED: Final = 3
"""Plans that may fail to be made before the memory counts as lost."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A count, and what kept it from its need; `bound` None where nothing did."""

    count: int
    bound: Bound | None = None
    sentence: str = ""


def instances(load: float) -> int:
    """Whole instances that carry `load`, which is given in instances."""
    return ceil(load - _ROUNDING) if load > _ROUNDING else 0


def remember(memory: Memory, tier: Tier, need: int, count: int, scaling: Scaling, now: datetime) -> Needs:
    """The needs that hold the count, the present one with them: falling in size and rising in time."""
    window = timedelta(seconds=scaling.stabilization_seconds)
    lost_after = max(window, timedelta(seconds=_MISSED * scaling.interval_seconds))
    known = [(min(when, now), size) for when, size in memory.needs.get(tier, ())]
    if not known or now - known[-1][0] > lost_after:
        known = [(now, count)]
    holding = [(when, size) for when, size in known if now - when < window and size > need]
    return _merged((*holding, (now, need)))


def peak(needs: Needs, scaling: Scaling, at: datetime) -> int:
    """The count that the needs will still hold up `at` a moment, if no greater one comes until then."""
    window = timedelta(seconds=scaling.stabilization_seconds)
    return max(size for when, size in needs if at - when < window or (when, size) == needs[-1])


def step(
    tier: Tier, *, load: float, extra: int, count: int, needs: Needs, memory: Memory, scaling: Scaling, now: datetime
) -> Moved:
    """How far the count may go from `count` towards its need.

    `load` is in instances, and `extra` instances are needed beside it for those that have failed.
    """
    need = needs[-1][1]
    most = scaling.tier(tier).max_step
    if need >= count:
        if most is not None and need > count + most:
            return Moved(count + most, Bound.MAX_STEP, f"maxStep lets it rise by {most} at a time")
        return Moved(need)
    lowered = memory.lowered_at.get(tier)
    if lowered is not None and timedelta(0) < now - lowered < timedelta(seconds=scaling.cooldown_seconds):
        left = scaling.cooldown_seconds - (now - lowered).total_seconds()
        return Moved(count, Bound.COOLDOWN, f"it was lowered lately, and may be again in {left:.0f} s")
    moved = Moved(need)
    spared = min(count, instances(load + _SPARE) + extra) if load > _ROUNDING else need
    if spared > moved.count:
        moved = Moved(spared, Bound.HYSTERESIS, f"{spared - 1} would have less than a tenth of an instance to spare")
    held = min(count, peak(needs, scaling, now))
    if held > moved.count:
        moved = Moved(
            held, Bound.STABILIZATION, f"{held} were needed within the last {scaling.stabilization_seconds} s"
        )
    if most is not None and moved.count < count - most:
        moved = Moved(count - most, Bound.MAX_STEP, f"maxStep lets it fall by {most} at a time")
    return moved


def after(now: datetime, seconds: float) -> datetime:
    """The moment that many seconds from now, a day at most: nothing is remembered longer."""
    return now + timedelta(seconds=min(seconds, 86_400.0))


def _merged(needs: Sequence[tuple[datetime, int]]) -> Needs:
    """At most `_MOST_NEEDS`: the oldest two become one, as large as the larger and lasting as long as the later."""
    kept = list(needs)
    while len(kept) > _MOST_NEEDS:
        (_, size), (when, _), *rest = kept
        kept = [(when, size), *rest]
    return tuple(kept)
