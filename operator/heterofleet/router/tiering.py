"""Which tier a request goes to first: its class's own, unless something moves it (contracts.md, "Class, score, tier").

    tier = the pinned one, where the client named a tier's model
         | the tenant's budget or the fleet's is short   -> small
         | the plan's bias: > 0 moves that share of act requests up, < 0 that share of plan requests down
         | too few of the small tier's answers were good -> large, for act requests
         | the class's own: plan -> large, act -> small

The class is never moved: demand is counted by class, so that no knob moves its own input. Pure; `draw` in [0, 1) is the
caller's randomness.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from heterofleet.api.labels import Tier
from heterofleet.api.routing import Degrade, RequestClass


class Why(StrEnum):
    """What chose the tier; the value stands in the access log."""

    PINNED = "Pinned"
    CLASS = "Class"
    BIAS = "Bias"
    TENANT_BUDGET = "TenantBudget"
    FLEET_BUDGET = "FleetBudget"
    SMALL_TIER_FAILS = "SmallTierFails"


class Choice(NamedTuple):
    tier: Tier
    why: Why


OWN = {RequestClass.PLAN: Tier.LARGE, RequestClass.ACT: Tier.SMALL}
_OWN: Final = {request_class: Choice(tier, Why.CLASS) for request_class, tier in OWN.items()}


def choose(
    request_class: RequestClass,
    pinned: Tier | None,
    *,
    tenant_is_short: bool,
    degrade: Degrade,
    bias: float,
    draw: float,
    small_tier_fails: bool,
) -> Choice:
    """The tier to try first, and why."""
    if pinned is not None:
        return Choice(pinned, Why.PINNED)
    if tenant_is_short:
        return Choice(Tier.SMALL, Why.TENANT_BUDGET)
    if degrade is not Degrade.NONE:
        return Choice(Tier.SMALL, Why.FLEET_BUDGET)
    if request_class is RequestClass.ACT:
        if small_tier_fails:
            return Choice(Tier.LARGE, Why.SMALL_TIER_FAILS)
        if draw < bias:
            return Choice(Tier.LARGE, Why.BIAS)
    elif draw < -bias:
        return Choice(Tier.SMALL, Why.BIAS)
    return _OWN[request_class]
