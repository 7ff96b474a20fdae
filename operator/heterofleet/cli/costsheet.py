"""What the same work costs on large models alone, on small ones alone, and on the mixed fleet: a table of three rows.

Pure. The rows come from inputs (`planact`), from a running fleet's status, or from a simulated trace; whichever it was,
money is GPUs held x USD an hour or a posted price a token, and never both in one row.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final, NamedTuple

from heterofleet.planning import economics, planact
from heterofleet.planning.planact import Rates

ALL_LARGE: Final = "all large"
ALL_SMALL: Final = "all small"
MIXED: Final = "mixed"

DAY_SECONDS: Final = 86_400
_WORTHWHILE: Final = 0.3
"""A saving for which people run a second tier; the sentence on N names the one from which it is reached."""


_MOST_LATE: Final = 0.05
"""Of a trace's work: with more of it late, a fleet is cheap because it does not do what it is paid for."""


class Row(NamedTuple):
    """One way of serving; None is not known. `task_cost` is in steps of the small model."""

    system: str
    task_cost: float | None = None
    gpus: float | None = None
    usd_per_million_tokens: float | None = None
    usd_per_day: float | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """`basis` says in a sentence what the figures are of; `saving` is the mixed fleet's against all large."""

    basis: str
    rows: tuple[Row, ...]
    saving: float | None
    sentences: tuple[str, ...] = ()


class Inputs(NamedTuple):
    """A load in the terms of the source. `usd_per_million` is what a million tokens of the small model cost."""

    steps: float
    relative_cost: float
    rates: Rates = planact.NOTHING_FAILS
    usd_per_million: float | None = None
    million_tokens_a_day: float | None = None


def of_inputs(inputs: Inputs) -> Sheet:
    """The source's Plan/Act model of these inputs. Raises ValueError with what to give instead."""
    made = planact.cost(inputs.steps, inputs.relative_cost, inputs.rates)
    tasks = {ALL_LARGE: made.all_large, ALL_SMALL: 1 + inputs.steps, MIXED: made.mixed}
    load = f"Tasks of one plan and N = {inputs.steps:g} steps"
    basis = f"{load}; a large token costs c = {inputs.relative_cost:.4g} small ones."
    rows = tuple(_row(name, cost, inputs) for name, cost in tasks.items())
    return Sheet(basis, rows, made.saving, tuple(_told(inputs, made.saving)))


def _row(system: str, task_cost: float, inputs: Inputs) -> Row:
    if inputs.usd_per_million is None:
        return Row(system, task_cost)
    usd = task_cost / (1 + inputs.steps) * inputs.usd_per_million
    a_day = None if inputs.million_tokens_a_day is None else usd * inputs.million_tokens_a_day
    return Row(system, task_cost, usd_per_million_tokens=usd, usd_per_day=a_day)


def _told(inputs: Inputs, saving: float) -> Iterator[str]:
    c, rates = inputs.relative_cost, inputs.rates
    most, never = planact.most_saving(c, rates), planact.never_pays(c, rates)
    if never is not None:
        yield f"{never[0].upper()}{never[1:]}."
    elif inputs.steps == 0:
        yield "Nothing is saved, because N = 0: where everything plans, the large model does it all."
    else:
        yield f"The mixed fleet saves {saving:.1%}; with ever more steps a plan it would save {most:.1%}."
        enough = planact.steps_for(_WORTHWHILE, c, rates)
        if enough is not None:
            yield f"It saves {_WORTHWHILE:.0%} from N = {enough:.3g} on."
    least = planact.break_even_cost(rates)
    if least is None:
        yield "At these rates it pays at no relative cost: every step is done again by the large model."
    else:
        yield f"At these rates it pays where a large token costs more than c = {least:.3g} small ones."
    if most > 0:
        yield f"Up to {planact.break_even_escalation(c, rates):.1%} of steps may escalate before nothing is saved."


