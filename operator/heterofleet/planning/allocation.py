"""Which counts both tiers get together: ratio, places, the GPU budget and the money budget (scaling.md, "Plan").

While everything fits, each tier gets what it wants. Where a budget binds:

    1. both minima, warm instances included
    2. by scaling.priority, the instances that expected work fills at least by half, and one for a class with any work
    3. the margins, one instance at a time, to the tier where a GPU buys the most work within objective:
       capacity / GPUs x P(work > what the middle of that instance carries)

so a large group is traded for its GPUs' worth of small instances where it would be mostly idle, and traded back. An
instance in force is given up later than a new one is taken (`_KEEPS`), so that a forecast on an edge moves no GPUs.

Counts go over to the new split without ever passing the GPU budget: what is taken from one tier is the other's only
once it is released (`released`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, erfc, floor, inf, sqrt
from typing import Final

from heterofleet.api.labels import Tier
from heterofleet.api.planned import Bound
from heterofleet.api.scaling import ClassPriority, Ratio
from heterofleet.planning.situation import TierCount

_HALF: Final = 0.5
_KEEPS: Final = 0.75
"""An instance in force counts as filled by half from a quarter on."""

_LOYALTY: Final = 1.5
"""So much more must a GPU buy elsewhere before a margin in force is given up."""

_QUANTILE_SPREADS: Final = 1.96
"""Standard deviations from the middle to the forecast's upper end, at its default quantile of 0.975."""

_EPSILON: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Claim:
    """What one tier wants, and what its instances take and give.

    `least` is its minimum, `count` what is in force. `held` GPUs' instances exist (`live`) or go (`draining`). Work is
    in instances: `expected` ones would be full of the expected work, and `spread` is its standard deviation.
    """

    wanted: int
    least: int
    most: int
    count: int
    warm: int
    live: int
    draining: int
    gpus: int
    usd: float
    expected: float
    spread: float
    worth: float

    def total(self, count: int) -> int:
        """Instances that run for a planned count, the warm ones included (contracts.md, "Who sets the counts")."""
        return min(count + self.warm, max(self.most, count))


@dataclass(frozen=True, slots=True)
class Limits:
    """What both tiers may take together: GPUs, and USD an hour."""

    gpus: float = inf
    usd: float = inf


Counts = Mapping[Tier, int]
Claims = Mapping[Tier, Claim]


def ordered(priority: ClassPriority) -> tuple[Tier, Tier]:
    """The tiers, the one first whose class comes first."""
    return (Tier.LARGE, Tier.SMALL) if priority is ClassPriority.PLAN_FIRST else (Tier.SMALL, Tier.LARGE)


def spread(expected: float, upper: float) -> float:
    """Standard deviation of work whose upper forecast is this."""
    return max(0.0, upper - expected) / _QUANTILE_SPREADS


def fits(claims: Claims, counts: Counts, limits: Limits) -> bool:
    """Says that both counts together are within both limits."""
    gpus = sum(claim.gpus * claim.total(counts[tier]) for tier, claim in claims.items())
    usd = sum(claim.usd * claim.total(counts[tier]) for tier, claim in claims.items())
    return gpus <= limits.gpus + _EPSILON and usd <= limits.usd + _EPSILON


def split(claims: Claims, limits: Limits, priority: ClassPriority, ratio: Ratio) -> Counts:
    """The counts that the limits allow, none above what was wanted."""
    wanted = {tier: claim.wanted for tier, claim in claims.items()}
    if fits(claims, wanted, limits):
        return wanted
    if not fits(claims, {tier: _least(claim) for tier, claim in claims.items()}, limits):
        # Planned instances come before warm ones.
        claims = {tier: replace(claim, warm=0) for tier, claim in claims.items()}
    counts = dict.fromkeys(claims, 0)
    order = ordered(priority)
    for goal in (_least, _any, _core):
        for tier in order:
            counts[tier] = _raised(claims, counts, tier, goal(claims[tier]), limits)
    _add_margins(claims, counts, order, limits)
    return _in_ratio(claims, counts, ratio, limits)


