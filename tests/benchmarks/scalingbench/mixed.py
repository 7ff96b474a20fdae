"""A mixed fleet against all-large at the same objective, in GPU-hours at one price a GPU (mission.md, 1.2).

Each unit of plan work brings N units of act work, in the shape of m-small. On the large model a token costs c times
what it costs on the small one, so a GPU of the small tier carries c times the work of one of the large tier's. A share
e of the act work is escalated: done by the small tier, and again by the large one.

    source, with escalations:  (c + N + e N c) / (c (1 + N))          of the all-large fleet's cost
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from benchmarks.scalingbench import fields
from benchmarks.scalingbench.traces import Trace
from heterofleet.api.labels import Tier
from heterofleet.planning import planact
from heterofleet.simulate.fluid import Load, Pool, Run, run
from heterofleet.simulate.planned import Planned

RELATIVE_COST: Final = 18.2
"""Of a token of a 235B MoE against a 4B model, as the source has it."""

LARGE_GPUS: Final = 8
_MEAN: Final = 20
CASES: Final = ((5, 0.0), (5, 0.1), (5, 0.2), (10, 0.1))
FIGURE: Final = (5, 0.1)


@dataclass(frozen=True)
class Mixed:
    """Both fleets at N steps and a rate of escalation."""

    steps: int
    escalation_rate: float
    mixed: Run
    all_large: Run

    def cost_ratio(self, part: slice) -> float:
        return self.mixed.within(part).gpu_hours / self.all_large.within(part).gpu_hours

    @property
    def source(self) -> float:
        """The source's formula, and what escalations add to it."""
        plain = planact.cost(self.steps, RELATIVE_COST)
        escalated = self.escalation_rate * self.steps * RELATIVE_COST
        return (plain.mixed + escalated) / plain.all_large


def hold(large: Trace, small: Trace) -> tuple[Mixed, ...]:
    """Every case; the all-large fleet of a number of steps is run once."""
    everything = {steps: _all_large(large, _act(large, small, steps)) for steps in {steps for steps, _ in CASES}}
    return tuple(
        Mixed(steps, rate, _mixed(large, _act(large, small, steps), rate), everything[steps]) for steps, rate in CASES
    )


def _act(large: Trace, small: Trace, steps: int) -> Trace:
    return replace(small, work=small.work * (steps * large.work.mean() / small.work.mean()))


def _mixed(large: Trace, act: Trace, rate: float) -> Run:
    plan_pool = fields.pool(large, _MEAN, LARGE_GPUS)
    capacity = plan_pool.capacity / LARGE_GPUS * RELATIVE_COST
    pools = {
        Tier.LARGE: plan_pool,
        Tier.SMALL: Pool(capacity, act.startup_minutes, int(np.ceil(act.work[0] / capacity))),
    }
    load = fields.load({Tier.LARGE: large, Tier.SMALL: act}, rate)
    policy = Planned(fields.spec(spillOver=False), pools, escalation_rate=rate)
    return run(load, pools, policy)


def _all_large(large: Trace, act: Trace) -> Run:
    both = large.work + act.work
    plan_pool = fields.pool(large, _MEAN, LARGE_GPUS)
    first = int(np.ceil(both[0] / plan_pool.capacity))
    pools = {Tier.LARGE: replace(plan_pool, first=first), Tier.SMALL: Pool(plan_pool.capacity, 1, 0)}
    load = Load({Tier.LARGE: both, Tier.SMALL: np.zeros(len(both))}, {Tier.LARGE: large.seen & act.seen})
    return run(load, pools, Planned(fields.spec(spillOver=False), pools))
