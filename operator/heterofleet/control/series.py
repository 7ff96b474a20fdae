"""What the fleets are, in numbers, read from their stored statuses at each scrape (contracts.md, "Metrics").

A fleet is read again only when its resource changed, so a scrape of a thousand quiet fleets costs nothing but text.
"""

from collections import Counter as Tally
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import pydantic
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from heterofleet.api.conditions import (
    ConditionType,
    FleetStatus,
    InstanceState,
    LastDrain,
    Reason,
    TierStatus,
)
from heterofleet.api.labels import FleetKey, Manifest, Tier
from heterofleet.api.planned import PlannedTier
from heterofleet.api.routing import RequestClass
from heterofleet.api.scaling import Mode
from heterofleet.control import gauges, promises
from heterofleet.control.promises import NO_PROMISES, Promises
from heterofleet.planning.capacity import PROMPT_WEIGHT


class Fleets(Protocol):
    """The part of the cache that is read here."""

    def fleets(self) -> tuple[FleetKey, ...]: ...

    def fleet_version(self, key: FleetKey) -> int: ...

    def fleet(self, key: FleetKey) -> Manifest | None: ...


@dataclass(frozen=True)
class _TierNumbers:
    states: tuple[tuple[InstanceState, int], ...]
    desired: int
    gpus: int
    usd_per_hour: float | None
    capacity: float | None
    planned: PlannedTier | None


@dataclass(frozen=True)
class _FleetNumbers:
    conditions: frozenset[ConditionType]
    tiers: tuple[tuple[Tier, _TierNumbers], ...]
    forecasts: tuple[tuple[RequestClass, float], ...] = ()
    amiss: tuple[tuple[ConditionType, Reason], ...] = ()
    prompt_weight: float = PROMPT_WEIGHT
    is_advisory: bool = False
    last_drain: LastDrain | None = None
    promises: Promises = NO_PROMISES


_NOTHING: Final = _FleetNumbers(frozenset(), ())


