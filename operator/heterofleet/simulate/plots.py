"""The pictures of a simulation: load and what carried it, GPUs, decisions, and the policies side by side.

matplotlib is loaded by those who draw. A figure becomes PNG or SVG by `png` and `svg`; the same run gives the same
bytes. Series are drawn as they are, a value a minute, and thinned by matplotlib to what a line of that width can show.
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from heterofleet.api.labels import Tier
from heterofleet.simulate.palette import LIGHT
from heterofleet.simulate.policies import Kind
from heterofleet.simulate.report import Figures
from heterofleet.simulate.study import Case, Outcome
from heterofleet.simulate.trace import MINUTE_SECONDS, Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH: Final = 11.0
_DOTS_PER_INCH: Final = 110

_CLOSE_MINUTES: Final = 720
"""Of the picture in which single minutes can be seen."""

_MOST_POINTS: Final = 1500
"""Of a stepped line over the width of a picture."""

_COORDINATES: Final = re.compile(r'( (?:d|x|y)=")([^"]*)"')
_DECIMALS: Final = re.compile(r"(\.\d)\d+")

_STYLE: Final[Mapping[str, Any]] = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": LIGHT.ink,
    "axes.labelcolor": LIGHT.muted,
    "axes.edgecolor": LIGHT.grid,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT.grid,
    "xtick.color": LIGHT.muted,
    "ytick.color": LIGHT.muted,
    "legend.frameon": False,
    "path.simplify_threshold": 0.5,
    # Letters stay letters, in whatever font the reader has; names of parts do not depend on chance.
    "svg.fonttype": "none",
    "svg.hashsalt": "heterofleet",
}


@contextmanager
def style() -> Iterator[None]:
    """How everything here looks; other figures of the process keep their own look."""
    import matplotlib as mpl  # noqa: PLC0415  an extra, and slow to load

    # Its stubs list every setting by name, which a mapping of some cannot match.
    chosen: Any = _STYLE
    with mpl.rc_context(chosen):
        yield


def all_of(case: Case, outcomes: Sequence[Outcome], figures: Sequence[Figures]) -> "dict[str, Figure]":
    """Every picture by its name; those of one policy show the product, or else the first."""
    shown = next((each for each in outcomes if each.story is not None), outcomes[0])
    drawn = {"policies": policies(figures)} if len(outcomes) > 1 else {}
    drawn["load"] = load(case, shown, Span(0, case.load.minutes))
    if case.load.minutes > 2 * _CLOSE_MINUTES:
        drawn["busiest"] = load(case, shown, busiest(case))
    drawn["gpus"] = gpus(case, shown, outcomes)
    if shown.story is not None:
        drawn["decisions"] = decisions(case, shown)
    return drawn


def load(case: Case, outcome: Outcome, span: Span) -> "Figure":
    """Each tier's work, what was forecast of it, what could carry it, and the minutes in which that was too little."""
    figure, panels = _figure(len(case.pools), 2.7)
    for axes, tier in zip(panels, case.pools, strict=True):
        _load(axes, case, outcome, tier, slice(span.first, span.last))
        axes.set_title(f"{tier} tier")
        axes.set_ylabel("1,000 work tokens a second")
        axes.set_ylim(bottom=0)
        _legend(axes)
    _dates(panels)
    return figure


def _load(axes: "Axes", case: Case, outcome: Outcome, tier: Tier, shown: slice) -> None:
    track, times = outcome.run.tracks[tier], _times(case)[shown]
    rate = np.where(case.load.seen[tier], track.arrived, np.nan) / MINUTE_SECONDS / 1000
    if outcome.story is not None:
        foreseen = outcome.story.foreseen[tier]
        axes.fill_between(
            times, foreseen.expected[shown] / 1000, foreseen.upper[shown] / 1000,
            color=LIGHT.forecast, alpha=0.45, linewidth=0, label="forecast, expected to upper",
        )  # fmt: skip
    axes.plot(times, rate[shown], color=LIGHT.demand, linewidth=0.8, label="arrived")
    carried = (track.ready * case.pools[tier].capacity / MINUTE_SECONDS / 1000)[shown]
    axes.step(times, carried, where="post", color=LIGHT.capacity, linewidth=1.1, label="carried by ready instances")
    late = times[track.violating[shown]]
    if len(late):
        axes.plot(
            late, np.zeros(len(late)), "|",
            color=LIGHT.late, markersize=9, clip_on=False, label=f"violating minutes ({len(late)})",
        )  # fmt: skip


