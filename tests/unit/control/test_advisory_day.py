"""A fleet that is left in mode Advisory for a day is told what the simulator would have decided: it is the same code.

The day is one of a real trace. Start-up times and capacities stand in the fleet's status, as if learned. Spill-over is
off and what waits counts for little, since in the simulator instances boot and work waits meanwhile, which advice
cannot know of a fleet that it does not touch.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from heterofleet.api.labels import FleetKey, Tier
from heterofleet.api.planned import Decision
from heterofleet.api.routing import RequestClass
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.control.loads import Loads
from heterofleet.control.lore import Lore
from heterofleet.control.planner import Planner
from heterofleet.control.standing import Standing, TierStanding
from heterofleet.control.virtual import Clock
from heterofleet.metrics.history import History
from heterofleet.metrics.samples import Lost
from heterofleet.planning import decisions
from heterofleet.simulate import fluid
from heterofleet.simulate.fluid import Fleet, Load, Pool
from heterofleet.simulate.planned import Planned
from reconcile.played import PlayedEngines, PlayedPrometheus
from testbed.demo import replay
from unit.desired import fleets

DAY = 1440
BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
CAPACITY = {Tier.LARGE: 200.0, Tier.SMALL: 300.0}
STARTUP_SECONDS = {Tier.LARGE: 300.0, Tier.SMALL: 60.0}
MEAN_INSTANCES = {Tier.LARGE: 4.0, Tier.SMALL: 8.0}
CLASS = {Tier.LARGE: RequestClass.PLAN, Tier.SMALL: RequestClass.ACT}

Told = tuple[int, Tier, int, int, str]


@dataclass
class Now:
    """The time that the test holds in its hand."""

    at: datetime = BEGIN

    def __call__(self) -> datetime:
        return self.at


@dataclass
class Forgetful(PlayedPrometheus):
    """A Prometheus that has just begun: it tells of now, and has no history."""

    async def history(
        self, fleets: Iterable[FleetKey], start: datetime, end: datetime
    ) -> Mapping[FleetKey, Mapping[RequestClass, History]] | Lost:
        del fleets, start, end
        return {}


def fleet() -> HeterogeneousDeployment:
    tiers = {
        str(tier): {"startupSeconds": STARTUP_SECONDS[tier], "capacityTokensPerSecond": CAPACITY[tier]} for tier in Tier
    }
    scaling = {"spillOver": False, "reactive": {"queueSeconds": 3600}}
    bounds = {"instances": {"min": 1, "max": 100}}
    return HeterogeneousDeployment.parse(
        fleets.body(large=bounds, small=bounds, scaling=scaling, mode="Advisory") | {"status": tiers}
    )


def work() -> dict[Tier, np.ndarray]:
    """Work tokens a second of each minute of the trace's third day."""
    trace = replay.minutes()
    return {
        tier: np.array(trace[CLASS[tier]][2 * DAY : 3 * DAY]) * MEAN_INSTANCES[tier] * CAPACITY[tier] for tier in Tier
    }


async def advised(rates: Mapping[Tier, np.ndarray]) -> list[Told]:
    """What the operator's planner tells, minute by minute."""
    now, prometheus = Now(), Forgetful()
    clock = Clock(now)
    loads = Loads(prometheus, PlayedEngines(lambda: None), clock)  # type: ignore[arg-type, return-value]  # no cache
    planner = Planner(loads, Lore(fleets.PLATFORM.catalogue, clock), clock, lambda: 0.5)
    tier = TierStanding(1, False, 1, 0, 0, 0, (), False)
    standing = Standing(fleet(), dict.fromkeys(Tier, tier), (), BEGIN)
    planner.note(standing)
    key, told = standing.fleet.key, []
    for minute in range(DAY):
        now.at = BEGIN + timedelta(minutes=minute, seconds=30)
        prometheus.tell(plan=rates[Tier.LARGE][minute], act=rates[Tier.SMALL][minute])
        await loads.look()
        await planner.tick(key)
        told += [noted(minute, decision) for decision in planner.take_news(key)]
    return told


@dataclass
class Noting:
    """The simulator's policy, and what it decided."""

    planned: Planned
    told: list[Told]

    def decide(self, fleet: Fleet) -> Mapping[Tier, int]:
        minute = next(iter(fleet.values())).minute
        counts = self.planned.decide(fleet)
        assert self.planned.situation is not None
        assert self.planned.last is not None
        made = decisions.made(self.planned.situation, self.planned.last, enforced=False)
        self.told += [noted(minute, decision) for decision in made]
        return counts


def simulated(rates: Mapping[Tier, np.ndarray]) -> list[Told]:
    pools = {tier: Pool(60 * CAPACITY[tier], round(STARTUP_SECONDS[tier] / 60)) for tier in Tier}
    policy = Noting(Planned(fleet().spec, pools), [])
    fluid.run(Load({tier: 60 * rate for tier, rate in rates.items()}), pools, policy)
    return policy.told


def noted(minute: int, decision: Decision) -> Told:
    return minute, decision.tier, decision.before, decision.after, str(decision.bound)


def test_a_day_of_advice_is_what_the_simulator_decides():
    rates = work()
    told = asyncio.run(advised(rates))
    assert len(told) > 20
    assert told == simulated(rates)
