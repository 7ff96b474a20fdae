"""Does a mixed fleet pay for this load, and why: the source document's section 1.3, with figures in place of words.

    for       N > 3 steps a plan, answers above 1,000 tokens, batches of independent tasks, interactive use
    against   nothing to execute or nothing to plan, answers that must be alike, escalations above the break-even

The money decides: what the mixed fleet saves in the simulator over large instances alone, at least `WORTH`. Beside it
stands what the formula of section 1.2 says for the same N and c, c being the GPUs that a unit of large work takes over
those of a small one. Escalated steps cost c more each, so that nothing is saved from (c - 1) / c of them on.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Final, NamedTuple

from heterofleet.planning import planact
from heterofleet.recommend.loadprofile import LoadProfile

WORTH: Final = 0.05
"""Share of the money below which a second model, a router and their operation are not worth it."""

_FEW_STEPS: Final = 3
_LONG_ANSWER: Final = 1000


class Quality(StrEnum):
    """How alike answers must be, whichever model gives them."""

    USUAL = "usual"
    STRICT = "strict"


class Mark(StrEnum):
    FOR = "for"
    AGAINST = "against"
    NEITHER = "neither"


class Reason(NamedTuple):
    mark: Mark
    topic: str
    sentence: str


class Money(NamedTuple):
    """GPU-hours of both fleets over the load, all large None where no such fleet holds it, and c."""

    mixed_gpu_hours: float
    all_large_gpu_hours: float | None
    relative_cost: float

    @property
    def saving(self) -> float | None:
        """Share of the all-large fleet's money."""
        return None if self.all_large_gpu_hours is None else 1 - self.mixed_gpu_hours / self.all_large_gpu_hours


@dataclass(frozen=True, slots=True)
class Verdict:
    """`formula_saving` is None where nothing plans; `reasons` are in the order in which they weigh."""

    pays: bool
    sentence: str
    reasons: tuple[Reason, ...]
    formula_saving: float | None
    break_even_escalation: float


def judge(profile: LoadProfile, money: Money, quality: Quality) -> Verdict:
    """Weigh the reasons; the sentence names the one that decides."""
    break_even = planact.break_even_escalation(money.relative_cost)
    formula = _formula(profile, money.relative_cost)
    against = _decides_against(profile, money, quality, break_even)
    reasons = (
        _saving(money, formula, profile.steps),
        _steps(profile.steps),
        _escalation(profile, break_even),
        _answers(profile.output_tokens),
        _use(profile),
        _alike(quality),
    )
    sentence = against if against is not None else _pays(money)
    return Verdict(against is None, sentence, reasons, formula, break_even)


def _decides_against(profile: LoadProfile, money: Money, quality: Quality, break_even: float) -> str | None:
    if not isfinite(profile.steps):
        return "A mixed fleet does not pay: nothing plans, so the small model alone serves this load."
    if profile.steps == 0:
        return "A mixed fleet does not pay: nothing is left to execute, so that every request is the large model's."
    if quality is Quality.STRICT:
        return (
            "A mixed fleet is not for answers that must be alike whichever model gives them: use the large one alone."
        )
    if money.relative_cost <= 1:
        return (
            "A mixed fleet never pays with these models: work of the large one takes no more GPUs than that of the"
            f" small one (c = {money.relative_cost:.2g})."
        )
    if profile.escalation >= break_even:
        return (
            f"A mixed fleet does not pay: {profile.escalation:.0%} of steps escalate, and from {break_even:.0%} on"
            " doing them twice costs more than the small model saves."
        )
    if money.saving is not None and money.saving < WORTH:
        return f"A mixed fleet does not pay: it saves {money.saving:.0%}, which a second model and a router eat up."
    return None


def _pays(money: Money) -> str:
    if money.saving is None:
        return "A mixed fleet pays: large instances alone do not hold this load at all."
    return f"A mixed fleet pays: it takes {money.saving:.0%} fewer GPU-hours than large instances alone."


def _formula(profile: LoadProfile, relative_cost: float) -> float | None:
    return planact.cost(profile.steps, relative_cost).saving if isfinite(profile.steps) else None


def _saving(money: Money, formula: float | None, steps: float) -> Reason:
    mixed = f"{money.mixed_gpu_hours:,.0f} GPU-hours mixed"
    if money.all_large_gpu_hours is None:
        return Reason(Mark.FOR, "saving", f"{mixed}; large instances alone do not keep the objective")
    told = f"{mixed}, {money.all_large_gpu_hours:,.0f} with large instances alone, in the simulator"
    if formula is not None:
        told += f"; the formula says {formula:.0%} for N = {steps:.1f} and c = {money.relative_cost:.1f}"
    saving = money.saving
    return Reason(Mark.FOR if saving is not None and saving >= WORTH else Mark.AGAINST, "saving", told)


def _steps(steps: float) -> Reason:
    if not isfinite(steps):
        return Reason(Mark.AGAINST, "steps", "no request plans")
    if steps > _FEW_STEPS:
        return Reason(Mark.FOR, "steps", f"{steps:.1f} steps for each plan, more than {_FEW_STEPS}")
    return Reason(Mark.AGAINST, "steps", f"{steps:.1f} steps for each plan; it pays best above {_FEW_STEPS}")


def _escalation(profile: LoadProfile, break_even: float) -> Reason:
    known = "measured" if profile.escalation_measured else "assumed, since nobody has measured it"
    told = f"{profile.escalation:.1%} of steps escalate ({known}); nothing is saved from {break_even:.0%} on"
    if profile.escalation >= break_even:
        return Reason(Mark.AGAINST, "escalation", told)
    return Reason(Mark.FOR if profile.escalation_measured else Mark.NEITHER, "escalation", told)


def _answers(tokens: float) -> Reason:
    told = f"{tokens:,.0f} tokens in a mean answer"
    if tokens > _LONG_ANSWER:
        return Reason(Mark.FOR, "answers", f"{told}, more than {_LONG_ANSWER:,}: decoding is what costs")
    return Reason(Mark.NEITHER, "answers", f"{told}; what a token saves counts more above {_LONG_ANSWER:,}")


def _use(profile: LoadProfile) -> Reason:
    if profile.batch:
        return Reason(Mark.FOR, "use", "batch: independent tasks fill the batches of small instances")
    return Reason(Mark.FOR, "use", "interactive: small instances answer steps sooner")


def _alike(quality: Quality) -> Reason:
    if quality is Quality.STRICT:
        return Reason(Mark.AGAINST, "quality", "answers must be alike, and two models never are")
    return Reason(Mark.NEITHER, "quality", "answers may differ between models; poor ones escalate")
