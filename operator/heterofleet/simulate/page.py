"""A simulation as one page of HTML that needs nothing else: no script, no font, no address.

Pictures stand in it as SVG; their colours are those of the page, so that both are readable by day and by night.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import metadata, resources
from string import Template
from typing import Final

from heterofleet.api.planned import Decision
from heterofleet.simulate import figurestable, palette
from heterofleet.simulate.figurestable import Rows
from heterofleet.simulate.policies import Kind
from heterofleet.simulate.report import Figures
from heterofleet.simulate.study import Case, Outcome

_MOST_DECISIONS: Final = 500
"""Shown in the page; all of them are in the log."""

_CAPTIONS: Final[Mapping[str, str]] = {
    "load": "Work of each class by the minute, what the plan foresaw of it (from the expected value to the upper end"
    " that it plans for), and what ready instances carry. Where the blue line is above the green one a minute violates,"
    " unless idle large instances take the work of the small tier (spill-over).",
    "busiest": "The same for the twelve hours around the highest load.",
    "gpus": "GPUs that instances hold while they start, serve and drain, beside what other policies hold.",
    "decisions": "Each change of a planned count, by what decided it. A fall is held back by Stabilization and"
    " Hysteresis; a rise that no forecast asked for comes from the Queue.",
    "policies": "Lower and further left is better. The oracle knows the future.",
}

_LEGEND: Final = (
    "A minute violates when more work arrives than ready instances carry; violating work is what did not fit."
    " Delay: how long work waits for what came before it. Changes: of a count. TTFT: time to the first token, with that"
    " delay. ITL: time between two tokens of an answer. Missed: requests outside of the tier's objective."
)


@dataclass(frozen=True, slots=True)
class Heading:
    """What the page is about: whose fleet, which trace, and the command that made it."""

    fleet: str
    trace: str
    command: str


def html(
    heading: Heading, case: Case, outcomes: Sequence[Outcome], figures: Sequence[Figures], pictures: Mapping[str, str]
) -> str:
    """The page; `pictures` are SVG documents by the names of `plots.all_of`."""
    shown = next((each for each in outcomes if each.story is not None), None)
    last = case.trace.time(case.trace.minutes)
    return _template().substitute(
        title=escape(f"Fleet {heading.fleet} under {heading.trace}"),
        subtitle=escape(f"{case.trace.start:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, {case.trace.days:.1f} days"),
        summary=escape(summary(figures)),
        policies=_table(figurestable.policies(figures), own=str(Kind.PLANNED)),
        latencies=_table(figurestable.latencies(figures), own=str(Kind.PLANNED)),
        legend=escape(_LEGEND),
        pictures="\n".join(_picture(name, drawn) for name, drawn in pictures.items()),
        tiers=_table(figurestable.tiers(case)),
        remarks="".join(f"<p>Note: {escape(remark)}.</p>" for remark in case.trace.remarks),
        decisions="" if shown is None or shown.story is None else _decisions(shown.story.decisions),
        version=metadata.version("heterofleet"),
        command=escape(heading.command),
        light=palette.variables(palette.LIGHT),
        dark=palette.variables(palette.DARK),
    )


def summary(figures: Sequence[Figures]) -> str:
    """What a hurried reader should know: the product beside the best known peer, or the first policy by itself."""
    own = next((each for each in figures if each.policy == Kind.PLANNED), figures[0])
    oracle = "" if own.over_oracle is None else f", {own.over_oracle:.2f} times the oracle's"
    money = "" if own.usd is None else f" ({own.usd:,.0f} USD)"
    said = (
        f"Policy {own.policy} held {own.all_gpu_hours:,.0f} GPU-hours{money}{oracle};"
        f" {figurestable.percent(own.violating_minutes)} of minutes violated."
    )
    for other in figures:
        if other is not own and other.policy.startswith(Kind.HPA):
            more = other.all_gpu_hours / own.all_gpu_hours - 1 if own.all_gpu_hours > 0 else 0.0
            said += (
                f" {other.policy} held {abs(more):.0%} {'more' if more >= 0 else 'fewer'} GPU-hours, and"
                f" {figurestable.percent(other.violating_minutes)} of its minutes violated."
            )
    return said


def _template() -> Template:
    return Template(resources.files("heterofleet.simulate").joinpath("data", "report.html").read_text("utf-8"))


def _table(rows: Rows, own: str = "", kind: str = "") -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in rows.titles)
    body = "".join(_row(cells, kind="own" if cells[0] == own else "") for cells in rows.cells)
    return f'<table class="{kind}"><thead><tr>{titles}</tr></thead><tbody>\n{body}</tbody></table>'


def _row(cells: Sequence[str], kind: str) -> str:
    inner = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr class="{kind}">{inner}</tr>\n'


def _picture(name: str, drawn: str) -> str:
    """Without the XML prologue, which HTML does not know; names of parts are unique in the whole page."""
    inner = palette.with_variables(drawn[drawn.index("<svg") :])
    for mark in ('id="', 'xlink:href="#', "url(#"):
        inner = inner.replace(mark, f"{mark}{name}-")
    return f"<figure>{inner}<figcaption>{escape(_CAPTIONS[name])}</figcaption></figure>"


def _decisions(made: Sequence[Decision]) -> str:
    counts = Counter(str(each.bound) for each in made)
    said = ", ".join(f"{bound} {number}" for bound, number in counts.most_common())
    rows = Rows(
        ("TIME (UTC)", "TIER", "FROM", "TO", "USD/H", "DECIDED BY", "WHY"),
        tuple(
            (f"{each.at:%m-%d %H:%M}", str(each.tier), str(each.before), str(each.after), each.usd_per_hour or "-",
             str(each.bound), each.message)
            for each in made[:_MOST_DECISIONS]
        ),
    )  # fmt: skip
    shown = f"the first {_MOST_DECISIONS} of {len(made)}" if len(made) > _MOST_DECISIONS else f"all {len(made)}"
    return (
        f"<h2>Decisions</h2><p>{len(made)} changes of a planned count: {escape(said or 'none')}.</p>"
        f'<details><summary>Show {shown}</summary><div class="scroll">{_table(rows, kind="text")}</div></details>'
    )
