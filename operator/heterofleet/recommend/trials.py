"""Settings played on one load; what was measured and foreseen for one is kept for the next.

    alone   one tier, its counts following the forecast as the plan lets them: a tenth of a second for ten days
    whole   the fleet under the operator's own plan, as `heterofleet simulate` plays it: the only word that counts

A tier's forecasts depend on its load and its start-up time, never on what an instance carries, so that all shapes of
equal start-up share them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from heterofleet.api.labels import Tier
from heterofleet.api.scaling import Scaling
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.planning import forecast
from heterofleet.planning.catalogue import Catalogue
from heterofleet.planning.forecast import Forecaster
from heterofleet.planning.situation import CLASS_OF, Forecast
from heterofleet.recommend import alone, candidates, manifest
from heterofleet.recommend.manifest import Setting, Shape
from heterofleet.recommend.wishes import Wishes
from heterofleet.simulate import oracle, study, tierengine
from heterofleet.simulate.fluid import Pool
from heterofleet.simulate.latency import Capacity, LatencyTable
from heterofleet.simulate.planned import Remembered
from heterofleet.simulate.policies import Choice, Kind
from heterofleet.simulate.study import Case, Outcome, Wanted
from heterofleet.simulate.tierengine import TierEngine
from heterofleet.simulate.trace import MINUTE_SECONDS, Floats, Trace

QUANTILES: Final = (0.975, 0.985, 0.99, 0.995, 0.999)
"""How careful a forecast may be, from the fleet's default on. A less careful one may hold on a trace that was kind, and
no trace says how kind it was."""

_PLANNED: Final = Choice(Kind.PLANNED)
_SCALING: Final = Scaling()


class Engine(NamedTuple):
    """One shape of a tier, measured on the event model."""

    engine: TierEngine
    table: LatencyTable
    capacity: Capacity

    @property
    def work_per_second(self) -> float:
        return self.capacity.work_tokens_per_second

    @property
    def pool(self) -> Pool:
        return study.pool_of(self.engine, self.capacity)


class Alone(NamedTuple):
    """What one tier held and missed by itself."""

    gpu_hours: float
    missed_share: float


@dataclass(frozen=True, slots=True)
class Played:
    """A setting under the operator's own plan."""

    setting: Setting
    fleet: HeterogeneousDeployment
    case: Case
    outcome: Outcome

    @property
    def gpu_hours(self) -> float:
        return self.outcome.run.gpu_hours

    def missed(self, tier: Tier) -> float:
        """Share of a class's requests that missed its objective."""
        return self.outcome.met[tier].missed_share

    def lacking(self) -> tuple[Tier, ...]:
        """Tiers that miss their objective for more requests than it allows."""
        spec = self.fleet.spec
        return tuple(tier for tier in Tier if self.missed(tier) > 1 - spec.tier(tier).objective.attainment)

    @property
    def holds(self) -> bool:
        return not self.lacking()


