"""One fleet under one trace, steered by each of several policies: what a simulation does.

    fleet + trace + engines -> Case (the load by tier, what an instance carries)   `prepare`
    Case + policy           -> Outcome (what was held, late and felt)              `play`

Minutes run through the fluid of `fluid`; what requests feel is looked up in the table of `latency`. The same case and
policy give the same outcome, in every bit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil, inf
from typing import Final

import numpy as np

from heterofleet.api.labels import Tier
from heterofleet.api.v1alpha1 import FleetSpec
from heterofleet.planning.situation import CLASS_OF
from heterofleet.simulate import fluid, latency, policies
from heterofleet.simulate.fluid import Fleet, Independent, Load, Policy, Pool, Run
from heterofleet.simulate.latency import Capacity, LatencyTable, Met
from heterofleet.simulate.planned import Foresight, Planned
from heterofleet.simulate.policies import Choice, Kind
from heterofleet.simulate.story import Story, Teller
from heterofleet.simulate.tierengine import TierEngine
from heterofleet.simulate.trace import MINUTE_SECONDS, PROMPT_WEIGHT, Floats, Trace

DRAIN_MINUTES: Final = 1
"""A drain ends with the longest answer under way, which is a minute at most in nearly all traffic."""

_MEAN_TOKENS: Final = (500.0, 200.0)
"""Of a class of which the trace has no request."""

Progress = Callable[[float], None]
"""Is told the share that is done."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a case is to be made."""

    prompt_weight: float = PROMPT_WEIGHT
    mean_instances: float | None = None
    """The trace is scaled until each tier needs so many on average; as it is where None."""
    load_factor: float = 1.0
    escalation_rate: float = 0.0
    """Work that the large tier gets for each unit of act work, since the small answer was not good enough."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """All that runs are made from. `work` is in work tokens a minute, 0 where it is not `known`."""

    spec: FleetSpec
    trace: Trace
    engines: Mapping[Tier, TierEngine]
    tables: Mapping[Tier, LatencyTable]
    capacities: Mapping[Tier, Capacity]
    pools: Mapping[Tier, Pool]
    load: Load


@dataclass(frozen=True)
class Outcome:
    """What one policy did, and what requests felt of it. `story` is the product's alone."""

    choice: Choice
    run: Run
    met: Mapping[Tier, Met]
    story: Story | None


def prepare(
    spec: FleetSpec, trace: Trace, engines: Mapping[Tier, TierEngine], wanted: Wanted, progress: Progress
) -> Case:
    """Measure the engines on the event model, and bring the trace to the fleet's size."""
    tables = {}
    for done, (tier, engine) in enumerate(engines.items(), start=1):
        tables[tier] = measured(tier, engine, trace, wanted)
        progress(done / len(engines))
    return assembled(spec, trace, engines, tables, wanted)


def measured(tier: Tier, engine: TierEngine, trace: Trace, wanted: Wanted) -> LatencyTable:
    """What the event model says of a tier's engine under requests as long as those of its class."""
    tokens = trace.classes[CLASS_OF[tier]].mean_tokens()
    prompt, output = tokens if tokens[1] > 0 else _MEAN_TOKENS
    return latency.table(engine.profile, prompt, output, wanted.prompt_weight, wanted.seed)


def assembled(
    spec: FleetSpec,
    trace: Trace,
    engines: Mapping[Tier, TierEngine],
    tables: Mapping[Tier, LatencyTable],
    wanted: Wanted,
) -> Case:
    """The case of engines that were measured before."""
    capacities = {tier: table.capacity(spec.tier(tier).objective) for tier, table in tables.items()}
    pools = {tier: pool_of(engines[tier], capacities[tier]) for tier in engines}
    sized = trace.scaled({CLASS_OF[tier]: _factor(trace, tier, pools[tier], wanted) for tier in pools})
    return Case(spec, sized, engines, tables, capacities, pools, _load(sized, pools, wanted))


def play(case: Case, choice: Choice, progress: Progress, foresight: Foresight | None = None) -> Outcome:
    """Let one policy steer the fleet through the trace; the product's forecasts may be there from an earlier run."""
    bounds = {tier: case.spec.tier(tier).instances for tier in case.pools}
    work = case.load.arriving
    budget = case.spec.scaling.gpu_budget if choice.bounded else None
    first = {tier: policies.begins_with(choice, pool, work[tier], bounds[tier]) for tier, pool in case.pools.items()}
    pools = _beginning(case.pools, first, budget)
    teller = Teller(_planned(case, pools, foresight)) if choice.kind is Kind.PLANNED else None
    policy: Policy = teller or Independent(
        {tier: policies.peer(choice, pool, work[tier], bounds[tier]) for tier, pool in pools.items()}
    )
    spills = case.spec.router.queue.spill_over and choice.kind is not Kind.ORACLE
    watched = _Watched(policy, case.load.minutes, progress)
    run = fluid.run(case.load, pools, watched, spill_over=spills, gpu_budget=budget)
    return Outcome(choice, run, _met(case, run), teller.story() if teller is not None else None)


