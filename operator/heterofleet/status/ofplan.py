"""The conditions that the last plan decides: whether the load is known, money, and what holds the counts."""

from collections.abc import Iterator

from heterofleet.api.conditions import ConditionType, FleetStatus, Reason
from heterofleet.api.labels import Tier
from heterofleet.api.planned import Bound, PlanStatus
from heterofleet.planning import spending
from heterofleet.status.claims import Claim, claim
from heterofleet.status.facts import Facts, Finding

NO_METRICS = "the operator knows no Prometheus: counts stay at their minimum, and queues raise them"


def of_load_and_money(facts: Facts, previous: FleetStatus) -> Iterator[Claim]:
    """What the last plan found of load and money."""
    metrics = facts.metrics or _said(
        previous, ConditionType.METRICS_AVAILABLE, Reason.METRICS_NOT_CONFIGURED, NO_METRICS
    )
    money = facts.money or _said(previous, ConditionType.BUDGET_EXCEEDED, Reason.WITHIN_BUDGET, spending.NO_BUDGET)
    yield claim(ConditionType.METRICS_AVAILABLE, metrics.reason is Reason.METRICS_FRESH, metrics)
    yield claim(ConditionType.BUDGET_EXCEEDED, money.reason is not Reason.WITHIN_BUDGET, money)


def _said(previous: FleetStatus, type_: ConditionType, reason: Reason, sentence: str) -> Finding:
    known = previous.condition(type_)
    return Finding(reason, sentence) if known is None else Finding(known.reason, known.message)


_LIMITING = {
    Bound.MAXIMUM: Reason.ABOVE_MAX,
    Bound.GPU_BUDGET: Reason.GPU_BUDGET,
    Bound.MONEY_BUDGET: Reason.MONEY_BUDGET,
    Bound.RATIO: Reason.RATIO_BOUND,
    Bound.SCHEDULE: Reason.SCHEDULE_BOUND,
    Bound.NO_PLACE: Reason.NO_PLACE,
    Bound.OBJECTIVE: Reason.OBJECTIVE_OUT_OF_REACH,
}
"""Bounds of a plan that keep a tier below what its load asks for."""


def limited(facts: Facts) -> Claim:
    limits = [Finding(limit.reason, limit.message) for held in facts.tiers.values() for limit in held.target.limits]
    limits += _limits_of_plan(facts.told.plan)
    if not limits:
        return Claim(ConditionType.SCALING_LIMITED, False, Reason.WITHIN_BOUNDS, "no bound holds a count")
    sentence = "; ".join(limit.message for limit in limits)
    return Claim(ConditionType.SCALING_LIMITED, True, limits[0].reason, sentence)


def _limits_of_plan(plan: PlanStatus | None) -> Iterator[Finding]:
    for tier, planned in () if plan is None else ((Tier.LARGE, plan.large), (Tier.SMALL, plan.small)):
        reason = _LIMITING.get(planned.bound)
        if reason is not None and (planned.need > planned.instances or planned.bound is Bound.OBJECTIVE):
            yield Finding(reason, f"the {tier} tier: {planned.message}")
