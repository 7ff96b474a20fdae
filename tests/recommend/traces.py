"""The traces of tests/data, and parts of them that are small enough to be played hundreds of times."""

from functools import cache
from pathlib import Path
from typing import Final

from heterofleet.simulate import tracefile, tracerows
from heterofleet.simulate.trace import DAY_MINUTES, Span, Trace, told
from heterofleet.simulate.tracerows import Reading

FOLDER: Final = Path(__file__).resolve().parents[1] / "data" / "traces"
NAMES: Final = ("servegen_1min_reconstructed", "servegen_10min", "azure2023_conv")

_PLAN_SHARE: Final = 0.2
"""Of the trace that names no class: four steps for each plan."""


@cache
def whole(name: str) -> Trace:
    share = _PLAN_SHARE if name.startswith("azure") else None
    return told(tracerows.of(tracefile.read(FOLDER / f"{name}.csv.gz"), Reading(plan_share=share)))


def days(name: str, first: float, last: float) -> Trace:
    """Some days of a trace, or all of it where it has fewer."""
    trace = whole(name)
    return trace.part(Span(int(first * DAY_MINUTES), int(last * DAY_MINUTES)))
