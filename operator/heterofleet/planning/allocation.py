"""Which counts both tiers get together: ratio, places, the GPU budget and the money budget (scaling.md, "Plan").

While everything fits, each tier gets what it wants. Where a budget binds:

    1. both minima, and as many small instances beside a large one as the ratio asks for
    2. by scaling.priority, an instance for each class with any work, then those that expected work fills by half
    3. of what is left, the margins that carry the most work within objective: the sum, over both tiers' instances, of
       capacity x P(work > what the middle of that instance carries)

by trying each large count with the most small instances that it leaves room for. So a large group is traded for its
GPUs' worth of small instances where it would be mostly idle, and traded back. An instance in force is given up later
than a new one is taken (`_KEEPS`, `_LOYALTY`), so that a forecast on an edge moves no GPUs.

Counts go over to the new split without ever passing the GPU budget: what is taken from one tier is the other's only
once it is released (`released`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, erfc, floor, inf, sqrt
from typing import Final

from heterofleet.api.labels import Tier
from heterofleet.api.scaling import ClassPriority, Ratio

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

    `least` and `most` are its bounds, `count` what is in force; `live` instances exist and `draining` ones go. Work is
    in instances: `expected` ones would be full of the expected work, and `spread` is its standard deviation. `worth`
    is the work that a full instance carries.
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
    if not fits(claims, {tier: min(claim.least, claim.wanted) for tier, claim in claims.items()}, limits):
        # Planned instances come before warm ones.
        claims = {tier: replace(claim, warm=0) for tier, claim in claims.items()}
    large, small = claims[Tier.LARGE], claims[Tier.SMALL]
    values = {tier: _values(claim) for tier, claim in claims.items()}
    order = ordered(priority)
    best: tuple[tuple[float, ...], int, int] = ((), 0, 0)
    for count in range(large.wanted + 1):
        beside = _most_beside(large, count, small, limits, ratio)
        if beside is None:
            break
        found = {Tier.LARGE: count, Tier.SMALL: beside}
        best = max(best, (_score(claims, values, order, found, ratio), count, beside))
    return {Tier.LARGE: best[1], Tier.SMALL: best[2]}


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


def _most_beside(large: Claim, count: int, small: Claim, limits: Limits, ratio: Ratio) -> int | None:
    """Most small instances, none above what is wanted, beside so many large ones; None where these are too many."""
    gpus = limits.gpus - large.gpus * large.total(count)
    usd = limits.usd - large.usd * large.total(count)
    if min(gpus, usd) < -_EPSILON:
        return None
    total = min(gpus / small.gpus, usd / small.usd if small.usd > 0 else inf, small.wanted + small.warm)
    most = min(small.wanted, max(0, floor(total + _EPSILON) - small.warm))
    if count == 0 or ratio.max is None:
        return most
    return min(most, max(small.least, floor(ratio.max * count + _EPSILON)))


def _score(
    claims: Claims, values: Mapping[Tier, Sequence[float]], order: Sequence[Tier], counts: Counts, ratio: Ratio
) -> tuple[float, ...]:
    """How good these counts are: what comes first in the tuple comes first."""
    large, small = counts[Tier.LARGE], counts[Tier.SMALL]
    return (
        *(min(counts[tier], claims[tier].least) for tier in order),
        large == 0 or small >= floor(ratio.min * large + _EPSILON),
        *(min(counts[tier], 1) for tier in order),
        *(min(counts[tier], _core(claims[tier])) for tier in order),
        sum(values[tier][counts[tier]] for tier in order),
    )


def _core(claim: Claim) -> int:
    """Instances that the expected work fills at least by half, seen from the count in force."""
    filled = floor(claim.expected + _HALF)
    return min(claim.wanted, max(filled, min(claim.count, floor(claim.expected + _KEEPS))))


def _values(claim: Claim) -> Sequence[float]:
    """By count, the work within objective that the instances beyond the core are expected to carry."""
    values, core = [0.0] * (claim.wanted + 1), _core(claim)
    for count in range(core, claim.wanted):
        values[count + 1] = values[count] + _gain(claim, count)
    return values


def _gain(claim: Claim, count: int) -> float:
    """Work within objective that the instance beside so many others is expected to carry."""
    beyond = count + _HALF - claim.expected
    share = float(beyond < 0) if claim.spread <= 0 else erfc(beyond / claim.spread / sqrt(2)) / 2
    return claim.worth * share * (_LOYALTY if count < claim.count else 1.0)
