"""What the runs of a contest share: fleets of the product, pools, and forecasts made once for all quantiles."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import numpy as np

from benchmarks.scalingbench.traces import Trace
from heterofleet.api.labels import Tier
from heterofleet.api.v1alpha1 import FleetSpec
from heterofleet.planning.forecast import Forecaster
from heterofleet.planning.situation import Forecast
from heterofleet.simulate import oracle
from heterofleet.simulate.fluid import Load, Pool

QUANTILES: Final = (
    0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.965, 0.975, 0.98, 0.985, 0.99, 0.993, 0.996, 0.999,
)  # fmt: skip
DEFAULT_QUANTILE: Final = 0.975

Forecasts = Mapping[float, Sequence[Forecast | None]]

_NO_LOAD: Final = Forecast(0.0, 0.0, 60.0, "LastValue", 1.0, 1)


def spec(quantile: float = DEFAULT_QUANTILE, most: Mapping[Tier, int] | None = None, **scaling: Any) -> FleetSpec:
    """A fleet in its default configuration, but for the quantile and what is named; its tiers may have any count."""
    bounds = most or dict.fromkeys(Tier, 1000)
    return FleetSpec.model_validate(
        {
            "large": {
                "model": {"source": "hf://Qwen/Qwen3-235B-A22B"},
                "parallelism": {"tensor": 8},
                "instances": {"min": 0, "max": bounds[Tier.LARGE]},
            },
            "small": {
                "model": {"source": "hf://Qwen/Qwen3-4B"},
                "instances": {"min": 0, "max": bounds[Tier.SMALL]},
            },
            "scaling": {"forecast": {"quantile": quantile}} | scaling,
        }
    )


def pool(trace: Trace, mean_instances: float, gpus: int = 1) -> Pool:
    """Instances of which the mean demand takes so many; as many are ready first as the first minute takes."""
    capacity = float(trace.work.mean()) / mean_instances
    return Pool(capacity, trace.startup_minutes, int(oracle.needed(trace.work[:1], capacity)[0]), gpus=gpus)


def load(traces: Mapping[Tier, Trace], escalation_rate: float = 0.0) -> Load:
    """The work of both tiers, in the order of tiers, over the minutes that both have."""
    shortest = min(len(trace.work) for trace in traces.values())
    work = {tier: traces[tier].work[:shortest] for tier in Tier if tier in traces}
    return Load(work, {tier: traces[tier].seen[:shortest] for tier in work}, escalation_rate)


@cache
def _forecasts(name: str, work: bytes, seen: bytes, window_seconds: float) -> Forecasts:
    del name
    values, known = np.frombuffer(work), np.frombuffer(seen, dtype=np.bool_)
    forecaster = Forecaster(window_seconds)
    made: dict[float, list[Forecast | None]] = {quantile: [] for quantile in QUANTILES}
    for minute, (value, here) in enumerate(zip(values.tolist(), known.tolist(), strict=True)):
        if here:
            forecaster.observe(60.0 * minute, value / 60.0)
        for quantile in QUANTILES:
            found = forecaster.forecast(window_seconds, quantile, 60.0 * (minute + 1))
            made[quantile].append(found if isinstance(found, Forecast) else None)
    return made


def forecasts(trace: Trace) -> Forecasts:
    """What the product forecasts after each minute, by quantile; over start-up and the interval of a plan."""
    window_seconds = 60.0 * (trace.startup_minutes + 1)
    return _forecasts(trace.name, trace.work.tobytes(), trace.seen.tobytes(), window_seconds)


def no_load(minutes: int) -> Sequence[Forecast | None]:
    """The forecast of a tier that nobody asks."""
    return [_NO_LOAD] * minutes
