"""The picture of a cost sheet: money of the three fleets, how the saving grows with N, and owning them for years."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from heterofleet.cli.costsheet import ALL_LARGE, ALL_SMALL, MIXED, Inputs, Row, Sheet
from heterofleet.planning import planact
from heterofleet.planning.ownership import Costs, Ownership
from heterofleet.simulate import plots
from heterofleet.simulate.palette import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS: Final = {ALL_LARGE: LIGHT.large, ALL_SMALL: LIGHT.small, MIXED: LIGHT.capacity}
_PARTS: Final = (LIGHT.large, LIGHT.forecast, LIGHT.small, LIGHT.peer, LIGHT.demand)


def figure(sheet: Sheet | None, inputs: Inputs | None, owned: Ownership | None) -> "Figure":
    """One panel for each of what is given."""
    from matplotlib.figure import Figure  # noqa: PLC0415  an extra, and slow to load

    panels: list[Sheet | Inputs | Ownership] = [panel for panel in (sheet, inputs, owned) if panel is not None]
    with plots.style():
        drawn = Figure(figsize=(4.6 * len(panels), 3.4), layout="constrained")
        axes = drawn.subplots(1, len(panels), squeeze=False)
        for place, panel in zip(axes[0], panels, strict=True):
            if isinstance(panel, Sheet):
                _sheet(place, panel.rows)
            elif isinstance(panel, Ownership):
                _ownership(place, panel)
            else:
                _saving(place, panel)
    return drawn


def _sheet(axes: "Axes", rows: Sequence[Row]) -> None:
    title, values = _shown(rows)
    known = [(row.system, value) for row, value in zip(rows, values, strict=True) if value is not None]
    bars = axes.bar(
        [name for name, _ in known], [value for _, value in known], color=[_COLOURS[name] for name, _ in known]
    )
    axes.bar_label(bars, labels=[f"{value:,.4g}" for _, value in known], padding=2)
    axes.set_title(title)
    axes.grid(visible=False, axis="x")
    axes.margins(y=0.15)


def _shown(rows: Sequence[Row]) -> tuple[str, list[float | None]]:
    """The most that is known of all."""
    if any(row.usd_per_day is not None for row in rows):
        return "USD a day", [row.usd_per_day for row in rows]
    if any(row.usd_per_million_tokens is not None for row in rows):
        return "USD a million tokens", [row.usd_per_million_tokens for row in rows]
    return "Cost of a task, in steps of the small model", [row.task_cost for row in rows]


def _saving(axes: "Axes", inputs: Inputs) -> None:
    most = min(planact.MOST, max(20.0, 2 * inputs.steps))
    steps = [most * place / 200 for place in range(201)]
    plain = [planact.cost(each, inputs.relative_cost).saving * 100 for each in steps]
    axes.plot(steps, plain, color=LIGHT.peer, label="nothing fails")
    if inputs.rates != planact.NOTHING_FAILS:
        made = [planact.cost(each, inputs.relative_cost, inputs.rates).saving * 100 for each in steps]
        axes.plot(steps, made, color=LIGHT.capacity, label="at these rates")
    here = planact.cost(inputs.steps, inputs.relative_cost, inputs.rates).saving * 100
    axes.plot([inputs.steps], [here], "o", color=LIGHT.late, label=f"N = {inputs.steps:g}: {here:.1f} %")
    axes.set_title(f"Saved, in %, at c = {inputs.relative_cost:.3g}")
    axes.set_xlabel("steps a plan (N)")
    axes.legend(loc="lower right")


def _ownership(axes: "Axes", owned: Ownership) -> None:
    fleets = {"all large": owned.all_large, "mixed": owned.mixed}
    below = [0.0] * len(fleets)
    for name, colour in zip(Costs._fields, _PARTS, strict=True):
        parts = [getattr(costs, name) / 1e3 for costs in fleets.values()]
        if not any(parts):
            continue
        axes.bar(list(fleets), parts, bottom=below, color=colour, label=name, width=0.55)
        below = [low + part for low, part in zip(below, parts, strict=True)]
    axes.set_title(f"Owning it for {owned.years:g} years, 1,000 USD")
    axes.grid(visible=False, axis="x")
    handles, names = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], names[::-1], loc="upper right")
