"""What the money of the last 24 hours comes to against `budget.usdPerDay`, as a condition says it."""

from heterofleet.api.conditions import Reason
from heterofleet.api.scaling import Budget

NO_BUDGET = "no budget of money is set"


def verdict(budget: Budget, spent_usd: float | None) -> tuple[Reason, str]:
    """The reason and sentence of BudgetExceeded."""
    if budget.usd_per_day is None:
        return Reason.WITHIN_BUDGET, NO_BUDGET
    if spent_usd is None:
        sentence = f"what the last 24 hours cost is not known: counts stay below an even share of {_usd(budget)} a day"
        return Reason.WITHIN_BUDGET, sentence
    cost = f"the GPUs of the last 24 hours cost {spent_usd:.0f} of {_usd(budget)}"
    if spent_usd >= budget.usd_per_day:
        return Reason.MONEY_BUDGET, f"{cost}: {budget.when_hard} holds until the 24 hours have rolled on"
    if spent_usd >= budget.soft_fraction * budget.usd_per_day:
        return Reason.BUDGET_SOFT, f"{cost}, more than {budget.soft_fraction:.0%}: {budget.when_soft} holds"
    return (
        Reason.WITHIN_BUDGET,
        f"the GPUs of the last 24 hours cost less than {budget.soft_fraction:.0%} of {_usd(budget)}",
    )


def _usd(budget: Budget) -> str:
    return f"{budget.usd_per_day:.0f} USD"
