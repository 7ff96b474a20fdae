"""What a run was worth, in figures: GPU-hours, money, what was late, and what requests felt.

A minute violates when the work that arrives in it exceeds what is ready to carry it (`fluid`). Shares are of minutes
and of work; delays and latencies are of requests or work, at the quantiles of `latency`. Money is GPUs held x
price.usdPerGpuHour, and None unless both tiers have a price.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

import numpy as np

from heterofleet.api.labels import Tier
from heterofleet.api.scaling import Objective
from heterofleet.planning.situation import CLASS_OF
from heterofleet.simulate import study
from heterofleet.simulate.latency import QUANTILES, Met
from heterofleet.simulate.policies import Kind
from heterofleet.simulate.study import Case, Outcome
from heterofleet.simulate.trace import Floats

_NAMES: Final = tuple(f"p{quantile * 100:g}" for quantile in QUANTILES)


@dataclass(frozen=True, slots=True)
class Figures:
    """One policy's. `over_oracle` is None where the oracle was not asked, `delays` are seconds at `QUANTILES`."""

    policy: str
    gpu_hours: Mapping[Tier, float]
    usd: float | None
    over_oracle: float | None
    violating_minutes: float
    violating_work: float
    delays: tuple[float, ...]
    longest_delay: float
    met: Mapping[Tier, Met]
    changes: int

    @property
    def all_gpu_hours(self) -> float:
        return sum(self.gpu_hours.values())


def figures(case: Case, outcomes: Sequence[Outcome]) -> tuple[Figures, ...]:
    """The figures of each policy, in the order given."""
    best = next((each.run.gpu_hours for each in outcomes if each.choice.kind is Kind.ORACLE), None)
    return tuple(_figures(case, outcome, best) for outcome in outcomes)


def document(case: Case, found: Sequence[Figures]) -> dict[str, Any]:
    """The same for programs, with what the runs were made from."""
    return {
        "trace": {
            "start": case.trace.start.isoformat(),
            "minutes": case.trace.minutes,
            "remarks": list(case.trace.remarks),
        },
        "tiers": {str(tier): _tier(case, tier) for tier in case.pools},
        "policies": [_policy(each) for each in found],
    }


def _figures(case: Case, outcome: Outcome, oracle_hours: float | None) -> Figures:
    run = outcome.run
    hours = run.gpu_hours_by_tier()
    delays, work = _delays(outcome)
    at = _at(delays, work)
    return Figures(
        policy=str(outcome.choice),
        gpu_hours=hours,
        usd=_usd(case, hours),
        over_oracle=run.gpu_hours / oracle_hours if oracle_hours else None,
        violating_minutes=run.violating_share,
        violating_work=run.violating_work_share,
        delays=at,
        longest_delay=float(delays.max(initial=0.0)),
        met=outcome.met,
        changes=sum(int(np.count_nonzero(np.diff(track.ready + track.booting))) for track in run.tracks.values()),
    )


def _delays(outcome: Outcome) -> tuple[Floats, Floats]:
    """Backlog delay of all work, and how much work each stands for."""
    tiers = outcome.run.tracks
    delays = np.concatenate([study.delay_seconds(outcome.run, tier) for tier in tiers])
    return delays, np.concatenate([track.arrived for track in tiers.values()])


def _at(values: Floats, weights: Floats) -> tuple[float, ...]:
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    if not len(values) or below[-1] <= 0:
        return (0.0,) * len(QUANTILES)
    places = np.searchsorted(below, np.array(QUANTILES) * below[-1])
    return tuple(float(values[order[min(int(place), len(values) - 1)]]) for place in places)


def usd_per_gpu_hour(case: Case) -> Mapping[Tier, float] | None:
    """Prices of both tiers; None unless both have one."""
    prices = {tier: case.spec.tier(tier).usd_per_gpu_hour for tier in case.pools}
    known = {tier: price for tier, price in prices.items() if price is not None}
    return known if len(known) == len(prices) else None


def _usd(case: Case, hours: Mapping[Tier, float]) -> float | None:
    prices = usd_per_gpu_hour(case)
    return None if prices is None else sum(hours[tier] * prices[tier] for tier in hours)


def _tier(case: Case, tier: Tier) -> dict[str, Any]:
    engine, capacity, pool = case.engines[tier], case.capacities[tier], case.pools[tier]
    prompt, output = case.trace.classes[CLASS_OF[tier]].mean_tokens()
    work = case.load.arriving[tier]
    return {
        "class": str(CLASS_OF[tier]),
        "engine": engine.profile.name,
        "gpus_per_instance": engine.gpus,
        "startup_seconds": round(engine.startup_seconds, 1),
        "capacity_work_tokens_per_second": round(capacity.work_tokens_per_second, 1),
        "within_objective": capacity.within_objective,
        "objective": _objective(case.spec.tier(tier).objective),
        "mean_prompt_tokens": round(prompt, 1),
        "mean_output_tokens": round(output, 1),
        "mean_instances_needed": round(float(work.mean()) / pool.capacity, 2),
        "peak_instances_needed": round(float(work.max(initial=0.0)) / pool.capacity, 2),
    }


def _objective(objective: Objective) -> dict[str, float]:
    return {
        "ttft_seconds": objective.ttft_seconds,
        "inter_token_seconds": objective.inter_token_seconds,
        "attainment": objective.attainment,
    }


def _policy(found: Figures) -> dict[str, Any]:
    return {
        "policy": found.policy,
        "gpu_hours": round(found.all_gpu_hours, 2),
        "gpu_hours_by_tier": {str(tier): round(hours, 2) for tier, hours in found.gpu_hours.items()},
        "usd": None if found.usd is None else round(found.usd, 2),
        "gpu_hours_over_oracle": None if found.over_oracle is None else round(found.over_oracle, 4),
        "violating_minutes_share": round(found.violating_minutes, 6),
        "violating_work_share": round(found.violating_work, 6),
        "backlog_delay_seconds": {**_quantiles(found.delays), "max": round(found.longest_delay, 3)},
        "classes": {str(CLASS_OF[tier]): _met(met) for tier, met in found.met.items()},
        "count_changes": found.changes,
    }


def _met(met: Met) -> dict[str, Any]:
    return {
        "ttft_seconds": _quantiles(met.first),
        "inter_token_seconds": _quantiles(met.between),
        "missed_objective_share": round(met.missed_share, 6),
    }


def _quantiles(values: Sequence[float]) -> dict[str, float | None]:
    return {name: round(value, 4) if isfinite(value) else None for name, value in zip(_NAMES, values, strict=True)}
