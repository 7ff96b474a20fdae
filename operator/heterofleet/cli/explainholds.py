"""What still keeps a fleet's counts from following its load, and until when: pure, from its spec and status.

Used by `explain`. A hold that ends by the clock is told with its time; one that somebody must end, with how.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from heterofleet.api.conditions import ConditionType
from heterofleet.api.labels import Tier
from heterofleet.api.planned import Bound, PlannedTier
from heterofleet.api.scaling import Mode
from heterofleet.api.v1alpha1 import FleetSpec
from heterofleet.cli import ages
from heterofleet.cli.fleetview import FleetView
from heterofleet.planning import schedule


def holds(view: FleetView, spec: FleetSpec | None, now: datetime) -> Iterator[str]:
    """Sentences, those about the whole fleet first; `spec` is None where this version cannot read it."""
    if view.suspended:
        yield "It is suspended: no count changes until spec.suspend is false."
    if spec is not None and spec.mode is Mode.ADVISORY:
        yield "Its mode is Advisory: what follows is only said, and no count changes until spec.mode is Enforce."
    metrics = view.status.condition(ConditionType.METRICS_AVAILABLE)
    if metrics is not None and not metrics.status:
        yield f"Its load is not known ({metrics.reason}): {metrics.message.removesuffix('.')}."
    for tier in Tier:
        yield from _of_tier(view, tier, spec, now)


def _of_tier(view: FleetView, tier: Tier, spec: FleetSpec | None, now: datetime) -> Iterator[str]:
    override = view.tier(tier).override
    if override is not None:
        release = f"`heterofleet release {view.key.name} --tier {tier}` ends it now"
        yield (
            f"The {tier} tier was set to {override.instances} by {override.by}; the plan takes it back"
            f" {_when(override.until, now)}, and {release}."
        )
    if tier in view.external:
        yield f"The {tier} tier's count is left to others for good (scaling.{tier}.writer: External)."
    if spec is None:
        return
    if spec.tier(tier).instances.min >= spec.tier(tier).instances.most:
        yield f"The {tier} tier has nothing to plan: instances.max is not above instances.min."
    yield from _cooldown(view, tier, spec, now)
    yield from _peak(_planned(view, tier), tier, spec, now)
    yield from _schedules(tier, spec, now)


def _planned(view: FleetView, tier: Tier) -> PlannedTier | None:
    plan = view.status.plan
    return None if plan is None else plan.large if tier is Tier.LARGE else plan.small


def _cooldown(view: FleetView, tier: Tier, spec: FleetSpec, now: datetime) -> Iterator[str]:
    lowered = [made.at for made in view.status.decisions if made.tier is tier and made.after < made.before]
    if not lowered:
        return
    until = max(lowered) + timedelta(seconds=spec.scaling.cooldown_seconds)
    if until > now:
        yield f"The {tier} tier was lowered lately, and may be again {_when(until, now)} (scaling.cooldownSeconds)."


def _peak(planned: PlannedTier | None, tier: Tier, spec: FleetSpec, now: datetime) -> Iterator[str]:
    if planned is None or planned.bound is not Bound.STABILIZATION:
        return
    until = now + timedelta(seconds=spec.scaling.stabilization_seconds)
    yield (
        f"The {tier} tier is held at {planned.instances}, which were needed a moment ago, until {_clock(until)} at the"
        f" latest (scaling.stabilizationSeconds); then {planned.need}, if the load stays as it is."
    )


def _schedules(tier: Tier, spec: FleetSpec, now: datetime) -> Iterator[str]:
    for one in spec.scaling.schedules:
        bounds = one.bounds(tier)
        if bounds is not None and schedule.holds(one, now):
            said = [f"at least {bounds.min}"] if bounds.min is not None else []
            said += [f"at most {bounds.max}"] if bounds.max is not None else []
            yield f"Schedule {one.name} holds the {tier} tier to {' and '.join(said)} until {one.end} {one.time_zone}."


def _when(moment: datetime, now: datetime) -> str:
    if moment <= now:
        return "at the operator's next look"
    return f"at {_clock(moment)}, in {ages.elapsed(moment - now)}"


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%H:%M} UTC"
