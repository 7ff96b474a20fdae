"""Which changes of a count a plan makes, as the records that people read (architecture.md, principle 9).

A decision is a change of a tier's planned count; a plan that changes none makes none. In mode Advisory the count in
force is the one that was advised last, so that the same advice is not given every minute.
"""

from collections.abc import Sequence

from heterofleet.api.labels import Tier
from heterofleet.api.planned import MOST_DECISIONS, Decision
from heterofleet.planning.situation import CLASS_OF, ScalePlan, Situation


def made(situation: Situation, plan: ScalePlan, *, enforced: bool) -> list[Decision]:
    """A decision for each tier whose count the plan makes another than the one in force."""
    return [
        _decision(situation, plan, tier, enforced=enforced)
        for tier in Tier
        if plan.tiers[tier].count != situation.tiers[tier].count and not situation.tiers[tier].held
    ]


def kept(new: Sequence[Decision], known: Sequence[Decision]) -> list[Decision]:
    """The newest decisions of a fleet, the newest first."""
    return [*new, *known][:MOST_DECISIONS]


def _decision(situation: Situation, plan: ScalePlan, tier: Tier, *, enforced: bool) -> Decision:
    planned, now = plan.tiers[tier], situation.tiers[tier]
    load = situation.loads[CLASS_OF[tier]]
    moved = planned.count - now.count
    price = now.usd_per_gpu_hour
    return Decision(
        at=situation.now,
        tier=tier,
        before=now.count,
        after=planned.count,
        bound=planned.bound,
        message=planned.sentence,
        forecast_tokens_per_second=None if load.forecast is None else round(load.forecast.upper, 1),
        waiting_tokens=round(load.waiting),
        capacity_tokens_per_second=round(now.capacity, 1),
        ready=now.ready,
        usd_per_hour="" if price is None else f"{moved * now.gpus_per_instance * price:+.2f}",
        enforced=enforced,
    )
