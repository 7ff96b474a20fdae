"""What a fleet was asked for, minute by minute: the trace that a simulation replays.

    rows of a file or of Prometheus (`tracerows`) -> Trace -> a part of it, its load scaled -> simulation

A minute that nobody has measured is NaN in every series: not known, which is never zero. Nothing arrives in it, nobody
is told a load for it, and it is no part of any share.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heterofleet.api.routing import RequestClass

Floats = NDArray[np.float64]

MINUTE_SECONDS: Final = 60
DAY_MINUTES: Final = 1440

EPOCH: Final = datetime(2026, 1, 5, tzinfo=UTC)
"""A Monday, for traces that tell no date."""

PROMPT_WEIGHT: Final = 0.1
"""Work of a prompt token in tokens of an answer, until a fleet has learned its own (scaling.md, "Definitions")."""

_MOST_UNKNOWN: Final = 0.1
"""Share of a trace that may be unknown."""


class InvalidTrace(ValueError):
    """A trace that cannot be replayed; the sentence says what to write instead."""


class Span(NamedTuple):
    """Minutes of a trace, the last one not with them."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """One class, a value a minute."""

    requests: Floats
    prompt_tokens: Floats
    output_tokens: Floats

    def work(self, prompt_weight: float = PROMPT_WEIGHT) -> Floats:
        """Work tokens a minute."""
        return self.output_tokens + prompt_weight * self.prompt_tokens

    def mean_tokens(self) -> tuple[float, float]:
        """Tokens of an average prompt and of its answer; (0, 0) where nobody asked."""
        requests = float(np.nansum(self.requests))
        if requests <= 0:
            return 0.0, 0.0
        return float(np.nansum(self.prompt_tokens)) / requests, float(np.nansum(self.output_tokens)) / requests

    def part(self, span: Span) -> "Traffic":
        return Traffic(*(series[span.first : span.last] for series in self._series()))

    def scaled(self, factor: float) -> "Traffic":
        """As many times the requests, each of them as it was."""
        return Traffic(*(series * factor for series in self._series()))

    def _series(self) -> tuple[Floats, Floats, Floats]:
        return self.requests, self.prompt_tokens, self.output_tokens


@dataclass(frozen=True, slots=True)
class Trace:
    """Both classes over the same minutes. `remarks` are sentences that its reader should know."""

    start: datetime
    classes: Mapping[RequestClass, Traffic]
    remarks: tuple[str, ...] = ()

    @property
    def minutes(self) -> int:
        return len(self.classes[RequestClass.PLAN].requests)

    @property
    def days(self) -> float:
        return self.minutes / DAY_MINUTES

    def time(self, minute: int) -> datetime:
        """When a minute begins."""
        return self.start + timedelta(minutes=minute)

    def part(self, span: Span) -> "Trace":
        """Those minutes alone. Raises InvalidTrace where there are none."""
        first, last = max(0, span.first), min(self.minutes, span.last)
        if last <= first:
            raise InvalidTrace(
                f"no minute of the trace lies there: it goes from {self.start:%Y-%m-%d %H:%M} to"
                f" {self.time(self.minutes):%Y-%m-%d %H:%M} UTC; choose --from, --to and --days within"
            )
        classes = {name: traffic.part(Span(first, last)) for name, traffic in self.classes.items()}
        return replace(self, start=self.time(first), classes=classes)

    def scaled(self, factors: Mapping[RequestClass, float]) -> "Trace":
        """The same with each class's requests multiplied by its factor."""
        return replace(self, classes={name: self.classes[name].scaled(factors[name]) for name in self.classes})


def told(trace: Trace) -> Trace:
    """The same, with remarks on what is not known of it. Raises InvalidTrace where that is too much, or all is 0."""
    remarks = list(trace.remarks)
    for name, traffic in trace.classes.items():
        unknown = np.isnan(traffic.work())
        if unknown.mean() > _MOST_UNKNOWN:
            raise InvalidTrace(
                f"{unknown.mean():.0%} of the minutes of class {name} are not known: write rows with 0 where nobody"
                " asked, or choose a part of the trace with --from and --to"
            )
        if unknown.any():
            first = trace.time(int(unknown.argmax()))
            remarks.append(
                f"{int(unknown.sum())} minutes of class {name} are not known, the first at {first:%Y-%m-%d %H:%M} UTC"
            )
    if not any(np.nansum(traffic.work()) > 0 for traffic in trace.classes.values()):
        raise InvalidTrace("nobody asks for anything in it: choose a trace, or a part of one, with tokens above 0")
    return replace(trace, remarks=tuple(remarks))
