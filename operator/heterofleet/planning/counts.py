"""How many instances each tier shall have: who says so, and which bound holds it (contracts.md, "Who sets the counts").

`planned` is the count of the plan (`plan.plan`); until there is one it is `instances.min`. Under writer Planner a count
that somebody else wrote is an override: kept for `overrideSeconds` or until it is released, then taken back. Under
External the object's count is the count. What comes out is clamped to min, max and the GPU budget; the field of the
object is not rewritten.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from heterofleet.api.conditions import Override, Reason
from heterofleet.api.labels import Tier
from heterofleet.api.scaling import Writer
from heterofleet.api.tier import Instances, TierSpec
from heterofleet.api.v1alpha1 import FleetSpec


@dataclass(frozen=True, slots=True)
class TierObject:
    """The HeterogeneousTier as observed. `foreign` names the manager that wrote its count last, "" if it was us."""

    instances: int
    foreign: str = ""
    released: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """The count that is asked for, before bounds, and what to write into the tier's object (None: not our field)."""

    instances: int
    write: int | None
    override: Override | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound that held a count."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Target:
    """The instances a tier shall have: `base` as planned or set by hand, `total` with the warm ones."""

    base: int
    total: int
    limits: tuple[Limit, ...] = ()


def asked(
    *,
    planned: int,
    writer: Writer,
    found: TierObject | None,
    running: int | None,
    previous: Override | None,
    override_seconds: int,
    now: datetime,
) -> Asked:
    """Who says how many. `running`: instances that exist, None for a fleet that has none yet."""
    if writer is Writer.EXTERNAL:
        return _external(planned, found, running)
    if found is None:
        kept = previous if previous and now < previous.until else None
        return Asked(kept.instances if kept else planned, kept.instances if kept else planned, kept)
    if not found.foreign or found.released:
        return Asked(planned, planned)
    if previous and previous.instances == found.instances and previous.by == found.foreign:
        if now >= previous.until:
            return Asked(planned, planned)
        return Asked(found.instances, None, previous)
    if found.instances == planned:
        return Asked(planned, planned)
    until = now + timedelta(seconds=override_seconds)
    return Asked(found.instances, None, Override(instances=found.instances, by=found.foreign, until=until))


def _external(planned: int, found: TierObject | None, running: int | None) -> Asked:
    if found is None:
        # A deleted object comes back with the count that runs, so that nothing is lost by its deletion.
        count = planned if running is None else running
        return Asked(count, count)
    return Asked(found.instances, None if found.foreign else found.instances)


def bounded(base: int, instances: Instances) -> Target:
    """`base` clamped to min and max, the warm instances added within max."""
    limits: list[Limit] = []
    if base > instances.most:
        limits.append(
            Limit(
                Reason.ABOVE_MAX,
                f"{base} instances were asked for, instances.max is {instances.most}: raise max for more",
            )
        )
    elif base < instances.min:
        limits.append(
            Limit(
                Reason.BELOW_MIN,
                f"{base} instances were asked for, instances.min is {instances.min}: lower min for fewer",
            )
        )
    clamped = max(instances.min, min(base, instances.most))
    return Target(clamped, min(clamped + instances.warm, max(instances.most, clamped)), tuple(limits))


def within_budget(spec: FleetSpec, large: Target, small: Target) -> tuple[Target, Target]:
    """Both targets under `scaling.gpuBudget`: the large tier first, since plans come before acts."""
    budget = spec.scaling.gpu_budget
    if budget is None:
        return large, small
    large = _afford(Tier.LARGE, spec.large, large, budget, budget)
    left = budget - large.total * spec.large.parallelism.world
    return large, _afford(Tier.SMALL, spec.small, small, left, budget)


def _afford(tier: Tier, spec: TierSpec, target: Target, gpus_left: int, budget: int) -> Target:
    world = spec.parallelism.world
    affordable = max(0, gpus_left) // world
    if target.total <= affordable:
        return target
    limit = Limit(
        Reason.GPU_BUDGET,
        f"the {tier} tier would have {target.total} instances of {world} GPUs, scaling.gpuBudget {budget} leaves GPUs"
        f" for {affordable}: raise gpuBudget to {budget - gpus_left + target.total * world} for all of them",
    )
    return Target(min(target.base, affordable), affordable, (*target.limits, limit))
