"""A fleet's plan and last decisions as sentences: what was seen, what decided, what was done, what it costs, what if.

Pure: a fleet as the API server has it, and the time. What `explain` prints is made of this, as text and as JSON.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Final

from heterofleet.api.labels import Tier
from heterofleet.api.planned import Bound, Decision, PlannedTier
from heterofleet.api.v1alpha1 import FleetSpec
from heterofleet.cli import explainbounds
from heterofleet.planning.situation import CLASS_OF

_DAY_HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class Told:
    """One decision in sentences; `lifted` is empty where there is no bound to lift."""

    decision: Decision
    bound: str
    """Its name as the status has it, which may be one that only a newer version knows."""
    done: str
    seen: str
    because: str
    lifted: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A tier's planned count as it stands now, likewise; `ends` says when its bound goes away by itself."""

    tier: Tier
    planned: PlannedTier
    count: str
    because: str
    lifted: str
    ends: str


def decision(made: Decision, spec: FleetSpec | None, unknown_bound: str = "") -> Told:
    """Tell one decision; `spec` is None where this version cannot read it, `unknown_bound` what it does not know."""
    if unknown_bound:
        newer = f"this version of the command does not know that bound; the operator says: {made.message}"
        return Told(made, unknown_bound, _done(made), _seen(made, spec), newer, "")
    return Told(
        decision=made,
        bound=str(made.bound),
        done=_done(made),
        seen=_seen(made, spec),
        because=_because(made.bound, made.tier, spec, made.message),
        lifted=_lifted(made.bound, made.tier, spec, made.after, _load_alone(made), past=True),
    )


def standing(tier: Tier, planned: PlannedTier, spec: FleetSpec | None, *, advisory: bool) -> Standing:
    """Tell a planned count."""
    count = f"{_instances(planned.instances)} {'would be' if advisory else 'planned'}, {planned.need} needed"
    return Standing(
        tier=tier,
        planned=planned,
        count=count,
        because=_because(planned.bound, tier, spec, planned.message),
        lifted=_lifted(planned.bound, tier, spec, planned.instances, planned.need, past=False),
        ends=explainbounds.ABOUT[planned.bound].ends,
    )


def _done(made: Decision) -> str:
    verb = "raised" if made.after > made.before else "lowered"
    was = f"was {verb}" if made.enforced else f"would have been {verb}"
    return f"the {made.tier} tier {was} from {made.before} to {_instances(made.after)}{_money(made)}"


def _money(made: Decision) -> str:
    if not made.usd_per_hour:
        return "; what that costs is not known, since the tier has no price.usdPerGpuHour"
    usd = float(made.usd_per_hour)
    would = "" if made.enforced else "would "
    verb = f"{would}cost" if not made.enforced else "costs"
    saves = f"{would}save" if not made.enforced else "saves"
    if usd < 0:
        return f", which {saves} {_usd(-usd)}"
    return f", which {verb} {_usd(usd)} more"


def _usd(per_hour: float) -> str:
    return f"{per_hour:,.2f} USD an hour ({per_hour * _DAY_HOURS:,.0f} a day)"


def _seen(made: Decision, spec: FleetSpec | None) -> str:
    return "; ".join([_forecast(made), *_waiting(made, spec), _carried(made)])


def _forecast(made: Decision) -> str:
    load = CLASS_OF[made.tier]
    if made.forecast_tokens_per_second is None:
        return f"nothing was known of the load of class {load}"
    return f"at most {made.forecast_tokens_per_second:,.0f} work tokens/s of class {load} were forecast"


def _waiting(made: Decision, spec: FleetSpec | None) -> Iterator[str]:
    """What waited, and the floor that it puts under the count: all of it worked off within `queueSeconds`."""
    if made.waiting_tokens <= 0:
        return
    waited = f"{made.waiting_tokens:,.0f} work tokens waited"
    if spec is None:
        yield waited
    else:
        within = spec.scaling.reactive.queue_seconds
        yield f"{waited}, which asks for up to {made.waiting_tokens / within:,.0f} tokens/s more for {within} s"


def _carried(made: Decision) -> str:
    ready = f"{_instances(made.ready)} {'was' if made.ready == 1 else 'were'} ready"
    if made.capacity_tokens_per_second <= 0:
        return f"{ready}, and what one carries was not known"
    together = made.ready * made.capacity_tokens_per_second
    each = f"each carries {made.capacity_tokens_per_second:,.0f} tokens/s within the objective"
    return f"{ready}, {each}, together {together:,.0f}"


def _load_alone(made: Decision) -> int | None:
    """About how many the load asked for: a decision keeps the forecast, and not the need before its bounds."""
    if made.forecast_tokens_per_second is None or made.capacity_tokens_per_second <= 0:
        return None
    return ceil(made.forecast_tokens_per_second / made.capacity_tokens_per_second)


def _because(bound: Bound, tier: Tier, spec: FleetSpec | None, message: str) -> str:
    """The planner's own sentence tells the load first, and then, with figures, each bound that moved the count."""
    _, _, steps = message.partition("; ")
    return f"{explainbounds.ABOUT[bound].says}: {steps}" if steps else explainbounds.because(bound, tier, spec)


def _lifted(bound: Bound, tier: Tier, spec: FleetSpec | None, count: int, wanted: int | None, *, past: bool) -> str:
    """What the count would be without its bound, within the tier's other bounds, and what that would cost."""
    begins = explainbounds.ABOUT[bound].lifted
    if not begins or wanted is None:
        return ""
    reached = _within(bound, tier, spec, wanted)
    if reached == count:
        return f"{begins} it would be the same"
    about = "about " if past else ""
    up = "up to" if reached > count else "down to"
    have = "it would have been" if past else "it would be"
    return f"{begins} {have} {up} {about}{_instances(reached)}{_difference(tier, spec, reached - count)}"


def _within(bound: Bound, tier: Tier, spec: FleetSpec | None, wanted: int) -> int:
    if spec is None:
        return wanted
    own = spec.tier(tier).instances
    least = 0 if bound is Bound.MINIMUM else own.min
    most = max(wanted, own.most) if bound is Bound.MAXIMUM else own.most
    return max(least, min(wanted, most))


def _difference(tier: Tier, spec: FleetSpec | None, instances: int) -> str:
    price = None if spec is None else spec.tier(tier).usd_per_gpu_hour
    if spec is None or price is None:
        return ""
    usd = instances * spec.tier(tier).parallelism.world * price
    return f", {_usd(abs(usd))} {'more' if usd > 0 else 'less'}"


def _instances(count: int) -> str:
    return f"{count} instance{'' if count == 1 else 's'}"