class FleetSeries(Collector):
    """Collects the series of all fleets."""

    def __init__(self, fleets: Fleets) -> None:
        self._fleets = fleets
        self._read: dict[FleetKey, tuple[int, _FleetNumbers]] = {}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Conditions over all fleets; instances, GPUs and money of each."""
        numbers = self._numbers()
        conditions: Tally[str] = Tally()
        for fleet in numbers.values():
            conditions.update(fleet.conditions)
        by_condition = gauges.family("fleets", "Fleets whose condition is True.", "condition")
        for condition in ConditionType:
            by_condition.add_metric([condition], conditions[condition])
        yield by_condition
        yield from _of_each(numbers)
        yield from _of_plans(numbers)
        yield from _of_health(numbers)
        yield from promises.families({key: fleet.promises for key, fleet in numbers.items()})

    def _numbers(self) -> dict[FleetKey, _FleetNumbers]:
        read: dict[FleetKey, tuple[int, _FleetNumbers]] = {}
        for key in self._fleets.fleets():
            version = self._fleets.fleet_version(key)
            known = self._read.get(key)
            read[key] = known if known and known[0] == version else (version, _parse(self._fleets.fleet(key)))
        self._read = read
        return {key: numbers for key, (_, numbers) in read.items()}


def _of_each(numbers: dict[FleetKey, _FleetNumbers]) -> Iterator[GaugeMetricFamily]:
    instances = gauges.family("instances", "Instances by state.", "namespace", "fleet", "tier", "state")
    desired = gauges.family("desired_instances", "Instances that should run.", "namespace", "fleet", "tier")
    gpus = gauges.family(
        "gpus_held", "GPUs that pods hold, those that start or stop included.", "namespace", "fleet", "tier"
    )
    money = gauges.family("cost_usd_per_hour", "GPUs held x usdPerGpuHour.", "namespace", "fleet", "tier")
    for key, fleet in numbers.items():
        for tier, held in fleet.tiers:
            for state, count in held.states:
                instances.add_metric([*key, tier, state], count)
            desired.add_metric([*key, tier], held.desired)
            gpus.add_metric([*key, tier], held.gpus)
            if held.usd_per_hour is not None:
                money.add_metric([*key, tier], held.usd_per_hour)
    yield from (instances, desired, gpus, money)


def _of_plans(numbers: dict[FleetKey, _FleetNumbers]) -> Iterator[GaugeMetricFamily]:
    """What the plan of each fleet stands on, and what decided it."""
    of_tier = ("namespace", "fleet", "tier")
    capacity = gauges.family(
        "capacity_tokens_per_second", "Work that one instance carries within its objective, as learned.", *of_tier
    )
    planned = gauges.family("planned_instances", "Instances planned, without warm ones.", *of_tier)
    needed = gauges.family("needed_instances", "Instances that the load asks for, before any bound.", *of_tier)
    bound = gauges.family("plan_bound", "1 for what decided the count.", *of_tier, "reason")
    forecast = gauges.family(
        "forecast_tokens_per_second", "Work that is planned for, margin included.", "namespace", "fleet", "class"
    )
    advised = gauges.family("plan_advised", "1 where the plan is only published: mode Advisory.", "namespace", "fleet")
    weight = gauges.family(
        "prompt_weight", "Work of one prompt token, in tokens of an answer; 0.1 until learned.", "namespace", "fleet"
    )
    for key, fleet in numbers.items():
        if fleet.is_advisory:
            advised.add_metric([*key], 1)
        weight.add_metric([*key], fleet.prompt_weight)
        for tier, held in fleet.tiers:
            if held.capacity is not None:
                capacity.add_metric([*key, tier], held.capacity)
            if held.planned is not None:
                planned.add_metric([*key, tier], held.planned.instances)
                needed.add_metric([*key, tier], held.planned.need)
                bound.add_metric([*key, tier, held.planned.bound], 1)
        for name, rate in fleet.forecasts:
            forecast.add_metric([*key, name], rate)
    yield from (capacity, planned, needed, bound, forecast, weight, advised)


def _of_health(numbers: dict[FleetKey, _FleetNumbers]) -> Iterator[GaugeMetricFamily]:
    """Only what is amiss has a series, so that a thousand healthy fleets add none."""
    amiss = gauges.family(
        "condition_amiss",
        "1 for a condition that is not as it should be, and why.",
        *("namespace", "fleet", "condition", "reason"),
    )
    aborted = gauges.family("last_drain_aborted", "1 if the last drain met its deadline first.", "namespace", "fleet")
    ended = gauges.family("last_drain_timestamp_seconds", "When the last drain ended.", "namespace", "fleet")
    for key, fleet in numbers.items():
        for condition, reason in fleet.amiss:
            amiss.add_metric([*key, condition, reason], 1)
        if (drain := fleet.last_drain) is not None:
            aborted.add_metric([*key], drain.aborted)
            if drain.completed is not None:
                ended.add_metric([*key], drain.completed.timestamp())
    yield from (amiss, aborted, ended)


def _parse(body: Manifest | None) -> _FleetNumbers:
    """A status that cannot be read has no numbers; what is wrong with it is the reconcile's to say."""
    try:
        status = FleetStatus.model_validate((body or {}).get("status") or {})
    except pydantic.ValidationError:
        return _NOTHING
    if body is None or not status.conditions:
        return _NOTHING
    return _FleetNumbers(
        conditions=frozenset(condition.type for condition in status.conditions if condition.status),
        tiers=(
            (Tier.LARGE, _tier(status.large, _price(body, Tier.LARGE), status.plan.large if status.plan else None)),
            (Tier.SMALL, _tier(status.small, _price(body, Tier.SMALL), status.plan.small if status.plan else None)),
        ),
        forecasts=tuple(
            (name, made.tokens_per_second)
            for name, made in ((RequestClass.PLAN, status.forecast.plan), (RequestClass.ACT, status.forecast.act))
            if made is not None
        ),
        amiss=tuple((told.type, told.reason) for told in status.conditions if told.is_amiss),
        is_advisory=body["spec"].get("mode") == Mode.ADVISORY,
        prompt_weight=PROMPT_WEIGHT if status.learned.prompt_weight is None else status.learned.prompt_weight,
        last_drain=status.last_drain,
        promises=promises.of(body),
    )


def _tier(held: TierStatus, price: float | None, planned: PlannedTier | None) -> _TierNumbers:
    """The large tier tells each instance's state; of the small one's pods those that are not ready are starting."""
    if held.instances:
        states = Tally(instance.state for instance in held.instances)
    else:
        starting = max(0, held.desired - held.ready)
        states = Tally(
            {InstanceState.READY: held.ready, InstanceState.STARTING: starting, InstanceState.DRAINING: held.draining}
        )
    cost = None if price is None else price * held.gpus
    counted = tuple((state, states[state]) for state in InstanceState)
    return _TierNumbers(counted, held.desired, held.gpus, cost, held.capacity_tokens_per_second, planned)


def _price(body: Manifest, tier: Tier) -> float | None:
    match body["spec"]:
        case {tier.value: {"price": {"usdPerGpuHour": int() | float() as price}}}:
            return float(price)
        case _:
            return None
