"""What the fleet's status says, from facts: pure.

The last step of a reconcile: tiers, router and findings go in, the whole status comes out. A condition keeps the
time of its last change, so that an unchanged fleet gives an unchanged status and nothing is written.
"""

from datetime import datetime

from heterofleet.api.conditions import ConditionType, CostStatus, FleetStatus, Reason, TierStatus
from heterofleet.api.labels import Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.planning import telling
from heterofleet.planning.telling import Told
from heterofleet.status import conditions, ofplan
from heterofleet.status.claims import LONGEST_MESSAGE, claim, dated
from heterofleet.status.facts import Facts, Finding, RouterFacts, TierFacts
from heterofleet.status.ofplan import NO_METRICS

__all__ = [
    "LONGEST_MESSAGE",
    "NO_METRICS",
    "Facts",
    "Finding",
    "RouterFacts",
    "TierFacts",
    "compute",
    "refusal",
    "stall",
    "usd_per_hour",
]


def refusal(fleet_generation: int, previous: FleetStatus, finding: Finding, now: datetime) -> FleetStatus:
    """The status of a resource that cannot be read: all that was known stays, Accepted and Ready say why."""
    claims = (
        claim(ConditionType.ACCEPTED, False, finding),
        claim(ConditionType.READY, False, Finding(Reason.NOT_ACCEPTED, finding.message)),
        claim(ConditionType.STALLED, True, finding),
    )
    named = {claim.type for claim in claims}
    kept = [condition for condition in previous.conditions if condition.type not in named]
    said = dated([*claims, *kept], previous, fleet_generation, now)
    return previous.model_copy(update={"observed_generation": fleet_generation, "conditions": said})


def stall(previous: FleetStatus, finding: Finding, now: datetime) -> FleetStatus:
    """The status as it was, but for Stalled, which says what keeps it from being brought up to date."""
    stalled = claim(ConditionType.STALLED, True, finding)
    kept = [condition for condition in previous.conditions if condition.type is not ConditionType.STALLED]
    said = [*kept, *dated([stalled], previous, previous.observed_generation, now)]
    return previous.model_copy(update={"conditions": said})


def compute(fleet: HeterogeneousDeployment, facts: Facts, now: datetime) -> FleetStatus:
    """The whole status of a fleet."""
    previous = fleet.status
    large, small = facts.tiers[Tier.LARGE], facts.tiers[Tier.SMALL]
    told = _told(previous, facts.told)
    return FleetStatus(
        observed_generation=fleet.metadata.generation,
        conditions=dated(
            [*conditions.of_fleet(facts), *ofplan.of_load_and_money(facts, previous)],
            previous,
            fleet.metadata.generation,
            now,
        ),
        large=_tier_status(large, told, Tier.LARGE),
        small=_tier_status(small, told, Tier.SMALL),
        ratio=_ratio(large, small),
        endpoint=facts.endpoint,
        cost=CostStatus(usd_per_hour=usd_per_hour(fleet, facts), savings_ratio=told.savings_ratio),
        forecast=told.forecast,
        plan=told.plan,
        decisions=list(told.decisions),
        learned=told.learned,
        last_drain=facts.last_drain,
    )


def _told(previous: FleetStatus, fresh: Told) -> Told:
    """What is told of the plan: what was told before, where that is near enough or nothing newer is known."""
    tiers = {tier: previous.tier(tier) for tier in Tier}
    known = Told(
        forecast=previous.forecast,
        plan=previous.plan,
        learned=previous.learned,
        startup_seconds={tier: held.startup_seconds for tier, held in tiers.items()},
        capacity={tier: held.capacity_tokens_per_second for tier, held in tiers.items()},
        decisions=tuple(previous.decisions),
        savings_ratio=previous.cost.savings_ratio,
    )
    return known if fresh.plan is None else telling.settled(known, fresh)


def usd_per_hour(fleet: HeterogeneousDeployment, facts: Facts) -> str:
    """Fleet money: GPUs held x usdPerGpuHour, empty when a tier has no price (contracts.md, "Money")."""
    total = 0.0
    for tier, held in facts.tiers.items():
        price = fleet.spec.tier(tier).usd_per_gpu_hour
        if price is None:
            return ""
        total += held.gpus * price
    return f"{total:.2f}"


def _tier_status(facts: TierFacts, told: Told, tier: Tier) -> TierStatus:
    return TierStatus(
        summary=f"{facts.ready}/{facts.target.total}",
        desired=facts.target.total,
        ready=facts.ready,
        draining=facts.draining,
        gpus=facts.gpus,
        expert_parallel_size=facts.expert_parallel_size,
        revision=facts.revision,
        instances=list(facts.instances),
        override=facts.override,
        startup_seconds=told.startup_seconds.get(tier),
        capacity_tokens_per_second=told.capacity.get(tier),
    )


def _ratio(large: TierFacts, small: TierFacts) -> str:
    """Small instances a large one, by count; empty while there is no large one."""
    return f"{small.ready / large.ready:.3g}" if large.ready else ""
