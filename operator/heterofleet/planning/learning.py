"""What a fleet learns from what happened: how long starts take, what instances carry, what escalates and spills over.

Each number is an estimate that begins at its prior and moves towards what was observed:

    value <- value x (sample / value) ^ gain     for what is a size: seconds, work
    value <- value + gain x (sample - value)     for what is a share
    gain = 1 / (2 + evidence), evidence <- min(evidence + 1, memory)

so that the first sample counts as much as the prior, later ones less, and old ones are forgotten. No sample is
believed beyond `_REACH` times the estimate either way, and no estimate leaves its bounds: a wild sample moves it a
little, and a hundred of them no further than the bounds. What is no number is not a sample.

The load alone does not tell a capacity. An instance's latency does: `pressure`, what was observed of the objective's
time, says how much more it would carry, or how much less it should (`after_minute`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Final, TypeGuard

from heterofleet.api import planned
from heterofleet.api.labels import Tier
from heterofleet.planning.capacity import PROMPT_WEIGHT

_REACH: Final = 3.0
"""A sample counts as at most so many times the estimate, and at least its like part."""

_RESUMED: Final = 4.0
"""Evidence of a number that stood in the status: more than a prior's, less than that of a long life."""

_TELLING: Final = 0.5
"""Share of its capacity from which on an instance's latency tells of its capacity, and not of its idleness."""

_STARTS: Final = 8.0
_MINUTES: Final = 30.0
_FORECASTS: Final = 1000.0
"""Samples after which older ones are forgotten as fast as new ones come."""

_RARE: Final = 50.0
"""Samples that count as seen, and as good, of what is to be rare: one bad minute among the first is no rule yet."""

_SHARE_STEP: Final = 0.01
_SHARE_CUT: Final = 0.8


@dataclass(frozen=True, slots=True)
class Estimate:
    """One number, and how many samples stand behind it."""

    value: float
    evidence: float = 0.0


@dataclass(frozen=True, slots=True)
class Bounds:
    least: float
    most: float

    def hold(self, value: float) -> float:
        return max(self.least, min(value, self.most))


_STARTUP_BOUNDS: Final = Bounds(1.0, 86_400.0)
_CAPACITY_BOUNDS: Final = Bounds(0.1, 10.0)
"""Times the prior: what lies beyond is not another capacity, but another engine."""
_WEIGHT_BOUNDS: Final = Bounds(0.005, 1.0)
_SHARE_BOUNDS: Final = Bounds(0.0, 1.0)
_SAFE_BOUNDS: Final = Bounds(0.05, 0.5)
"""A little is always tried, since what is never tried is never measured; half of the act work always has a home."""


@dataclass(frozen=True, slots=True)
class Learned:
    """All that a fleet has learned. `capacity_prior` is what the capacities began with.

    `spill_over_share` is the share of act work that idle large instances may be planned with, as much as was safe.
    """

    startup_seconds: Mapping[Tier, Estimate]
    capacity: Mapping[Tier, Estimate]
    capacity_prior: Mapping[Tier, float]
    prompt_weight: Estimate = Estimate(PROMPT_WEIGHT)
    escalation_rate: Estimate = Estimate(0.0)
    spill_over_rate: Estimate = Estimate(0.0)
    spill_over_share: Estimate = Estimate(0.25)
    forecast_error: Estimate = Estimate(0.0)


@dataclass(frozen=True, slots=True)
class Minute:
    """What was observed of a fleet lately; None where nothing was.

    `served` is work tokens a second of a ready instance, and `pressure` the latency at the promised share of requests
    over the objective's: 1 is just within, 2 takes twice as long. `escalated` and `spilled` are shares of act work, and
    `covered` says whether the load stayed below what was forecast for this moment.
    """

    served: Mapping[Tier, float | None]
    pressure: Mapping[Tier, float | None]
    prompt_weight: float | None = None
    escalated: float | None = None
    spilled: float | None = None
    covered: bool | None = None


def prior(startup_seconds: Mapping[Tier, float], capacity: Mapping[Tier, float]) -> Learned:
    """What is believed before anything was observed; both from the catalogue (`startup`, `capacity`)."""
    return Learned(
        startup_seconds={tier: Estimate(_STARTUP_BOUNDS.hold(value)) for tier, value in startup_seconds.items()},
        capacity={tier: Estimate(value) for tier, value in capacity.items()},
        capacity_prior=dict(capacity),
    )


def resumed(
    begin: Learned,
    told: planned.Learned,
    startup_seconds: Mapping[Tier, float | None],
    capacity: Mapping[Tier, float | None],
) -> Learned:
    """What the status of a fleet says that it had learned, in place of the priors of `begin`."""
    return replace(
        begin,
        startup_seconds={
            tier: _resumed(estimate, startup_seconds.get(tier), _STARTUP_BOUNDS)
            for tier, estimate in begin.startup_seconds.items()
        },
        capacity={
            tier: _resumed(estimate, capacity.get(tier), _around(begin.capacity_prior[tier]))
            for tier, estimate in begin.capacity.items()
        },
        prompt_weight=_resumed(begin.prompt_weight, told.prompt_weight, _WEIGHT_BOUNDS),
        escalation_rate=_resumed(begin.escalation_rate, told.escalation_rate, _SHARE_BOUNDS),
        spill_over_rate=_resumed(begin.spill_over_rate, told.spill_over_rate, _SHARE_BOUNDS),
        forecast_error=_resumed(begin.forecast_error, told.forecast_error, _SHARE_BOUNDS),
    )


