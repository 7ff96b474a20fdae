"""A planner in a test's hand: the time, what Prometheus and the routers tell, and how the fleets stand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from heterofleet.api.labels import Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.control.loads import Loads
from heterofleet.control.lore import Lore
from heterofleet.control.planner import Planner
from heterofleet.control.standing import Standing, Start, TierStanding
from heterofleet.control.virtual import Clock
from reconcile.played import PlayedPrometheus
from unit.desired import fleets

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass
class Now:
    """The time."""

    at: datetime = BEGIN

    def __call__(self) -> datetime:
        return self.at


@dataclass
class Queues:
    """What every router says of its queue; None is silence."""

    waiting: Mapping[Tier, float] | None = field(default_factory=dict)

    async def router_queue(self, router: str) -> Mapping[Tier, float] | None:
        del router
        return self.waiting


class Planning:
    """The parts of a planner, put together."""

    def __init__(self, queues: Queues | None = None) -> None:
        self._begin(queues or Queues(), PlayedPrometheus(), Now())

    def restarted(self) -> "Planning":
        """A new process, which remembers nothing, in the same world."""
        again = Planning.__new__(Planning)
        again._begin(self.queues, self.prometheus, self.now)
        return again

    def _begin(self, queues: Queues, prometheus: PlayedPrometheus, now: Now) -> None:
        self.now, self.queues, self.prometheus = now, queues, prometheus
        clock = Clock(self.now)
        self.loads = Loads(self.prometheus, self.queues, clock)
        self.lore = Lore(fleets.PLATFORM.catalogue, clock)
        self.planner = Planner(self.loads, self.lore, clock, lambda: 0.5)

    def pass_(self, seconds: float) -> None:
        self.now.at += timedelta(seconds=seconds)

    async def plan(self, standing: Standing) -> bool:
        """One look at the load and one plan."""
        self.planner.note(standing)
        await self.loads.look()
        return await self.planner.tick(standing.fleet.key)


def fleet(**spec: Any) -> HeterogeneousDeployment:
    bounds = {"instances": {"min": 1, "max": 50}}
    return HeterogeneousDeployment.parse(fleets.body(**fleets.merged({"large": bounds, "small": bounds}, spec)))


def standing(
    of: HeterogeneousDeployment,
    *,
    count: int = 1,
    routers: int = 1,
    booting: tuple[tuple[str, datetime], ...] = (),
    starts: tuple[Start, ...] = (),
) -> Standing:
    """A fleet both of whose tiers have so many instances."""
    tier = TierStanding(count, False, count, 0, 0, 0, booting, False, starts)
    return Standing(of, dict.fromkeys(Tier, tier), tuple(f"10.0.0.{n}" for n in range(routers)), BEGIN)
