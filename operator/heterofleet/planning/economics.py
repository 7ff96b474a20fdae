"""What a fleet's GPUs and tokens cost (contracts.md, "Money").

Fleet money is GPUs held x USD an hour and bounds the plan; tenant money is tokens x posted price. They are never mixed.
Whether a mixed fleet pays at all is `planact`'s question, and what owning one costs over years `ownership`'s.
"""

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
