"""What the same work would cost on large instances alone: the figure that a mixed fleet is held against.

    all large = instances that carry the forecast of both classes x GPUs of one x USD a GPU hour
    saving    = 1 - USD an hour of the plan / USD an hour all large

Escalations are left out on the other side: a fleet of large models does each step once.
"""

from math import ceil

from heterofleet.api.labels import Tier
from heterofleet.planning import economics
from heterofleet.planning.situation import ScalePlan, Situation


def saving(situation: Situation, plan: ScalePlan) -> float | None:
    """Share of the money that the plan saves, below 0 where it costs more; None where load or prices are not known."""
    usd, large = _usd_per_hour(situation), situation.tiers[Tier.LARGE]
    if usd is None or plan.usd_per_hour is None or large.capacity <= 0:
        return None
    return economics.savings_ratio(plan.usd_per_hour, usd)


def _usd_per_hour(situation: Situation) -> float | None:
    large = situation.tiers[Tier.LARGE]
    forecasts = [load.forecast for load in situation.loads.values()]
    known = [made.upper for made in forecasts if made is not None]
    if len(known) < len(forecasts) or large.usd_per_gpu_hour is None or large.capacity <= 0:
        return None
    bounds = situation.spec.large.instances
    instances = max(bounds.min, ceil(sum(known) / large.capacity))
    return economics.usd_per_hour((instances + bounds.warm) * large.gpus_per_instance, large.usd_per_gpu_hour)