def told(learned: Learned) -> planned.Learned:
    """What the status says of it, rounded; what was never observed is left out."""
    return planned.Learned(
        prompt_weight=_told(learned.prompt_weight),
        escalation_rate=_told(learned.escalation_rate),
        spill_over_rate=_told(learned.spill_over_rate),
        forecast_error=_told(learned.forecast_error),
    )


def after_start(learned: Learned, tier: Tier, seconds: float) -> Learned:
    """An instance has started, in so many seconds from its creation to its readiness."""
    moved = _scaled(learned.startup_seconds[tier], seconds, _STARTUP_BOUNDS, _STARTS)
    return replace(learned, startup_seconds={**learned.startup_seconds, tier: moved})


def after_minute(learned: Learned, minute: Minute) -> Learned:
    """A minute was observed."""
    return replace(
        learned,
        capacity={tier: _capacity(learned, minute, tier) for tier in learned.capacity},
        prompt_weight=_scaled(learned.prompt_weight, minute.prompt_weight, _WEIGHT_BOUNDS, _MINUTES),
        escalation_rate=_shifted(learned.escalation_rate, minute.escalated, _MINUTES),
        spill_over_rate=_shifted(learned.spill_over_rate, minute.spilled, _MINUTES),
        spill_over_share=_safe(learned.spill_over_share, minute.spilled, minute.pressure.get(Tier.LARGE)),
        forecast_error=_shifted(
            learned.forecast_error, None if minute.covered is None else float(not minute.covered), _FORECASTS, _RARE
        ),
    )


def _capacity(learned: Learned, minute: Minute, tier: Tier) -> Estimate:
    """What the latency of this minute says of the capacity.

    Within the objective there is room, of which half is believed: latency rises faster the fuller an engine is. Beyond
    it the instance had too much, in proportion; unless it had little, when something else was slow (a start, a node).
    """
    known = learned.capacity[tier]
    served, pressure = minute.served.get(tier), minute.pressure.get(tier)
    if not _usable(served) or not _usable(pressure) or served < _TELLING * known.value:
        return known
    sample = served * (1 + (1 - pressure) / 2) if pressure <= 1 else served / pressure
    if pressure > 1 and sample > known.value:
        # More than its capacity was too much, which is no news.
        return known
    return _scaled(known, sample, _around(learned.capacity_prior[tier]), _MINUTES)


def _safe(share: Estimate, spilled: float | None, pressure: float | None) -> Estimate:
    """More of the act work is planned on idle large instances while that is used and harms nobody, else less."""
    if not _usable(pressure) or spilled is None or not isfinite(spilled):
        return share
    if pressure > 1 and spilled > _SAFE_BOUNDS.least / 2:
        return Estimate(_SAFE_BOUNDS.hold(share.value * _SHARE_CUT), share.evidence + 1)
    if pressure <= 1 and spilled >= share.value / 2:
        return Estimate(_SAFE_BOUNDS.hold(share.value + _SHARE_STEP), share.evidence + 1)
    return share


def _usable(value: float | None) -> TypeGuard[float]:
    """Says that it can be a sample: a finite number that is not negative."""
    return value is not None and isfinite(value) and value >= 0


def _scaled(known: Estimate, sample: float | None, bounds: Bounds, memory: float) -> Estimate:
    if not _usable(sample) or sample == 0:
        return known
    gain = 1 / (2 + known.evidence)
    ratio = max(1 / _REACH, min(sample / known.value, _REACH)) if known.value > 0 else 1.0
    return Estimate(bounds.hold(known.value * ratio**gain), min(known.evidence + 1, memory))


def _shifted(known: Estimate, sample: float | None, memory: float, seen: float = 0.0) -> Estimate:
    """`seen` is evidence that is there from the first."""
    if not _usable(sample):
        return known
    gain = 1 / (2 + seen + known.evidence)
    value = known.value + gain * (_SHARE_BOUNDS.hold(sample) - known.value)
    return Estimate(_SHARE_BOUNDS.hold(value), min(known.evidence + 1, memory))


def _resumed(begin: Estimate, value: float | None, bounds: Bounds) -> Estimate:
    return Estimate(bounds.hold(value), _RESUMED) if _usable(value) else begin


def _told(estimate: Estimate) -> float | None:
    return float(f"{estimate.value:.3g}") if estimate.evidence else None


def _around(value: float) -> Bounds:
    return Bounds(_CAPACITY_BOUNDS.least * value, _CAPACITY_BOUNDS.most * value)
