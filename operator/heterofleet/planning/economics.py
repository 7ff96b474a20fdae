"""What a fleet's GPUs and tokens cost, and what a mixed fleet saves (contracts.md, "Money"; mission.md, 1.2).

Fleet money is GPUs held x USD an hour and bounds the plan; tenant money is tokens x posted price. They are never mixed.

Of the source's cost model: a task of one plan and N steps costs (1 + N) c on large models alone and c + N on a mixed
fleet, in tokens of a small model and with c the large one's relative cost. So the mixed fleet saves
(c - 1) N / (c (1 + N)). The source's own percentages (62 % at N = 5) do not follow from its formula (73.5 % at
c = 8.5), which is what is used here.
"""

from math import inf
from typing import Final, NamedTuple

DAY_HOURS: Final = 24

_AHEAD_HOURS: Final = 1.0
"""Time for which a plan must be affordable while nothing of the last day's money is assumed to leave the window."""

_RISE: Final = 1.25
"""A rise must be affordable for so much longer than what runs, so that money on an edge moves no instance."""


class Posted(NamedTuple):
    """Posted price of a tier's tokens, in USD a million."""

    prompt: float
    completion: float


class PlanAct(NamedTuple):
    """Costs of one plan and its steps in tokens of a small model, and the share that the mixed fleet saves."""

    all_large: float
    mixed: float
    saving: float


def usd_per_hour(gpus: float, usd_per_gpu_hour: float) -> float:
    """Fleet money of GPUs that are held."""
    return gpus * usd_per_gpu_hour


def affordable_usd_per_hour(usd_per_day: float, spent_usd: float | None, in_force_usd_per_hour: float) -> float:
    """The highest hourly price under which the last 24 hours' money stays below the budget.

    `spent_usd` is that money now. While it is not known the price in force may stay, or be an even share of the day.
    """
    if spent_usd is None:
        return max(usd_per_day / DAY_HOURS, in_force_usd_per_hour)
    allowed = max(0.0, usd_per_day - spent_usd) / _AHEAD_HOURS
    return min(allowed, max(in_force_usd_per_hour, allowed / _RISE))


def posted_usd(prompt_tokens: float, completion_tokens: float, price: Posted) -> float:
    """Tenant money of these tokens."""
    return (prompt_tokens * price.prompt + completion_tokens * price.completion) / 1e6


def usd_per_token(fleet_usd: float, completion_tokens: float) -> float | None:
    """Fleet money for each token that was answered; None where none was."""
    return fleet_usd / completion_tokens if completion_tokens > 0 else None


def savings_ratio(fleet_usd: float, all_large_usd: float) -> float | None:
    """Share saved of what the same tokens would have cost at the large tier's cost; below 0 where nothing was."""
    return 1 - fleet_usd / all_large_usd if all_large_usd > 0 else None


def plan_act(steps: float, relative_cost: float) -> PlanAct:
    """The source's Plan/Act model for N `steps` and the large model's `relative_cost` c.

    Raises ValueError for a cost that is not above 0 or steps below 0.
    """
    if not (0 < relative_cost < inf and 0 <= steps < inf):
        raise ValueError(f"relative cost {relative_cost:g} must be above 0 and steps {steps:g} not below 0")
    all_large = (1 + steps) * relative_cost
    mixed = relative_cost + steps
    return PlanAct(all_large, mixed, 1 - mixed / all_large)


def break_even_escalation(relative_cost: float) -> float:
    """Share of steps that may be asked of the large model again before the mixed fleet saves nothing.

    Each costs c more: c + N + e N c = (1 + N) c, so e = (c - 1) / c, whatever N is.
    """
    return max(0.0, (relative_cost - 1) / relative_cost) if relative_cost > 0 else 0.0