@dataclass(frozen=True, slots=True)
class _Watched:
    """A policy whose progress is told, a hundred times a run."""

    policy: Policy
    minutes: int
    progress: Progress

    def decide(self, fleet: Fleet) -> Mapping[Tier, int]:
        minute = next(iter(fleet.values())).minute + 1
        if minute % max(1, self.minutes // 100) == 0:
            self.progress(minute / self.minutes)
        return self.policy.decide(fleet)


def _planned(case: Case, pools: Mapping[Tier, Pool], foresight: Foresight | None) -> Planned:
    return Planned(case.spec, pools, foresight, case.trace.start, case.load.escalation_rate)


def _beginning(pools: Mapping[Tier, Pool], first: Mapping[Tier, int], budget: int | None) -> Mapping[Tier, Pool]:
    """The pools with the instances that are ready at the beginning, within the budget: the large tier's come first."""
    left, begun = inf if budget is None else budget, {}
    for tier, pool in pools.items():
        ready = int(min(first[tier], left // pool.gpus)) if left < inf else first[tier]
        begun[tier], left = replace(pool, first=ready), left - ready * pool.gpus
    return begun


def pool_of(engine: TierEngine, capacity: Capacity) -> Pool:
    """Instances of that engine, as the fluid has them."""
    return Pool(
        capacity=capacity.work_tokens_per_second * MINUTE_SECONDS,
        startup_minutes=max(1, ceil(engine.startup_seconds / MINUTE_SECONDS)),
        drain_minutes=DRAIN_MINUTES,
        gpus=engine.gpus,
    )


def _factor(trace: Trace, tier: Tier, pool: Pool, wanted: Wanted) -> float:
    if wanted.mean_instances is None:
        return wanted.load_factor
    mean = float(np.nanmean(trace.classes[CLASS_OF[tier]].work(wanted.prompt_weight)))
    return wanted.mean_instances * pool.capacity / mean if mean > 0 else 1.0


def _load(trace: Trace, pools: Mapping[Tier, Pool], wanted: Wanted) -> Load:
    work = {tier: trace.classes[CLASS_OF[tier]].work(wanted.prompt_weight) for tier in pools}
    return Load(
        arriving={tier: np.nan_to_num(series) for tier, series in work.items()},
        seen={tier: np.isfinite(series) for tier, series in work.items()},
        escalation_rate=wanted.escalation_rate,
    )


def _met(case: Case, run: Run) -> Mapping[Tier, Met]:
    """Latencies of each class. Act work that idle large instances take is looked up at its own tier's load."""
    met = {}
    spilled = spilled_work(case, run)
    for tier, table in case.tables.items():
        track = run.tracks[tier]
        own = track.served + (spilled if tier is Tier.LARGE else -spilled)
        load = own / np.maximum(1, track.ready) / MINUTE_SECONDS
        requests = np.nan_to_num(case.trace.classes[CLASS_OF[tier]].requests)
        met[tier] = table.met(load, requests, delay_seconds(run, tier), case.spec.tier(tier).objective)
    return met


def spilled_work(case: Case, run: Run) -> Floats:
    """Act work that large instances took, in work tokens a minute: the small tier serves what it can by itself."""
    track = run.tracks[Tier.SMALL]
    spilled: Floats = np.maximum(0.0, track.served - track.ready * case.pools[Tier.SMALL].capacity)
    return spilled


def delay_seconds(run: Run, tier: Tier) -> Floats:
    """How long work that arrives in the middle of each minute waits for what came before it.

    Within a minute work is served at a steady pace. What still waits at the end counts as served then.
    """
    track = run.tracks[tier]
    minutes = np.arange(len(track.arrived))
    done = np.concatenate([[0.0], np.cumsum(track.served)])
    due = np.cumsum(track.arrived) - track.arrived / 2
    served_at = np.interp(due, done, np.arange(len(done)))
    delay: Floats = np.maximum(0.0, served_at - minutes - 0.5) * MINUTE_SECONDS
    # Below this the interpolation tells its own rounding.
    delay[(delay < 1e-3) | (track.arrived <= 0)] = 0.0
    return delay
