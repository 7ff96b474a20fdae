"""The product as a policy of the fluid simulation: the operator's own forecast and plan, on a virtual clock.

Seen (work tokens a minute) -> Foresight -> Situation (work tokens a second) -> planning.plan.plan -> counts
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from heterofleet.api.labels import Tier
from heterofleet.api.routing import RequestClass
from heterofleet.api.v1alpha1 import FleetSpec
from heterofleet.planning import forecast, plan
from heterofleet.planning.forecast import Forecaster
from heterofleet.planning.situation import ClassLoad, Forecast, Memory, ScalePlan, Situation, TierNow
from heterofleet.simulate.fluid import Fleet, Pool, Seen

CLASSES: Final = {Tier.LARGE: RequestClass.PLAN, Tier.SMALL: RequestClass.ACT}
BEGIN: Final = datetime(2026, 1, 5, tzinfo=UTC)
"""When minute 0 is, unless said otherwise: a Monday."""

_STALE_MINUTES: Final = 5


class Foresight(Protocol):
    """What is forecast for a tier's class at the end of a minute; None where nothing can be said."""

    def at(self, tier: Tier, seen: Seen) -> Forecast | None: ...


class Forecasting:
    """The product's own forecast, over start-up and the interval until the next plan can order more."""

    def __init__(self, pools: Mapping[Tier, Pool], spec: FleetSpec) -> None:
        policy = spec.scaling.forecast
        self._quantile = policy.quantile
        self._windows = {tier: window_seconds(pool, spec) for tier, pool in pools.items()}
        self._forecasters = {
            tier: Forecaster(window, policy.history_days) for tier, window in self._windows.items()
        }  # fmt: skip

    def at(self, tier: Tier, seen: Seen) -> Forecast | None:
        forecaster = self._forecasters[tier]
        if seen.offered is not None:
            forecaster.observe(60.0 * seen.minute, seen.offered / 60.0)
        made = forecaster.forecast(self._windows[tier], self._quantile, 60.0 * (seen.minute + 1))
        return made if isinstance(made, Forecast) else None


@dataclass(frozen=True, slots=True)
class Remembered:
    """Forecasts that were made before, one a minute: a sweep of one setting need not make them anew."""

    forecasts: Mapping[Tier, Sequence[Forecast | None]]

    def at(self, tier: Tier, seen: Seen) -> Forecast | None:
        return self.forecasts[tier][seen.minute]


@dataclass(frozen=True, slots=True)
class Unforeseen:
    """No forecast: the last minute's work is expected, and nothing above it."""

    def at(self, tier: Tier, seen: Seen) -> Forecast | None:
        del tier
        if seen.offered is None:
            return None
        rate = seen.offered / 60.0
        return Forecast(rate, rate, 60.0, "LastValue", 1.0, 1)


class Planned:
    """The product's plan, remembered from minute to minute. `last` is the newest one, for those who show it."""

    def __init__(
        self,
        spec: FleetSpec,
        pools: Mapping[Tier, Pool],
        foresight: Foresight | None = None,
        begin: datetime = BEGIN,
        escalation_rate: float = 0.0,
    ) -> None:
        self._spec, self._pools, self._begin = spec, pools, begin
        self._foresight = foresight or Forecasting(pools, spec)
        self._escalation_rate = escalation_rate
        self._memory = Memory()
        self._known: dict[Tier, tuple[int, float]] = {}
        self.last: ScalePlan | None = None
        self.situation: Situation | None = None

    def decide(self, fleet: Fleet) -> Mapping[Tier, int]:
        minute = next(iter(fleet.values())).minute
        situation = Situation(
            spec=self._spec,
            now=self._begin + timedelta(minutes=minute + 1),
            tiers={tier: self._tier(tier, seen) for tier, seen in fleet.items()},
            loads={CLASSES[tier]: self._load(tier, seen) for tier, seen in fleet.items()},
            escalation_rate=self._escalation_rate,
            memory=self._memory,
        )
        made = plan.plan(situation)
        self._memory, self.last, self.situation = made.memory, made, situation
        return {tier: self._with_warm(tier, planned.count) for tier, planned in made.tiers.items()}

    def _with_warm(self, tier: Tier, count: int) -> int:
        """Warm instances run beyond the count, within the tier's maximum."""
        instances = self._spec.tier(tier).instances
        return min(count + instances.warm, max(instances.most, count))

    def _tier(self, tier: Tier, seen: Seen) -> TierNow:
        pool, described = self._pools[tier], self._spec.tier(tier)
        return TierNow(
            count=max(0, seen.count - described.instances.warm),
            ready=seen.ready,
            capacity=pool.capacity / 60.0,
            startup_seconds=60.0 * pool.startup_minutes,
            gpus_per_instance=pool.gpus,
            booting=tuple(60.0 * eta for eta in seen.booting),
            draining=seen.draining,
            usd_per_gpu_hour=described.usd_per_gpu_hour,
        )

    def _load(self, tier: Tier, seen: Seen) -> ClassLoad:
        if seen.offered is not None:
            self._known[tier] = (seen.minute, seen.offered / 60.0)
        at, rate = self._known.get(tier, (seen.minute, None))
        fresh = rate if seen.minute - at < _STALE_MINUTES else None
        return ClassLoad(self._foresight.at(tier, seen), fresh, seen.waiting)


def window_seconds(pool: Pool, spec: FleetSpec) -> float:
    return forecast.window_seconds(60.0 * pool.startup_minutes, spec.scaling.interval_seconds)