def busiest(case: Case) -> Span:
    """The hours around the highest load, in which single minutes can be seen."""
    needed = sum(case.load.arriving[tier] / pool.capacity * pool.gpus for tier, pool in case.pools.items())
    first = max(0, min(int(np.argmax(needed)) - _CLOSE_MINUTES // 2, case.load.minutes - _CLOSE_MINUTES))
    return Span(first, first + _CLOSE_MINUTES)


def gpus(case: Case, outcome: Outcome, outcomes: Sequence[Outcome]) -> "Figure":
    """GPUs that one policy held, by tier, and those that others held together."""
    figure, (axes,) = _figure(1, 3.2)
    held = {tier: _thinned(track.held * track.gpus) for tier, track in outcome.run.tracks.items()}
    every = -(-case.load.minutes // _MOST_POINTS)
    times = _times(case)[::every]
    axes.stackplot(
        times, *held.values(), colors=[LIGHT.large, LIGHT.small], alpha=0.8, linewidth=0,
        labels=[f"{tier} tier" for tier in held],
    )  # fmt: skip
    styles = iter(("-", "--", ":", "-."))
    for other in outcomes:
        if other is not outcome and other.choice.kind in (Kind.STATIC_PEAK, Kind.HPA, Kind.ORACLE):
            total = _thinned(np.sum([track.held * track.gpus for track in other.run.tracks.values()], axis=0))
            best = other.choice.kind is Kind.ORACLE
            axes.step(
                times, total, where="post", color=LIGHT.ink if best else LIGHT.peer,
                linewidth=0.8, linestyle=next(styles, "-"), label=str(other.choice),
            )  # fmt: skip
    most = f", the most of each {every} minutes" if every > 1 else ""
    axes.set_title(f"GPUs held by policy {outcome.choice}{most}")
    axes.set_ylabel("GPUs")
    axes.set_ylim(bottom=0)
    _legend(axes)
    _dates([axes])
    return figure


def decisions(case: Case, outcome: Outcome) -> "Figure":
    """Every change of a planned count: when, what decided it, and whether it went up or down."""
    assert outcome.story is not None  # noqa: S101  `all_of` asks for it only then
    made = outcome.story.decisions
    bounds = sorted({str(each.bound) for each in made}, reverse=True)
    figure, panels = _figure(len(case.pools), 0.9 + 0.24 * len(bounds))
    for axes, tier in zip(panels, case.pools, strict=True):
        for direction, colour, mark in ((1, LIGHT.demand, 6), (-1, LIGHT.forecast, 7)):
            moved = [each for each in made if each.tier is tier and (each.after - each.before) * direction > 0]
            axes.plot(
                _moments(each.at for each in moved),
                [bounds.index(str(each.bound)) + 0.16 * direction for each in moved],
                linestyle="", marker=mark, markersize=3.2, markeredgewidth=0, color=colour, alpha=0.55,
                label=f"{'more' if direction > 0 else 'fewer'} instances ({len(moved)})",
            )  # fmt: skip
        axes.set_yticks(range(len(bounds)), bounds)
        axes.set_ylim(-0.6, len(bounds) - 0.4)
        axes.set_title(f"{tier} tier: what decided each change of its count")
        _legend(axes)
    _dates(panels)
    return figure


def policies(figures: Sequence[Figures]) -> "Figure":
    """GPU-hours against the share of violating minutes: the lower left is better."""
    figure, (axes,) = _figure(1, 3.4)
    for each in figures:
        own = each.policy == Kind.PLANNED
        axes.plot(
            each.all_gpu_hours, 100 * each.violating_minutes, "o",
            color=LIGHT.demand if own else LIGHT.peer, markersize=9 if own else 7, clip_on=False, zorder=3,
        )  # fmt: skip
        axes.annotate(
            each.policy, (each.all_gpu_hours, 100 * each.violating_minutes), xytext=(-9, 4) if own else (8, 4),
            textcoords="offset points", color=LIGHT.ink, fontweight="bold" if own else "normal",
            horizontalalignment="right" if own else "left",
        )  # fmt: skip
    axes.set_yscale("symlog", linthresh=1)
    highest = max(100 * each.violating_minutes for each in figures)
    ticks = [tick for tick in (0, 0.5, 1, 2, 5, 10, 20, 50, 100) if tick <= max(1.0, highest * 2)]
    axes.set_yticks(ticks, [f"{tick:g} %" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, 1.12 * max(each.all_gpu_hours for each in figures) or 1)
    axes.set_title("What each policy cost, and how often it was too little")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("GPU-hours")
    axes.set_ylabel("violating minutes")
    return figure


def png(figure: "Figure") -> bytes:
    return _saved(figure, "png", {"Software": None}, facecolor=LIGHT.paper)


def svg(figure: "Figure") -> str:
    """Without a background, so that it takes its page's."""
    drawn = _saved(figure, "svg", {"Date": None, "Creator": None}, facecolor="none").decode("utf-8")
    # A tenth of a point is finer than what is seen, and half as long to write.
    return _COORDINATES.sub(_shortened, drawn)


def _shortened(attribute: re.Match[str]) -> str:
    short = _DECIMALS.sub(r"\1", attribute[2])
    return f'{attribute[1]}{short}"'


def _saved(figure: "Figure", kind: str, metadata: Mapping[str, None], facecolor: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=_DOTS_PER_INCH, metadata=dict(metadata), facecolor=facecolor)
    return file.getvalue()


def _figure(rows: int, height: float) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure  # noqa: PLC0415  an extra, and slow to load

    figure = Figure(figsize=(_WIDTH, rows * height + 0.4), layout="constrained")
    panels = figure.subplots(rows, 1, squeeze=False, sharex=True)
    for axes in panels.flat:
        axes.set_facecolor("none")
    return figure, list(panels.flat)


def _times(case: Case) -> "NDArray[np.datetime64]":
    minutes = np.arange(case.load.minutes).astype("timedelta64[m]")
    times: NDArray[np.datetime64] = _moments([case.trace.start])[0] + minutes
    return times


def _thinned(values: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """The highest of each few minutes, as few as leave no more points than a line can show."""
    every = -(-len(values) // _MOST_POINTS)
    padded = np.pad(values, (0, -len(values) % every), mode="edge")
    highest: NDArray[np.int64] = padded.reshape(-1, every).max(axis=1)
    return highest


def _moments(times: Iterable[datetime]) -> "NDArray[np.datetime64]":
    """In UTC, which numpy's times are without saying so."""
    return np.array([time.astimezone(UTC).replace(tzinfo=None) for time in times], dtype="datetime64[s]")


def _dates(panels: "Sequence[Axes]") -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415

    for axes in panels:
        locator = AutoDateLocator(minticks=4, maxticks=12)  # type: ignore[no-untyped-call]  # matplotlib gives no types
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # as above
        axes.margins(x=0.005)


def _legend(axes: "Axes") -> None:
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=5, fontsize=8.5, borderaxespad=0.2)