class Trials:
    """All trials of one load. `trace` and `wishes` do not change; what is asked twice is computed once."""

    def __init__(
        self, trace: Trace, wishes: Wishes, catalogue: Catalogue, wanted: Wanted,
        quantiles: tuple[float, ...] = QUANTILES,
    ) -> None:  # fmt: skip
        self.trace, self.wishes, self.catalogue, self.wanted = trace, wishes, catalogue, wanted
        self.quantiles = quantiles
        self.contexts = {tier: candidates.context(tier, wishes, catalogue) for tier in Tier}
        self._engines: dict[tuple[Tier, Shape], Engine] = {}
        self._foreseen: dict[tuple[Tier, float], Mapping[float, list[Forecast | None]]] = {}
        self._alone: dict[tuple[Tier, Shape, float, int], Alone] = {}

    def engine(self, tier: Tier, shape: Shape) -> Engine:
        """What an instance of that shape carries."""
        if (tier, shape) not in self._engines:
            spec = manifest.tier_spec(self.wishes, tier, shape, self.contexts[tier])
            engine = tierengine.of(tier, spec, self.catalogue)
            table = study.measured(tier, engine, self.trace, self.wanted)
            self._engines[tier, shape] = Engine(engine, table, table.capacity(spec.objective))
        return self._engines[tier, shape]

    def peak_instances(self, tier: Tier, shape: Shape) -> int:
        """Instances that the busiest minute takes, escalations included."""
        capacity = self.engine(tier, shape).work_per_second * MINUTE_SECONDS
        return int(oracle.needed(self._arriving[tier], capacity).max(initial=0))

    def work_per_request(self, tier: Tier) -> float:
        """Work tokens that a request of any class brings to a tier on average, escalations included."""
        requests = sum(float(np.nansum(traffic.requests)) for traffic in self.trace.classes.values())
        return float(self._arriving[tier].sum()) / requests if requests > 0 else 0.0

    def oracle_gpu_hours(self, shapes: Mapping[Tier, Shape]) -> float:
        """What somebody who knows the future holds so that no minute violates, escalations included."""
        hours = 0.0
        for tier, shape in shapes.items():
            counts = oracle.schedule(self._arriving[tier], self.engine(tier, shape).pool)
            hours += float(counts.sum()) * shape.gpus / MINUTE_SECONDS
        return hours

    def alone(self, tier: Tier, shape: Shape, quantile: float, least: int) -> Alone:
        """The tier by itself, with at least so many instances."""
        key = (tier, shape, quantile, least)
        if key not in self._alone:
            self._alone[key] = self._play_alone(*key)
        return self._alone[key]

    def whole(self, setting: Setting) -> Played:
        """The fleet under the operator's own plan."""
        fleet = manifest.fleet(self.wishes, setting, self.contexts)
        engines = {tier: self.engine(tier, setting.shapes[tier]) for tier in Tier}
        case = study.assembled(
            fleet.spec,
            self.trace,
            {tier: each.engine for tier, each in engines.items()},
            {tier: each.table for tier, each in engines.items()},
            self.wanted,
        )
        foreseen = {tier: self._forecasts(tier, engines[tier])[setting.quantile] for tier in Tier}
        return Played(setting, fleet, case, study.play(case, _PLANNED, _ignore, Remembered(foreseen)))

    @cached_property
    def _own(self) -> Mapping[Tier, Floats]:
        """Work of each tier's class a minute, NaN where it is not known."""
        weight = self.wanted.prompt_weight
        return {tier: self.trace.classes[CLASS_OF[tier]].work(weight) for tier in Tier}

    @cached_property
    def _arriving(self) -> Mapping[Tier, Floats]:
        """What reaches each tier a minute, escalations included."""
        large, small = self._own_known[Tier.LARGE], self._own_known[Tier.SMALL]
        return {Tier.LARGE: large + self.wanted.escalation_rate * small, Tier.SMALL: small}

    @cached_property
    def _own_known(self) -> Mapping[Tier, Floats]:
        """Each class's own work a minute, 0 where it is not known."""
        return {tier: np.nan_to_num(work) for tier, work in self._own.items()}

    def _forecasts(self, tier: Tier, engine: Engine) -> Mapping[float, list[Forecast | None]]:
        pool = engine.pool
        window = forecast.window_seconds(pool.startup_minutes * MINUTE_SECONDS, _SCALING.interval_seconds)
        if (tier, window) not in self._foreseen:
            self._foreseen[tier, window] = foreseen(self._own[tier], window, self.quantiles)
        return self._foreseen[tier, window]

    def _play_alone(self, tier: Tier, shape: Shape, quantile: float, least: int) -> Alone:
        engine = self.engine(tier, shape)
        pool = engine.pool
        counts = alone.counts(self._planned_for(tier, engine, quantile), pool.capacity, least)
        if self.wishes.gpus is not None:
            counts = np.minimum(counts, max(1, self.wishes.gpus // shape.gpus))
        run = alone.run(tier, self._arriving[tier], counts, pool)
        track = run.tracks[tier]
        requests = np.nan_to_num(self.trace.classes[CLASS_OF[tier]].requests)
        load = track.served / np.maximum(1, track.ready) / MINUTE_SECONDS
        met = engine.table.met(load, requests, study.delay_seconds(run, tier), self.wishes.objective)
        return Alone(run.gpu_hours, met.missed_share)

    def _planned_for(self, tier: Tier, engine: Engine, quantile: float) -> Floats:
        """Work a minute that is planned for, escalations included."""
        planned = planned_for(self._forecasts(tier, engine)[quantile], self._own_known[tier])
        if tier is Tier.LARGE:
            # What escalates follows the act load, of which the plan has a forecast of its own.
            planned = planned + self.wanted.escalation_rate * self._own_known[Tier.SMALL]
        return planned


def foreseen(
    work: Floats, window_seconds: float, quantiles: tuple[float, ...]
) -> Mapping[float, list[Forecast | None]]:
    """The product's own forecasts of work a minute (NaN where it is not known), at the end of each minute."""
    if not np.nansum(work) > 0:
        nothing: list[Forecast | None] = [Forecast(0.0, 0.0, window_seconds, "EWMA", 1.0, len(work))] * len(work)
        return dict.fromkeys(quantiles, nothing)
    forecaster = Forecaster(window_seconds)
    told: dict[float, list[Forecast | None]] = {quantile: [] for quantile in quantiles}
    for minute, value in enumerate(work.tolist()):
        if value == value:  # noqa: PLR0124  NaN is the one number that does not equal itself
            forecaster.observe(float(MINUTE_SECONDS * minute), value / MINUTE_SECONDS)
        for quantile, made in told.items():
            found = forecaster.forecast(window_seconds, quantile, float(MINUTE_SECONDS * (minute + 1)))
            made.append(found if isinstance(found, Forecast) else None)
    return told


def planned_for(made: Sequence[Forecast | None], work: Floats) -> Floats:
    """Work a minute that is planned for; before the first forecast the load itself."""
    known = np.array([np.nan if each is None else each.upper for each in made]) * MINUTE_SECONDS
    planned: Floats = np.where(np.isnan(known), work, known)
    return planned


def _ignore(_: float) -> None: ...
