"""The plan of a fleet: instances of both tiers, what routers are told, and what it costs (scaling.md, "Plan").

    demand         what each tier's work is, floored by what waits
    wish           what each tier wants for itself: stabilised, within its bounds; the small one after the large one,
                   whose idle capacity takes some of its work
    allocation     both within ratio, places, GPUs and money, and no GPU taken before it is released
    relief         bias and degradation for what is not carried now

Pure: the operator's loop, the simulator and the benchmark call the very same `plan`. What it decided about the past is
in the memory that it returns: a plan from the same situation and that memory is the same plan.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf

from heterofleet.api.labels import Tier
from heterofleet.api.planned import Bound
from heterofleet.api.scaling import Mode, WhenHard
from heterofleet.planning import allocation, demand, economics, places, relief, wish
from heterofleet.planning.allocation import Claim, Limits
from heterofleet.planning.demand import Demand, known
from heterofleet.planning.situation import Memory, ScalePlan, Situation, TierNow
from heterofleet.planning.wish import Wish

Wishes = Mapping[Tier, Wish]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What both classes ask for, each of its own tier."""

    plan: Demand
    act: Demand


@dataclass(frozen=True, slots=True)
class _Cut:
    """What a budget made of both claims, seen from one tier."""

    claims: allocation.Claims
    counts: allocation.Counts
    tier: Tier

    @property
    def is_trade(self) -> bool:
        """This tier gives up instances in force, and the other gets more than it has."""
        loses = self.counts[self.tier] < self.claims[self.tier].count
        return loses and any(self.counts[tier] > claim.count for tier, claim in self.claims.items())


def plan(situation: Situation) -> ScalePlan:
    """The plan for this situation. Raises ValueError where its time has no zone."""
    if situation.now.tzinfo is None:
        raise ValueError("the time of a situation needs a zone: give datetime.now(UTC), not datetime.now()")
    act = demand.of_small(situation)
    asked = _Asked(demand.of_large(situation, act), act)
    limits = _limits(situation)
    large = _placed(situation, Tier.LARGE, wish.of(situation, Tier.LARGE, asked.plan, asked.plan), limits)
    wishes = _shared(situation, asked, large, limits)
    if wishes[Tier.LARGE].count.count < large.count.count:
        # The large tier got less than the small one was planned with, so what it can take is counted again.
        wishes = _shared(situation, asked, wishes[Tier.LARGE], limits)
    final = _released(situation, wishes, limits)
    return ScalePlan(
        tiers={tier: found.count for tier, found in final.items()},
        bias=relief.bias(situation, asked.plan, asked.act),
        degrade=relief.level(situation, asked.plan),
        usd_per_hour=_usd_per_hour(situation, {tier: found.count.count for tier, found in final.items()}),
        usd_per_hour_before=_usd_per_hour(situation, {tier: now.count for tier, now in situation.tiers.items()}),
        memory=_memory(situation, wishes, final, limits),
    )


def _shared(situation: Situation, asked: _Asked, large: Wish, limits: Limits) -> Wishes:
    """Both wishes within what they share, the small one's lowered by what idle large instances take."""
    act = asked.act
    if situation.spec.scaling.spill_over:
        startup = known(situation.tiers[Tier.SMALL].startup_seconds) or 0.0
        there = wish.later(large, situation, Tier.LARGE, startup)
        carried = there * (known(situation.tiers[Tier.LARGE].capacity) or 0.0)
        act = demand.relieved(act, asked.plan, carried, situation.spill_over_share)
    small = _placed(situation, Tier.SMALL, wish.of(situation, Tier.SMALL, act, asked.act), limits)
    return _within_budgets(situation, {Tier.LARGE: large, Tier.SMALL: _in_ratio(situation, large, small)}, limits)


def _in_ratio(situation: Situation, large: Wish, small: Wish) -> Wish:
    if situation.tiers[Tier.SMALL].held:
        return small
    ratio, counts = situation.spec.scaling.ratio, {Tier.LARGE: large.count.count, Tier.SMALL: small.count.count}
    count = max(small.bounds.least, allocation.by_ratio(counts, ratio, small.bounds.most))
    if count == small.count.count:
        return small
    said = f"ratio.min {ratio.min:g}" if count > small.count.count else f"ratio.max {ratio.max:g}"
    return small.moved(count, Bound.RATIO, f"{said} beside {large.count.count} large ones makes it {count}")


def _within_budgets(situation: Situation, wishes: Wishes, limits: Limits) -> Wishes:
    claims = {tier: _claim(situation, tier, found) for tier, found in wishes.items()}
    floors = {tier: min(claim.least, claim.wanted) for tier, claim in claims.items()}
    minimum = sum(claim.usd * claim.total(floors[tier]) for tier, claim in claims.items())
    scaling = situation.spec.scaling
    allowed = replace(limits, usd=max(limits.usd, minimum))
    counts = allocation.split(claims, allowed, scaling.priority, scaling.ratio)
    cut = {
        tier: found if counts[tier] == found.count.count else _cut(situation, found, _Cut(claims, counts, tier), limits)
        for tier, found in wishes.items()
    }
    if minimum <= limits.usd:
        return cut
    why = f"instances.min stands and costs {minimum:.2f} USD an hour, of which the money budget leaves {limits.usd:.2f}"
    return {
        tier: found.moved(counts[tier], Bound.MONEY_BUDGET, why) if 0 < counts[tier] <= floors[tier] else found
        for tier, found in cut.items()
    }


