"""Decides when an error budget burns too fast, by two windows each (Google, The Site Reliability Workbook, chapter 5).

    budget = 1 - attainment          burn = share of bad ones / budget

    critical   14.4 budgets over 1 h and 5 min, or 6 over 6 h and 30 min: 2 % and 5 % of a month's budget are gone
    warning    3 budgets over 1 d and 2 h, or 1 over 3 d and 6 h: 10 % of it are gone

The long window says that it matters, the short one that it goes on, so that an alert ends soon after its cause. A tier
whose attainment is below 1 - 1/14.4 (0.93) cannot burn 14.4 budgets; the slower pairs judge it.
"""

from typing import Final, NamedTuple

from heterofleet.metrics import ratios


class Pair(NamedTuple):
    """Burn that alerts, if both windows of `ratios.BURN_WINDOWS` have it."""

    factor: float
    long: str
    short: str


PAIRS: Final = {
    "critical": (Pair(14.4, "1h", "5m"), Pair(6, "6h", "30m")),
    "warning": (Pair(3, "1d", "2h"), Pair(1, "3d", "6h")),
}
"""By the severity of the alert."""


def expression(ratio: str, severity: str, *, by_tier: bool) -> str:
    """True while the share `ratio` burns the budget of its tier; of a whole fleet, the stricter tier's."""
    strict = ratios.ERROR_BUDGET if by_tier else f"min by (namespace, fleet) ({ratios.ERROR_BUDGET})"
    return " or ".join(
        f"({ratio}{pair.long} > {pair.factor:g} * {strict} and {ratio}{pair.short} > {pair.factor:g} * {strict})"
        for pair in PAIRS[severity]
    )
