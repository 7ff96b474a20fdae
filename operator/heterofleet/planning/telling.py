"""What a status tells of the plan, and when what it told before is near enough to stay.

A status is written for people and costs a write, a watch event and a diff in somebody's GitOps tool. So its numbers
have three digits, and the former ones stay until one has moved by more than a twentieth, a word changed, or a decision
was made (contracts.md, "Status and writes at rest").
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isclose
from typing import Any, Final

from pydantic import BaseModel

from heterofleet.api.labels import Tier
from heterofleet.api.planned import Decision, Forecasts, ForecastStatus, Learned, PlannedTier, PlanStatus
from heterofleet.api.routing import RequestClass
from heterofleet.planning import allinlarge
from heterofleet.planning.situation import Forecast, ScalePlan, Situation

TOLERANCE: Final = 0.05
_NO_NEWS: Final = frozenset({"message", "usd_per_hour", "candidate"})
"""Fields that follow the numbers: what says them in words, and which of several equal models was a hair nearer."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the status says of plan and load; empty before the first plan."""

    forecast: Forecasts = field(default_factory=Forecasts)
    plan: PlanStatus | None = None
    learned: Learned = field(default_factory=Learned)
    startup_seconds: Mapping[Tier, float | None] = field(default_factory=dict)
    capacity: Mapping[Tier, float | None] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()
    savings_ratio: str = ""


def told(situation: Situation, plan: ScalePlan, learned: Learned, decisions: tuple[Decision, ...]) -> Told:
    """A plan as the status tells it."""
    return Told(
        forecast=Forecasts(
            plan=_forecast(situation.loads[RequestClass.PLAN].forecast),
            act=_forecast(situation.loads[RequestClass.ACT].forecast),
        ),
        plan=PlanStatus(
            large=_tier(plan, Tier.LARGE),
            small=_tier(plan, Tier.SMALL),
            bias=round(plan.bias, 2),
            degrade=plan.degrade,
            usd_per_hour="" if plan.usd_per_hour is None else f"{plan.usd_per_hour:.2f}",
        ),
        learned=learned,
        startup_seconds={tier: float(round(now.startup_seconds)) for tier, now in situation.tiers.items()},
        capacity={tier: digits(now.capacity) for tier, now in situation.tiers.items()},
        decisions=decisions,
        savings_ratio=_share(allinlarge.saving(situation, plan)),
    )


def settled(known: Told, fresh: Told) -> Told:
    """`fresh`, or what is known where that is near enough."""
    if known.decisions != fresh.decisions or not _all_near(known, fresh):
        return fresh
    return known


def steady_bias(told: float, fresh: float) -> float:
    """The bias for routers: what was told, unless the fresh one is two steps of a twentieth away, or none at all.

    On the edge of a step the load's last digit would else be written to all routers each minute.
    """
    if told and round(fresh, 2) == 0:
        return 0.0
    return fresh if abs(fresh - told) >= 2 * TOLERANCE - 1e-9 else told


def digits(value: float) -> float:
    """Three significant digits."""
    return float(f"{value:.3g}")


def _all_near(known: Told, fresh: Told) -> bool:
    pairs = (
        (known.forecast, fresh.forecast),
        (known.plan, fresh.plan),
        (known.learned, fresh.learned),
        (dict(known.startup_seconds), dict(fresh.startup_seconds)),
        (dict(known.capacity), dict(fresh.capacity)),
    )
    return all(near(one, other) for one, other in pairs)


def near(known: Any, fresh: Any) -> bool:
    """Whether two values differ in no word and in no number by more than TOLERANCE; texts that say figures aside."""
    if isinstance(known, BaseModel) and isinstance(fresh, BaseModel):
        return type(known) is type(fresh) and all(
            near(getattr(known, name), getattr(fresh, name))
            for name in type(known).model_fields
            if name not in _NO_NEWS
        )
    if isinstance(known, Mapping) and isinstance(fresh, Mapping):
        return known.keys() == fresh.keys() and all(near(known[key], fresh[key]) for key in known)
    if isinstance(known, float) and isinstance(fresh, float | int):
        return isclose(known, fresh, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(known == fresh)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _forecast(made: Forecast | None) -> ForecastStatus | None:
    if made is None:
        return None
    return ForecastStatus(
        tokens_per_second=digits(made.upper),
        expected_tokens_per_second=digits(made.expected),
        window_seconds=float(round(made.window_seconds)),
        candidate=made.candidate,
        margin=round(made.margin, 2),
    )


def _tier(plan: ScalePlan, tier: Tier) -> PlannedTier:
    planned = plan.tiers[tier]
    return PlannedTier(instances=planned.count, need=planned.need, bound=planned.bound, message=planned.sentence)
