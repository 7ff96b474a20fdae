"""A fleet that carries out plans in virtual time: starts take a while, drains hold their GPUs, nothing else happens."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from heterofleet.api.labels import Tier
from heterofleet.api.v1alpha1 import FleetSpec
from heterofleet.planning import plan
from heterofleet.planning.situation import ClassLoad, Memory, ScalePlan, TierNow
from unit.planning.situations import NOW, situation

Loads = tuple[ClassLoad, ClassLoad]
STEP = timedelta(seconds=60)


@dataclass
class Instances:
    """One tier's instances: seconds until each serves, and seconds until each that drains is gone."""

    now: TierNow
    booting: list[float] = field(default_factory=list)
    ready: int = 0
    draining: list[float] = field(default_factory=list)

    @property
    def held(self) -> int:
        return (self.ready + len(self.booting) + len(self.draining)) * self.now.gpus_per_instance

    def observed(self) -> TierNow:
        return replace(self.now, ready=self.ready, booting=tuple(self.booting), draining=len(self.draining))

    def obey(self, count: int, drain_seconds: float) -> None:
        while self.ready + len(self.booting) < count:
            self.booting.append(self.now.startup_seconds)
        while self.ready + len(self.booting) > count:
            if self.booting:
                self.booting.pop()
            else:
                self.ready -= 1
                self.draining.append(drain_seconds)
        self.now = replace(self.now, count=count)

    def pass_time(self, seconds: float) -> None:
        left = [eta - seconds for eta in self.booting]
        self.ready += sum(eta <= 0 for eta in left)
        self.booting = [eta for eta in left if eta > 0]
        self.draining = [eta - seconds for eta in self.draining if eta > seconds]


@dataclass(frozen=True)
class Moment:
    """One step of a play: what was planned, and the GPUs held right after it was carried out."""

    at: datetime
    plan: ScalePlan
    gpus: int
    gpus_by_tier: dict[Tier, int]


def play(
    spec: FleetSpec,
    tiers: tuple[TierNow, TierNow],
    loads: Iterable[Loads],
    *,
    drain_seconds: float = 150.0,
    spent: Callable[[datetime], float | None] = lambda _: None,
) -> Iterator[Moment]:
    """Plan once a step, and carry out every plan at once; the tiers begin with all their instances ready."""
    fleet = {tier: Instances(now, ready=now.ready) for tier, now in zip(Tier, tiers, strict=True)}
    memory, at = Memory(), NOW
    for plan_load, act_load in loads:
        seen = situation(
            spec,
            large=fleet[Tier.LARGE].observed(),
            small=fleet[Tier.SMALL].observed(),
            plan=plan_load,
            act=act_load,
            now=at,
            memory=memory,
            spent_usd=spent(at),
        )
        made = plan.plan(seen)
        for tier, instances in fleet.items():
            instances.obey(made.tiers[tier].count, drain_seconds)
        held = {tier: instances.held for tier, instances in fleet.items()}
        yield Moment(at, made, sum(held.values()), held)
        memory, at = made.memory, at + STEP
        for instances in fleet.values():
            instances.pass_time(STEP.total_seconds())
