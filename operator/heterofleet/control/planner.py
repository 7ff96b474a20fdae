"""Makes each fleet's plan at its own interval, and wakes the fleet where something came of it.

    note      a reconcile says how the fleet stands (`standing`)
    tick      load (Prometheus, the routers' own queues) + standing + what was learned -> `plan.plan`
    current   the next reconcile reads the plan: its counts are applied like everything else, by the same apply

A plan that changes nothing wakes nobody, so that a fleet at rest costs a tick and no reconcile. Nothing here must
survive a restart: a new process holds every count for `stabilizationSeconds`, since it begins with the count in force
as needed, and what was learned and told stands in the status. It tells nothing else before it has asked Prometheus.
"""

import asyncio
import heapq
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from heterofleet.api.labels import FleetKey, Tier
from heterofleet.api.planned import Bound, Decision
from heterofleet.api.routing import Degrade
from heterofleet.api.routing import Plan as RouterPlan
from heterofleet.api.scaling import Mode
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.control import logs
from heterofleet.control.loads import Load
from heterofleet.control.lore import Lore
from heterofleet.control.standing import Standing
from heterofleet.control.virtual import Clock
from heterofleet.planning import decisions, plan, spending, telling
from heterofleet.planning.situation import Memory, ScalePlan, Situation
from heterofleet.planning.telling import Told
from heterofleet.status import Finding

_log = logging.getLogger(__name__)

JITTER: Final = 0.1
LONGEST_SLEEP_SECONDS: Final = 1.0
FIRST_SECONDS: Final = 10.0
"""Between the ticks of a fleet about which Prometheus has not been asked yet."""
AT_ONCE: Final = 8
"""Ticks that may wait for routers' answers at the same time."""


class Loads(Protocol):
    """Where the load comes from: `loads.Loads`."""

    async def of(self, standing: Standing, windows: Mapping[Tier, float], quantile: float) -> Load: ...

    def note(self, standing: Standing, prompt_weight: float, windows: Mapping[Tier, float]) -> None: ...

    def forget(self, key: FleetKey) -> None: ...

    def settled(self, key: FleetKey) -> bool: ...

    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Current:
    """The last plan of a fleet, and the load that it was made from."""

    plan: ScalePlan
    situation: Situation
    load: Load
    told: Told
    money: Finding
    news: tuple[Decision, ...] = ()
    """Decisions that no Event has told of yet."""