def _cut(situation: Situation, found: Wish, cut: _Cut, limits: Limits) -> Wish:
    """A wish that a budget has cut, and whose GPUs it goes to where it gives up some."""
    spec, count = situation.spec, cut.counts[cut.tier]
    gpus = sum(claim.gpus * claim.total(claim.wanted) for claim in cut.claims.values())
    if gpus <= limits.gpus:
        budget = f"of budget.usdPerDay {spec.budget.usd_per_day} USD, {limits.usd:.2f} USD an hour are left"
        return found.moved(count, Bound.MONEY_BUDGET, f"{budget}: {count} of {found.count.count}")
    budget = f"scaling.gpuBudget {limits.gpus:g} is below the {gpus} GPUs wanted: {count} of {found.count.count}"
    if count < found.bounds.least:
        return found.moved(count, Bound.GPU_BUDGET, f"{budget}, below instances.min: raise gpuBudget or lower min")
    if cut.is_trade:
        return found.moved(count, Bound.TRADE, f"{budget}, since its GPUs buy more work in the other tier")
    return found.moved(count, Bound.GPU_BUDGET, budget)


def _released(situation: Situation, wishes: Wishes, limits: Limits) -> Wishes:
    """The wishes as far as GPUs are free now; what is only advised waits for none."""
    if situation.spec.mode is Mode.ADVISORY:
        return wishes
    claims = {tier: _claim(situation, tier, found) for tier, found in wishes.items()}
    wanted = {tier: found.count.count for tier, found in wishes.items()}
    counts = allocation.released(claims, wanted, limits, situation.spec.scaling.priority)
    return {
        tier: found
        if counts[tier] == wanted[tier]
        else found.moved(counts[tier], Bound.GPU_BUDGET, f"{counts[tier]} until GPUs that still drain are released")
        for tier, found in wishes.items()
    }


def _claim(situation: Situation, tier: Tier, found: Wish) -> Claim:
    now, instances = situation.tiers[tier], situation.spec.tier(tier).instances
    count = found.count.count
    return Claim(
        wanted=count,
        least=count if now.held else found.bounds.least,
        most=instances.most,
        count=now.count,
        warm=instances.warm,
        live=places.live(now),
        draining=now.draining,
        gpus=now.gpus_per_instance,
        usd=now.gpus_per_instance * (known(now.usd_per_gpu_hour) or 0.0),
        expected=max(found.expected, 0.0 if found.demand.known else float(now.count)),
        spread=allocation.spread(found.expected, found.upper),
        worth=known(now.capacity) or 0.0,
    )


def _limits(situation: Situation) -> Limits:
    spec = situation.spec
    gpus = inf if spec.scaling.gpu_budget is None else float(spec.scaling.gpu_budget)
    in_force = _usd_per_hour(situation, {tier: now.count for tier, now in situation.tiers.items()})
    if spec.budget.usd_per_day is None or spec.budget.when_hard is not WhenHard.THROTTLE or in_force is None:
        return Limits(gpus)
    spent = known(situation.spent_usd)
    return Limits(gpus, economics.affordable_usd_per_hour(spec.budget.usd_per_day, spent, in_force))


def _usd_per_hour(situation: Situation, counts: Mapping[Tier, int]) -> float | None:
    """Price of these counts with their warm instances; None unless both tiers have a price."""
    total = 0.0
    for tier, now in situation.tiers.items():
        price, instances = known(now.usd_per_gpu_hour), situation.spec.tier(tier).instances
        if price is None:
            return None
        running = min(counts[tier] + instances.warm, max(instances.most, counts[tier]))
        total += economics.usd_per_hour(running * now.gpus_per_instance, price)
    return total


def _free_gpus(situation: Situation, limits: Limits) -> float:
    held = sum((places.live(now) + now.draining) * now.gpus_per_instance for now in situation.tiers.values())
    return limits.gpus - held


def _placed(situation: Situation, tier: Tier, found: Wish, limits: Limits) -> Wish:
    now, other = situation.tiers[tier], _other(situation, tier)
    if now.held:
        return found
    unplaced_at = situation.memory.unplaced_at.get(tier)
    return wish.placed(found, places.most(now, other, _free_gpus(situation, limits), unplaced_at, situation.now))


def _other(situation: Situation, tier: Tier) -> TierNow:
    return situation.tiers[Tier.SMALL if tier is Tier.LARGE else Tier.LARGE]


def _memory(situation: Situation, wishes: Wishes, final: Wishes, limits: Limits) -> Memory:
    before, free = situation.memory, _free_gpus(situation, limits)
    lowered = {tier for tier, found in final.items() if found.count.count < situation.tiers[tier].count}
    unplaced = {tier for tier, now in situation.tiers.items() if places.lacking(now, wishes[tier].count.need, free)}
    return Memory(
        needs={tier: found.needs for tier, found in final.items()},
        lowered_at={**before.lowered_at, **dict.fromkeys(lowered, situation.now)},
        unplaced_at={**before.unplaced_at, **dict.fromkeys(unplaced, situation.now)},
    )
