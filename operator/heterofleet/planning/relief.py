"""What routers are told while the counts are not what the load asks for: the bias and the level of degradation.

The bias moves what its own tier cannot carry now to the other, as far as that is idle: act work up where the fleet
plans with spill-over, plan work down where `whenPlanOverflows` is Degrade (else it waits or is refused, as that says).
It comes in steps of a twentieth, since each change is written for all routers.

The level is about money alone, with one exception: a fleet whose plan work may degrade and that has no large instance
at all prefers small ones. Lack of capacity never refuses everybody's requests, which is what Throttle does.
"""

from math import floor
from typing import Final

from heterofleet.api.labels import Tier
from heterofleet.api.places import PlanOverflow
from heterofleet.api.routing import Degrade
from heterofleet.api.scaling import Budget, WhenHard, WhenSoft
from heterofleet.planning.demand import Demand, known
from heterofleet.planning.situation import Situation

_STEPS: Final = 20


def bias(situation: Situation, plan: Demand, act: Demand) -> float:
    """Share of act requests to send up (above 0), or of plan requests to send down (below 0)."""
    if not (plan.known and act.known):
        return 0.0
    large, small = _carried(situation, Tier.LARGE), _carried(situation, Tier.SMALL)
    idle = min(large - plan.expected, act.expected * (known(situation.spill_over_share) or 0.0))
    if situation.spec.scaling.spill_over and idle > 0 and act.expected > small:
        return _rounded(min(act.expected - small, idle) / act.expected)
    if _degrades(situation) and plan.expected > large and small > act.expected:
        return -_rounded(min(plan.expected - large, small - act.expected) / plan.expected)
    return 0.0


def level(situation: Situation, plan: Demand) -> Degrade:
    """How much service is given up."""
    by_money = _by_money(situation.spec.budget, known(situation.spent_usd))
    if by_money is not Degrade.NONE:
        return by_money
    nobody = situation.tiers[Tier.LARGE].ready == 0 and situation.tiers[Tier.SMALL].ready > 0
    return Degrade.PREFER_SMALL if nobody and plan.work > 0 and _degrades(situation) else Degrade.NONE


def _by_money(budget: Budget, spent: float | None) -> Degrade:
    if budget.usd_per_day is None or spent is None:
        return Degrade.NONE
    if spent >= budget.usd_per_day and budget.when_hard is WhenHard.THROTTLE:
        return Degrade.THROTTLE
    if spent >= budget.usd_per_day * budget.soft_fraction and budget.when_soft is WhenSoft.PREFER_SMALL:
        return Degrade.PREFER_SMALL
    return Degrade.NONE


def _carried(situation: Situation, tier: Tier) -> float:
    now = situation.tiers[tier]
    return now.ready * (known(now.capacity) or 0.0)


def _degrades(situation: Situation) -> bool:
    return situation.spec.router.queue.when_plan_overflows is PlanOverflow.DEGRADE


def _rounded(share: float) -> float:
    return floor(min(1.0, share) * _STEPS + 1e-9) / _STEPS