class Planner:
    """The plans of all fleets of a process."""

    def __init__(self, loads: Loads, lore: Lore, clock: Clock, chance: Callable[[], float]) -> None:
        self._loads, self._lore, self._clock, self._chance = loads, lore, clock, chance
        self._standings: dict[FleetKey, Standing] = {}
        self._currents: dict[FleetKey, Current] = {}
        self._memories: dict[FleetKey, Memory] = {}
        self._due: list[tuple[datetime, FleetKey]] = []

    def note(self, standing: Standing) -> None:
        """A reconcile saw the fleet; one that is seen for the first time is planned for at once."""
        key = standing.fleet.key
        if key not in self._standings:
            heapq.heappush(self._due, (self._clock.now(), key))
        self._standings[key] = standing
        learned = self._lore.note(standing)
        self._loads.note(standing, learned.prompt_weight.value, self._lore.windows(standing))

    def forget(self, key: FleetKey) -> None:
        self._standings.pop(key, None)
        self._currents.pop(key, None)
        self._memories.pop(key, None)
        self._lore.forget(key)
        self._loads.forget(key)

    def current(self, key: FleetKey) -> Current | None:
        """The last plan; None before the first."""
        return self._currents.get(key)

    def counts(self, fleet: HeterogeneousDeployment) -> Mapping[Tier, int]:
        """The planned counts: of the last plan of this process, else as told in the status, else instances.min.

        Of a tier whose count somebody else holds it is what the plan would have: a release ends in that, at once. A
        bound that the user has changed since holds as soon, without waiting for the next plan.
        """
        made, before = self._currents.get(fleet.key), fleet.status.plan
        if made is not None:
            plans = made.plan.tiers
            counts = {t: plans[t].need if made.situation.tiers[t].held else plans[t].count for t in Tier}
        elif before is not None:
            told = {Tier.LARGE: before.large, Tier.SMALL: before.small}
            counts = {t: one.need if one.bound is Bound.OVERRIDE else one.instances for t, one in told.items()}
        else:
            counts = {}
        bounds = {tier: fleet.spec.tier(tier).instances for tier in Tier}
        return {tier: max(bounds[tier].min, min(counts.get(tier, 0), bounds[tier].most)) for tier in Tier}

    def for_routers(self, fleet: HeterogeneousDeployment) -> RouterPlan:
        """Bias and degradation of the plan in force, before the first as told; of one that only advises, none."""
        if fleet.spec.mode is not Mode.ENFORCE:
            return RouterPlan()
        made = self._currents.get(fleet.key)
        bias, degrade = _told_to_routers(fleet) if made is None else (made.plan.bias, made.plan.degrade)
        return RouterPlan(bias=round(bias, 2), degrade=degrade)

    def starts_take(self, key: FleetKey) -> Mapping[Tier, timedelta]:
        """What starts take by the real clock, as learned; empty before the first plan."""
        made = self._currents.get(key)
        tiers = made.situation.tiers if made is not None else {}
        return {tier: timedelta(seconds=now.startup_seconds / self._clock.scale) for tier, now in tiers.items()}

    def take_news(self, key: FleetKey) -> tuple[Decision, ...]:
        """The decisions that are to be told of, each once."""
        made = self._currents.get(key)
        if made is None or not made.news:
            return ()
        self._currents[key] = replace(made, news=())
        return made.news

    async def run(self, wake: Callable[[FleetKey], None]) -> None:
        """Ticks each fleet when it is due, for ever."""
        gate = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._loads.run(), name="loads")
            while True:
                for key in self._take_due():
                    await gate.acquire()
                    group.create_task(self._guarded(key, wake, gate), name=f"plan {key.namespace}/{key.name}")
                await asyncio.sleep(self._pause())

    async def tick(self, key: FleetKey) -> bool:
        """Plans once for a fleet; says whether its reconcile has something to do or to tell."""
        standing = self._standings.get(key)
        if standing is None or standing.fleet.spec.suspend:
            return False
        quantile = standing.fleet.spec.scaling.forecast.quantile
        load = await self._loads.of(standing, self._lore.windows(standing), quantile)
        standing = self._standings.get(key)
        if standing is None:
            return False  # It was deleted while its routers were asked.
        self._lore.heed(standing, load)
        counts, memory = self._in_force(standing), self._memories.get(key, Memory())
        situation = self._lore.situation(standing, load, counts, memory)
        made = plan.plan(situation)
        before = self._currents.get(key)
        moves = any(made.tiers[tier].count != now.count for tier, now in situation.tiers.items())
        if before is None and not load.settled and not moves:
            return False
        self._memories[key] = made.memory
        told = _told_to_routers(standing.fleet)[0] if before is None else before.plan.bias
        made = replace(made, bias=telling.steady_bias(told, made.bias))
        fresh = self._keep(standing, situation, made, load)
        return before is None or fresh.news != () or _differs(before, fresh)

    def _keep(self, standing: Standing, situation: Situation, made: ScalePlan, load: Load) -> Current:
        key, enforced = standing.fleet.key, standing.fleet.spec.mode is Mode.ENFORCE
        before = self._currents.get(key)
        real = replace(situation, now=self._clock.now())
        news = decisions.made(real, made, enforced=enforced)
        known = before.told.decisions if before is not None else tuple(standing.fleet.status.decisions)
        fresh = telling.told(situation, made, self._lore.told(key), tuple(decisions.kept(news, known)))
        told = fresh if before is None else telling.settled(before.told, fresh)
        untold = before.news if before is not None else ()
        money = Finding(*spending.verdict(standing.fleet.spec.budget, situation.spent_usd))
        self._currents[key] = Current(made, situation, load, told, money, (*untold, *news))
        return self._currents[key]

    def _in_force(self, standing: Standing) -> Mapping[Tier, int]:
        """The counts of the last plan, which a reconcile may still be carrying out; where there is none, those seen."""
        last = self._currents.get(standing.fleet.key)
        return {
            tier: seen.count
            if last is None or seen.held or last.situation.tiers[tier].held
            else last.plan.tiers[tier].count
            for tier, seen in standing.tiers.items()
        }

    async def _guarded(self, key: FleetKey, wake: Callable[[FleetKey], None], gate: asyncio.Semaphore) -> None:
        """One tick; whatever goes wrong stays with this fleet, which is tried again at its next interval."""
        try:
            with logs.about(key):
                if await self.tick(key):
                    wake(key)
        except Exception:  # noqa: BLE001 (a fleet whose plan has a bug must not stop the others)
            _log.exception("No plan could be made")
        finally:
            gate.release()

    def _take_due(self) -> list[FleetKey]:
        now, taken = self._clock.now(), []
        while self._due and self._due[0][0] <= now:
            _, key = heapq.heappop(self._due)
            standing = self._standings.get(key)
            if standing is not None:
                taken.append(key)
                heapq.heappush(self._due, (now + self._interval(standing), key))
        return taken

    def _interval(self, standing: Standing) -> timedelta:
        seconds = float(standing.fleet.spec.scaling.interval_seconds)
        if not self._loads.settled(standing.fleet.key):
            seconds = min(seconds, FIRST_SECONDS)
        seconds /= self._clock.scale
        return timedelta(seconds=seconds * (1 + JITTER * (2 * self._chance() - 1)))

    def _pause(self) -> float:
        if not self._due:
            return LONGEST_SLEEP_SECONDS
        return min(max((self._due[0][0] - self._clock.now()).total_seconds(), 0.01), LONGEST_SLEEP_SECONDS)


def _told_to_routers(fleet: HeterogeneousDeployment) -> tuple[float, Degrade]:
    """Bias and degradation as the status has them."""
    told = fleet.status.plan
    return (0.0, Degrade.NONE) if told is None else (told.bias, told.degrade)


def _differs(before: Current, fresh: Current) -> bool:
    """Whether a reconcile would write something else than before: to routers, or into the status."""
    reasons = (before.load.metrics.reason, before.money.reason) != (fresh.load.metrics.reason, fresh.money.reason)
    routers = (before.plan.bias, before.plan.degrade) != (fresh.plan.bias, fresh.plan.degrade)
    return fresh.told is not before.told or reasons or routers
