"""What fleets promise and may cost, as gauges beside what they do, so that one rule of Prometheus judges all fleets.

An objective is told by its attainment, its bounds in seconds, and the weights with which buckets count as in time
(`metrics.objective`). What a spec does not bound has no series: a fleet without a budget cannot exceed it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pydantic
from prometheus_client.core import GaugeMetricFamily

from heterofleet.api.labels import FleetKey, Manifest, Tier
from heterofleet.api.scaling import Budget, Objective
from heterofleet.control import gauges
from heterofleet.metrics import objective

_FLEET: Final = ("namespace", "fleet")
_TIER: Final = (*_FLEET, "tier")


@dataclass(frozen=True)
class Promises:
    """What one fleet promises; `usd_per_day` and `gpus` None: no bound."""

    objectives: tuple[tuple[Tier, Objective], ...]
    usd_per_day: float | None
    gpus: int | None


NO_PROMISES: Final = Promises((), None, None)


def of(body: Manifest) -> Promises:
    """What a fleet's spec says; nothing where it cannot be read, which is the reconcile's to say."""
    spec = body.get("spec") or {}
    try:
        return Promises(
            tuple((tier, Objective.model_validate((spec.get(tier) or {}).get("objective") or {})) for tier in Tier),
            Budget.model_validate(spec.get("budget") or {}).usd_per_day,
            (spec.get("scaling") or {}).get("gpuBudget"),
        )
    except pydantic.ValidationError:
        return NO_PROMISES


def families(promised: Mapping[FleetKey, Promises]) -> Iterator[GaugeMetricFamily]:
    """The series of all fleets."""
    yield from _budgets(promised)
    yield from _objectives(promised)
    yield _weights("first_token", promised, lambda met: met.ttft_seconds, objective.FIRST_TOKEN_BOUNDS)
    yield _weights("inter_token", promised, lambda met: met.inter_token_seconds, objective.INTER_TOKEN_BOUNDS)


def _budgets(promised: Mapping[FleetKey, Promises]) -> Iterator[GaugeMetricFamily]:
    money = gauges.family("budget_usd_per_day", "budget.usdPerDay: what the GPUs may cost in any 24 hours.", *_FLEET)
    gpus = gauges.family("budget_gpus", "scaling.gpuBudget: GPUs that the fleet may hold.", *_FLEET)
    for key, fleet in promised.items():
        for family, bound in ((money, fleet.usd_per_day), (gpus, fleet.gpus)):
            if bound is not None:
                family.add_metric([*key], bound)
    yield from (money, gpus)


def _objectives(promised: Mapping[FleetKey, Promises]) -> Iterator[GaugeMetricFamily]:
    attainment = gauges.family("objective_attainment", "Share of requests that shall be in time.", *_TIER)
    first = gauges.family("objective_first_token_seconds", "Time to the first token that is promised.", *_TIER)
    following = gauges.family("objective_inter_token_seconds", "Time between two tokens that is promised.", *_TIER)
    for key, fleet in promised.items():
        for tier, met in fleet.objectives:
            attainment.add_metric([*key, tier], met.attainment)
            first.add_metric([*key, tier], met.ttft_seconds)
            following.add_metric([*key, tier], met.inter_token_seconds)
    yield from (attainment, first, following)


def _weights(
    name: str, promised: Mapping[FleetKey, Promises], seconds: Callable[[Objective], float], bounds: Sequence[float]
) -> GaugeMetricFamily:
    family = gauges.family(
        f"objective_{name}_weight", "How much a bucket of the routers counts as in time.", *_TIER, "le"
    )
    for key, fleet in promised.items():
        for tier, met in fleet.objectives:
            for weight in objective.weights(seconds(met), bounds):
                family.add_metric([*key, tier, weight.le], weight.share)
    return family