class Held(NamedTuple):
    """One tier of a running fleet: GPUs held and of one instance, USD a GPU hour, work tokens a second of one."""

    gpus: float
    gpus_per_instance: int
    usd_per_gpu_hour: float
    capacity: float | None
    least: int = 0


class Load(NamedTuple):
    """What is planned for and what is likely, in work tokens a second; `lacking` names tiers held below their need."""

    foreseen: float | None
    expected: float | None
    lacking: str = ""


def of_fleet(basis: str, large: Held, small: Held, load: Load) -> Sheet:
    """What a running fleet costs, beside fleets of one model that would carry the same load."""
    foreseen, expected, lacking = load
    mixed = _usd_per_hour(large) + _usd_per_hour(small)
    held = large.gpus + small.gpus
    rows = [_fleet_row(MIXED, held, mixed, expected)]
    alone = {ALL_LARGE: _alone(large, foreseen), ALL_SMALL: _alone(small, foreseen)}
    for (name, gpus), tier in zip(alone.items(), (large, small), strict=True):
        usd = None if gpus is None else economics.usd_per_hour(gpus, tier.usd_per_gpu_hour)
        rows.append(_fleet_row(name, gpus, usd, expected))
    by_name = {row.system: row for row in rows}
    all_large = by_name[ALL_LARGE].usd_per_day
    saving = None if all_large is None else economics.savings_ratio(mixed * economics.DAY_HOURS, all_large)
    told = _compared(saving)
    if lacking:
        told.append(
            f"It has fewer instances than its load needs ({lacking}), and is held against fleets that have enough."
        )
    return Sheet(basis, tuple(by_name[name] for name in (ALL_LARGE, ALL_SMALL, MIXED)), saving, tuple(told))


class Played(NamedTuple):
    """The three over a trace of so many days and work tokens; `late` is the share that the mixed fleet left waiting."""

    gpu_hours: Mapping[str, float]
    usd: Mapping[str, float]
    days: float
    work: float
    late: float


def of_trace(basis: str, played: Played) -> Sheet:
    """What each of the three costs on the trace. A mixed fleet that does not carry it is not said to save anything."""
    gpu_hours, usd, days, work, late = played
    rows = tuple(
        Row(
            name,
            gpus=gpu_hours[name] / days / economics.DAY_HOURS,
            usd_per_million_tokens=usd[name] / work * 1e6 if work > 0 else None,
            usd_per_day=usd[name] / days,
        )
        for name in (ALL_LARGE, ALL_SMALL, MIXED)
    )
    if late > _MOST_LATE:
        sentence = (
            f"The mixed fleet does not carry this load: {late:.0%} of the work comes while its instances are too few,"
            " so that its money is not compared. Raise instances.max of its tiers, or scaling.gpuBudget."
        )
        return Sheet(basis, rows, None, (sentence,))
    saving = economics.savings_ratio(usd[MIXED], usd[ALL_LARGE])
    return Sheet(basis, rows, saving, tuple(_compared(saving)))


def _compared(saving: float | None) -> list[str]:
    if saving is None:
        return []
    if saving >= 0:
        return [f"The mixed fleet saves {saving:.1%} against large models alone."]
    return [f"The mixed fleet costs {-saving:.1%} more than large models alone."]


def _usd_per_hour(tier: Held) -> float:
    return economics.usd_per_hour(tier.gpus, tier.usd_per_gpu_hour)


def _alone(tier: Held, foreseen: float | None) -> float | None:
    if foreseen is None or not tier.capacity:
        return None
    return max(1, tier.least, ceil(foreseen / tier.capacity)) * tier.gpus_per_instance


def _fleet_row(name: str, gpus: float | None, usd_per_hour: float | None, expected: float | None) -> Row:
    if usd_per_hour is None:
        return Row(name, gpus=gpus)
    a_million = usd_per_hour / (expected * 3600) * 1e6 if expected else None
    return Row(name, gpus=gpus, usd_per_million_tokens=a_million, usd_per_day=usd_per_hour * economics.DAY_HOURS)
