"""A cost sheet, ownership and value for people, and the same for programs."""

from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from heterofleet.cli import columns
from heterofleet.cli.costfleet import LastHour
from heterofleet.cli.costsheet import Row, Sheet
from heterofleet.planning.ownership import Costs, Ownership
from heterofleet.planning.value import Value


def sheet(made: Sheet) -> RenderableType:
    """The basis, the three rows, and what follows from them."""
    parts: list[RenderableType] = [Text(made.basis), Text(), _rows(made)]
    if made.sentences:
        parts += [Text(), *(Text(sentence) for sentence in made.sentences)]
    return Group(*parts)


def _rows(made: Sheet) -> Text:
    shown: list[tuple[str, Callable[[Row], str | None]]] = [
        ("A TASK, IN STEPS", lambda row: _number(row.task_cost, ",.1f")),
        ("GPUS", lambda row: _number(row.gpus, ",.1f")),
        ("$ A MILLION TOKENS", lambda row: _number(row.usd_per_million_tokens, ",.3f")),
        ("$ A DAY", lambda row: _number(row.usd_per_day, ",.0f")),
    ]
    cells = [(title, [of(row) for row in made.rows]) for title, of in shown]
    first = columns.of("SYSTEM", *(row.system for row in made.rows))
    rest = [
        columns.of(title, *(value or "-" for value in values), right=True) for title, values in cells if any(values)
    ]
    return columns.table([first, *rest])


def hour(told: LastHour) -> RenderableType:
    """Fleet money and tenant money of the last hour, each by itself."""
    parts = []
    if told.usd_per_completion_token is not None:
        usd = told.usd_per_completion_token * 1e6
        parts.append(Text(f"Fleet money of the last hour: {usd:,.2f} USD a million completion tokens."))
    else:
        parts.append(Text("What a token cost in the last hour is not known: no completion token was counted."))
    if told.posted_usd is not None:
        beside = "" if told.posted_all_large_usd is None else f" ({told.posted_all_large_usd:,.2f} as all large)"
        parts.append(Text(f"Tenant money of the last hour, at posted prices: {told.posted_usd:,.2f} USD{beside}."))
    return Group(*parts)


def ownership(made: Ownership, *, of_source: bool) -> RenderableType:
    """The table of both fleets over the years, and when the money is back."""
    parts = [(name, getattr(made.all_large, name), getattr(made.mixed, name)) for name in (*Costs._fields, "total")]
    spent = [part for part in parts if any(part[1:])]
    names, large, mixed = zip(*spent, strict=True)
    saved = [one - other for one, other in zip(large, mixed, strict=True)]
    title = f"Owning it for {made.years:g} years, in 1,000 USD"
    if of_source:
        title += " (the source's case, 1,000 requests a second; give a FILE for yours)"
    table = columns.table(
        [
            columns.of("COST", *names),
            columns.of("ALL LARGE", *map(_thousands, large), right=True),
            columns.of("MIXED", *map(_thousands, mixed), right=True),
            columns.of("SAVED", *map(_thousands, saved), right=True),
        ]
    )
    return Group(
        Text(title, "bold"), Text(), table, Text(), *(Text(line) for line in _returns(made, of_source=of_source))
    )


def _returns(made: Ownership, *, of_source: bool) -> Iterator[str]:
    yield f"Saved a year: {_thousands(made.saving_a_year)}."
    ratio = " (what the source calls its ROI, 189 %)" if of_source else ""
    came_back = f"{made.return_on_investment:.1%}; ratio of the two totals: {made.ratio:.1%}{ratio}"
    yield f"Return on the mixed fleet's money: {came_back}."
    if made.saving <= 0:
        yield "The money does not come back: nothing is saved."
        return
    if made.payback_months_on_hardware is None or made.payback_months_on_the_whole is None:
        yield "Rented GPUs lay no money out, so that there is no payback to wait for."
        return
    eight = " (the source says 8, which its table does not give)" if of_source else ""
    yield (
        f"Payback of the mixed fleet's hardware: {made.payback_months_on_hardware:.1f} months{eight};"
        f" of all its costs: {made.payback_months_on_the_whole:.1f} months."
    )


def value(made: Value) -> RenderableType:
    """USD a day by what got better."""
    names = ("faster answers", "more answers", "fewer corrections", "together")
    table = columns.table(
        [
            columns.of("WORTH", *names),
            columns.of("$ A DAY", *(f"{usd:,.0f}" for usd in (*made, made.total)), right=True),
        ]
    )
    return Group(Text("Beside the money, as assumed", "bold"), Text(), table)


def document(
    made: Sheet | None, last_hour: LastHour | None, owned: Ownership | None, worth: Value | None
) -> dict[str, Any]:
    """For programs: shares are of 1, money is USD."""
    told: dict[str, Any] = {}
    if made is not None:
        told |= {
            "basis": made.basis,
            "rows": [_camel(row._asdict()) for row in made.rows],
            "saving": made.saving,
            "sentences": list(made.sentences),
        }
    if last_hour is not None:
        told["lastHour"] = _camel(last_hour._asdict())
    if owned is not None:
        flat = {name: each for name, each in owned._asdict().items() if name not in ("all_large", "mixed")}
        costs = {"allLarge": owned.all_large, "mixed": owned.mixed}
        told["ownership"] = {
            **{name: {**cost._asdict(), "total": cost.total} for name, cost in costs.items()},
            **_camel(flat),
        }
    if worth is not None:
        told["value"] = {**worth._asdict(), "total": worth.total}
    return told


def _camel(values: dict[str, Any]) -> dict[str, Any]:
    from pydantic.alias_generators import to_camel  # noqa: PLC0415  only for programs

    return {to_camel(name): value for name, value in values.items() if value is not None}


def _number(value: float | None, form: str) -> str | None:
    return None if value is None else format(value, form)


def _thousands(usd: float) -> str:
    return f"{usd / 1000:,.0f}"