def released(claims: Claims, counts: Counts, limits: Limits, priority: ClassPriority) -> Counts:
    """The counts of which nothing more is made than there are GPUs that nobody holds or is about to release.

    GPUs of what drains count until it is gone, and so do those of instances that are too many, until they are.
    """
    if limits.gpus == inf:
        return counts
    free = limits.gpus - sum((claim.live + claim.draining) * claim.gpus for claim in claims.values())
    allowed = dict(counts)
    for tier in ordered(priority):
        claim = claims[tier]
        more = claim.total(counts[tier]) - claim.live
        if more <= 0:
            continue
        made = min(more, max(0, floor(free / claim.gpus + _EPSILON)))
        free -= made * claim.gpus
        # Warm instances are given up before planned ones.
        allowed[tier] = min(counts[tier], claim.live + made)
    return allowed


def by_ratio(counts: Counts, ratio: Ratio, most_small: int) -> int:
    """The small count that the ratio allows beside the large one; the tier's own maximum stands."""
    large, small = counts[Tier.LARGE], counts[Tier.SMALL]
    if large == 0:
        return small
    least = min(ceil(ratio.min * large - _EPSILON), most_small)
    most = small if ratio.max is None else floor(ratio.max * large + _EPSILON)
    return max(least, min(small, most))


def named(tier_count: TierCount, count: int, bound: Bound, why: str) -> TierCount:
    """The same tier with another count, which `bound` decided."""
    return replace(tier_count, count=count, bound=bound, sentence=f"{tier_count.sentence}; {why}")


def _least(claim: Claim) -> int:
    return min(claim.least, claim.wanted)


def _any(claim: Claim) -> int:
    return min(1, claim.wanted)


def _core(claim: Claim) -> int:
    """Instances that the expected work fills at least by half, seen from the count in force."""
    filled = floor(claim.expected + _HALF)
    return min(claim.wanted, max(filled, min(claim.count, floor(claim.expected + _KEEPS))))


def _raised(claims: Claims, counts: Counts, tier: Tier, goal: int, limits: Limits) -> int:
    """The count nearest to the goal, from the present one up, that the limits allow."""
    low, high = counts[tier], max(counts[tier], goal)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(claims, {**counts, tier: middle}, limits):
            low = middle
        else:
            high = middle - 1
    return low


def _add_margins(claims: Claims, counts: dict[Tier, int], order: tuple[Tier, Tier], limits: Limits) -> None:
    """Give out what is left, an instance at a time, where a GPU buys the most."""
    open_tiers = list(order)
    while open_tiers:
        best = max(open_tiers, key=lambda tier: _gain(claims[tier], counts[tier]))
        more = {**counts, best: counts[best] + 1}
        if counts[best] < claims[best].wanted and fits(claims, more, limits):
            counts[best] += 1
        else:
            open_tiers.remove(best)


def _gain(claim: Claim, count: int) -> float:
    """Work within objective that a GPU of the next instance is expected to carry."""
    beyond = count + _HALF - claim.expected
    share = float(beyond < 0) if claim.spread <= 0 else erfc(beyond / claim.spread / sqrt(2)) / 2
    return claim.worth / claim.gpus * share * (_LOYALTY if count < claim.count else 1.0)


def _in_ratio(claims: Claims, counts: dict[Tier, int], ratio: Ratio, limits: Limits) -> Counts:
    """Counts that a budget has cut brought back into the ratio: by fewer large ones, since nothing more is there."""
    small = claims[Tier.SMALL]
    least_large = min(claims[Tier.LARGE].least, counts[Tier.LARGE])
    while counts[Tier.LARGE] > least_large and counts[Tier.SMALL] < by_ratio(counts, ratio, small.wanted):
        counts[Tier.LARGE] -= 1
        counts[Tier.SMALL] = _raised(claims, counts, Tier.SMALL, small.wanted, limits)
    allowed = by_ratio(counts, ratio, counts[Tier.SMALL])
    return {**counts, Tier.SMALL: max(min(small.least, counts[Tier.SMALL]), allowed)}
