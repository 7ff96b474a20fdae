"""Whether a plan by a large model and steps by a small one pay, in tokens of the small model (the source, 1.2 and 1.3).

    all large = (1 + N) c                              one plan and N steps, each at the large model's relative cost c
    mixed     = c + N k,  k = 1 + r + e c + v w        each step once, r again, e by the large model, v seen by a person
    saving    = 1 - mixed / all large                  (c - 1) N / (c (1 + N)) where nothing fails: k = 1

r, e and v are shares of steps (retries, escalations, reviews), and w is what a review costs in steps. The all-large
fleet is charged no retry and no review, which makes the mixed one look worse than it is and never better.

The source's own percentages (62 % at N = 5, 70 % at 10, 75 % at 20) do not follow from its formula, which gives 73.5 %,
80.2 % and 84.0 % at its c = 8.5; the formula is what is used here.
"""

from typing import Final, NamedTuple

MOST: Final = 1e6
"""Of steps, relative cost and a review's steps: beyond, a number was meant for something else."""


class Rates(NamedTuple):
    """What steps on the small model lead to, as shares of steps; `review_steps` is the cost of a review in steps."""

    escalation: float = 0.0
    retry: float = 0.0
    review: float = 0.0
    review_steps: float = 0.0


NOTHING_FAILS = Rates()


class PlanAct(NamedTuple):
    """Costs of one plan and its steps in tokens of a small model, and the share that the mixed fleet saves."""

    all_large: float
    mixed: float
    saving: float


def cost(steps: float, relative_cost: float, rates: Rates = NOTHING_FAILS) -> PlanAct:
    """What a task of one plan and `steps` steps costs both ways. Raises ValueError with what to give instead."""
    checked(steps, relative_cost, rates)
    all_large = (1 + steps) * relative_cost
    mixed = relative_cost + steps * step_cost(relative_cost, rates)
    return PlanAct(all_large, mixed, 1 - mixed / all_large)


def step_cost(relative_cost: float, rates: Rates = NOTHING_FAILS) -> float:
    """k: what a step on the small model costs in the end, with all that follows from it."""
    return 1 + rates.retry + rates.escalation * relative_cost + rates.review * rates.review_steps


def most_saving(relative_cost: float, rates: Rates = NOTHING_FAILS) -> float:
    """What the saving tends to with ever more steps a plan: 1 - k / c, below 0 where no number of steps pays."""
    checked(0, relative_cost, rates)
    return 1 - step_cost(relative_cost, rates) / relative_cost


def steps_for(saving: float, relative_cost: float, rates: Rates = NOTHING_FAILS) -> float | None:
    """The least N at which the mixed fleet saves this share of the money; None where no N does.

    (c - k) N / (c (1 + N)) >= s  is  N >= s c / (c - k - s c). For s = 0 any step pays, or none does: 0, or None.
    Raises ValueError.
    """
    if not 0 <= saving < 1:
        raise ValueError(f"a saving of {saving:g} must be a share, from 0 to below 1: write 0.3 for 30 %")
    room = most_saving(relative_cost, rates) - saving
    return saving / room if room > 0 else None


def break_even_cost(rates: Rates = NOTHING_FAILS) -> float | None:
    """The relative cost above which the mixed fleet pays, whatever N is: c = (1 + r + v w) / (1 - e); None if none is.

    Raises ValueError.
    """
    checked(0, 1, rates)
    return step_cost(0, rates) / (1 - rates.escalation) if rates.escalation < 1 else None


def break_even_escalation(relative_cost: float, rates: Rates = NOTHING_FAILS) -> float:
    """Share of steps that may be asked of the large model again before the mixed fleet saves nothing, whatever N is.

    c = 1 + r + v w + e c, so e = (c - 1 - r - v w) / c; the rates' own escalation is not looked at. Raises ValueError.
    """
    checked(0, relative_cost, rates)
    others = rates._replace(escalation=0.0)
    return max(0.0, most_saving(relative_cost, others))


def never_pays(relative_cost: float, rates: Rates = NOTHING_FAILS) -> str | None:
    """Why no number of steps lets the mixed fleet save anything; None where some do. Raises ValueError."""
    if most_saving(relative_cost, rates) > 0:
        return None
    if relative_cost <= 1:
        return (
            f"a mixed fleet never pays, because a token of the large model costs {relative_cost:g} times one of the"
            " small model: there is nothing to save"
        )
    return (
        f"a mixed fleet never pays at these rates, because a step on the small model comes to"
        f" {step_cost(relative_cost, rates):.2f} with all that follows it, and on the large one to {relative_cost:g}"
    )


def checked(steps: float, relative_cost: float, rates: Rates) -> None:
    """Raises ValueError with the sentence that says what to give."""
    if not 0 <= steps <= MOST:
        raise ValueError(f"{steps:g} steps for a plan: give a number from 0 to {MOST:,.0f}")
    if not 0 < relative_cost <= MOST:
        raise ValueError(
            f"a relative cost of {relative_cost:g}: give what a token of the large model costs over one of the small"
            " one, such as 8.5"
        )
    for name, share in (("escalation", rates.escalation), ("retry", rates.retry), ("review", rates.review)):
        if not 0 <= share <= 1:
            percent = f"; write {share / 100:g} for {share:g} %" if 1 < share <= 100 else ""
            raise ValueError(f"{name} rate {share:g}: give a share of steps from 0 to 1{percent}")
    if not 0 <= rates.review_steps <= MOST:
        raise ValueError(
            f"a review that costs {rates.review_steps:g} steps: give a number from 0 to {MOST:,.0f}, which is its USD"
            " over those of a step on the small model"
        )
