"""What one tier wants for itself: its need, how fast the count may follow, and its own bounds.

Stands between `demand` and `allocation`, which brings both tiers' wishes under one budget. Each step that moves the
count says so: the last one that did is the `bound`, and the sentence tells them in order, with figures.
"""

from dataclasses import dataclass, replace
from typing import Final

from heterofleet.api.labels import Tier
from heterofleet.api.planned import Bound
from heterofleet.api.scaling import Writer
from heterofleet.planning import schedule, stabilisation
from heterofleet.planning.demand import Demand, known
from heterofleet.planning.schedule import Bounds
from heterofleet.planning.situation import CLASS_OF, Situation, TierCount, TierNow
from heterofleet.planning.stabilisation import Needs

_MOST_INSTANCES: Final = 100_000.0
"""Beyond this a load is absurd, whatever its capacity: no tier has more than 1,000."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One tier's wish. `load` and `expected` are in instances, `upper` too; `needs` is its memory from now on."""

    count: TierCount
    demand: Demand
    load: float
    expected: float
    upper: float
    bounds: Bounds
    needs: Needs

    def moved(self, count: int, bound: Bound, why: str) -> "Wish":
        """The same wish with another count, which `bound` decided."""
        told = replace(self.count, count=count, bound=bound, sentence=f"{self.count.sentence}; {why}")
        return replace(self, count=told)


def of(situation: Situation, tier: Tier, demand: Demand, whole: Demand) -> Wish:
    """The tier's wish for `demand`, which may be less than the `whole` that its class asks for."""
    now, scaling = situation.tiers[tier], situation.spec.scaling
    capacity = known(now.capacity) or 0.0
    if not capacity:
        demand = replace(demand, missing=demand.missing or f"the capacity of a {tier} instance")
    load = _load(demand.work, capacity)
    extra = min(now.failed, now.ready) if load else 0
    need = _need(now, demand, load, extra)
    # What somebody else sets is no need of the plan's, and goes as soon as the plan sets the count again.
    begins = need if now.held else now.count
    wished = Wish(
        count=TierCount(
            need,
            need,
            _reason(now, demand, _load(whole.work, capacity), need),
            _sentence(situation, tier, demand, need),
        ),
        demand=demand,
        load=load,
        expected=_load(demand.expected, capacity),
        upper=_load(demand.upper, capacity),
        bounds=_bounds(situation, tier),
        needs=stabilisation.remember(situation.memory, tier, need, begins, scaling, situation.now),
    )
    return _as_held(situation, tier, wished) if now.held else within(_followed(situation, tier, wished, extra))


def within(wish: Wish) -> Wish:
    """The wish inside its tier's bounds."""
    bounds, count = wish.bounds, wish.count.count
    if count < bounds.least:
        by = f"schedule {bounds.least_by} asks for" if bounds.least_by else "instances.min is"
        bound = Bound.SCHEDULE if bounds.least_by else Bound.MINIMUM
        return wish.moved(bounds.least, bound, f"{by} {bounds.least}")
    if count > bounds.most:
        by = f"schedule {bounds.most_by} allows" if bounds.most_by else "instances.max is"
        bound = Bound.SCHEDULE if bounds.most_by else Bound.MAXIMUM
        return wish.moved(bounds.most, bound, f"{by} {bounds.most}")
    return wish


def placed(wish: Wish, most: int | None) -> Wish:
    """The wish as far as there are places on nodes."""
    if most is None or wish.count.count <= max(most, wish.bounds.least):
        return wish
    return wish.moved(max(most, wish.bounds.least), Bound.NO_PLACE, f"nodes have whole places for {most}")


def later(wish: Wish, situation: Situation, tier: Tier, seconds: float) -> int:
    """Instances that will be ready and stay so in that time, whatever the load does until then."""
    now = situation.tiers[tier]
    ready = now.ready + sum(eta <= seconds for eta in now.booting)
    if now.held or not wish.demand.known:
        return min(ready, wish.count.count + situation.spec.tier(tier).instances.warm)
    at = stabilisation.after(situation.now, seconds)
    stays = max(wish.count.need, stabilisation.peak(wish.needs, situation.spec.scaling, at), wish.bounds.least)
    return min(ready, min(wish.count.count, stays) + situation.spec.tier(tier).instances.warm)


def _followed(situation: Situation, tier: Tier, wish: Wish, extra: int) -> Wish:
    """The wish as far as the count may follow its need at once."""
    moved = stabilisation.step(
        tier,
        load=wish.load,
        extra=extra,
        count=situation.tiers[tier].count,
        needs=wish.needs,
        memory=situation.memory,
        scaling=situation.spec.scaling,
        now=situation.now,
    )
    if moved.bound is None or max(moved.count, wish.count.need) <= wish.bounds.least:
        # What holds a count at or below the tier's minimum holds nothing: the minimum does.
        return wish
    return wish.moved(moved.count, moved.bound, moved.sentence)


def _load(work: float, capacity: float) -> float:
    return min(_MOST_INSTANCES, work / capacity) if capacity else 0.0


def _need(now: TierNow, demand: Demand, load: float, extra: int) -> int:
    need = stabilisation.instances(load) + extra
    if demand.known:
        return need
    # What waits asks for an instance even of a tier of which nothing else is known.
    return max(now.count, need, int(demand.backlog > 0))


def _reason(now: TierNow, demand: Demand, whole: float, need: int) -> Bound:
    """What decided the need; `whole` is the load of all the work of its class, in instances."""
    if not demand.known and need <= now.count:
        return Bound.METRICS_LOST
    if not now.within_objective:
        return Bound.OBJECTIVE
    if demand.floor > demand.upper:
        return Bound.QUEUE
    return Bound.SPILL_OVER if need < stabilisation.instances(whole) else Bound.FORECAST


def _sentence(situation: Situation, tier: Tier, demand: Demand, need: int) -> str:
    now = situation.tiers[tier]
    load = situation.loads.get(CLASS_OF[tier])
    forecast = load.forecast if load is not None else None
    if not demand.known and need <= now.count:
        return f"{demand.missing} is not known: {now.count} are held"
    if demand.floor > demand.upper or forecast is None:
        asked = f"{demand.offered:.0f} work tokens/s come and what waits asks for {demand.backlog:.0f} more"
    else:
        window = known(forecast.window_seconds) or 0.0
        asked = f"at most {demand.upper:.0f} work tokens/s are forecast within {window:.0f} s"
    each = known(now.capacity)
    if not each:
        return f"{demand.missing} is not known: {need}, since work waits"
    effort = "" if now.within_objective else ", which no number of instances serves within the objective"
    return f"{asked}{effort}: {need} at {each:.0f} each"


def _bounds(situation: Situation, tier: Tier) -> Bounds:
    instances = situation.spec.tier(tier).instances
    own = Bounds(instances.min, instances.most)
    return schedule.bounds(situation.spec.scaling.schedules, tier, own, situation.now)


def _as_held(situation: Situation, tier: Tier, wish: Wish) -> Wish:
    now = situation.tiers[tier]
    external = situation.spec.scaling.writer(tier) is Writer.EXTERNAL
    bound = Bound.EXTERNAL if external else Bound.OVERRIDE
    return wish.moved(now.count, bound, f"somebody else has set {now.count}")
