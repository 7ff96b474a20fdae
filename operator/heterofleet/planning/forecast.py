"""The highest load of a class within the start-up window, at a quantile: what an instance that starts now must meet.

    samples -> Series (minutes) -> levels of the candidates -> the one with the least trailing loss x its margin

What must be covered is the maximum over the window, not the mean at its end: an instance that is ordered now serves
only after the window, and what comes before must be carried by those that were ordered earlier. On real traces every
sane model of the level is as good as the last value; what pays is the margin, which is learned from its own errors.

Guards: less than a day of history is answered by the Ewma alone; the margin stays within [0.8, 3]; nothing is forecast
above 1.5 x the highest value within `days`; minutes in and near a gap teach nothing; and where the newest sample is
older than `STALE_SECONDS`, or there is none, the answer is `Nothing` with the reason. No data is never zero.

A Forecaster is fed minute by minute (`observe`) or by a whole history (`of`), with the same result. It holds 20 kB.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Final, Self

import numpy as np

from heterofleet.planning import candidates
from heterofleet.planning.candidates import CONTEXT, ORDER, Candidate
from heterofleet.planning.margin import Errors
from heterofleet.planning.series import DAY, Floats, Series, Taken, windows
from heterofleet.planning.situation import Forecast

MARGIN_BOUNDS: Final = (0.8, 3.0)
CAP: Final = 1.5
STALE_SECONDS: Final = 300.0
LONGEST_WINDOW_MINUTES: Final = 120

_REFIT: Final = 60
"""Minutes between two fits of the ridge."""

_FLOOR_SHARE: Final = 1e-3
"""Load below this share of the highest is idleness, of which no ratios are made."""

_SMALLEST: Final = 1e-9


class Silence(StrEnum):
    """Why nothing can be said."""

    EMPTY = "NoSamples"
    STALE = "SamplesTooOld"


@dataclass(frozen=True, slots=True)
class Nothing:
    """No forecast; never to be taken for no load."""

    reason: Silence
    sentence: str


class Forecaster:
    """What one class will ask for. `window_seconds` is the start-up window; another one can be asked for later."""

    def __init__(self, window_seconds: float = 300.0, days: int = 7) -> None:
        self._series = Series(days)
        self._begin(_minutes(window_seconds))

    @classmethod
    def of(
        cls, history: Iterable[tuple[float, float]], window_seconds: float = 300.0, days: int = 7,
        now: float | None = None,
    ) -> Self:  # fmt: skip
        """One that has seen the samples (seconds since the epoch, value), oldest first."""
        made = cls(window_seconds, days)
        for time, value in history:
            if made._series.gap_before(time):
                made._absorb()
            if made._series.take(time, value, now) is Taken.RESTARTED:
                made._begin(made._horizon)
            elif made._unread() >= _REFIT:
                made._absorb()
        made._absorb()
        return made

    @property
    def newest_seconds(self) -> float | None:
        """When the newest minute began; None before the first sample."""
        return None if self._series.newest is None else 60.0 * self._series.newest

    def observe(self, time: float, value: float, now: float | None = None) -> Taken:
        """Take one sample, a rate at a time; says what became of it. `now` is the clock."""
        taken = self._series.take(time, value, now)
        if taken is Taken.RESTARTED:
            self._begin(self._horizon)
        self._absorb()
        return taken

    def forecast(self, window_seconds: float, quantile: float, now: float | None = None) -> Forecast | Nothing:
        """The highest load within the window; with `now` also whether the samples are fresh enough to say so."""
        series = self._series
        if series.newest is None:
            return Nothing(Silence.EMPTY, "no sample of this load was seen yet")
        age = 0.0 if now is None else now - 60.0 * (series.newest + 1)
        if age > STALE_SECONDS:
            return Nothing(Silence.STALE, f"the newest sample of this load is {age:.0f} s old")
        horizon = _minutes(window_seconds)
        if horizon != self._horizon:
            self._relearn(horizon)
        calibration = self._errors.calibrate(quantile)
        row = int(calibration.losses.argmin()) if series.points >= DAY else ORDER.index(Candidate.EWMA)
        level, cap = float(self._levels[row, -1]), CAP * series.peak
        margin = float(np.clip(calibration.margins[row], *MARGIN_BOUNDS))
        upper = min(level * margin, cap)
        expected = min(level * float(calibration.medians[row]), upper)
        return Forecast(expected, upper, window_seconds, ORDER[row].value, margin, series.points)

    def _begin(self, horizon: int) -> None:
        self._horizon = horizon
        self._errors = Errors(len(ORDER))
        self._levels = np.zeros((len(ORDER), 0))
        self._average: float | None = None
        self._weights = np.zeros(candidates.FEATURES)
        self._floor = _SMALLEST
        self._read: int | None = None

    def _relearn(self, horizon: int) -> None:
        """Start-up takes another time than before: learn from the minutes that are kept."""
        self._begin(horizon)
        self._absorb()

    def _unread(self) -> int:
        newest = self._series.newest
        if newest is None:
            return 0
        return len(self._series) if self._read is None else min(newest - self._read, len(self._series))

    def _absorb(self) -> None:
        """Learn from the minutes that are new, in blocks between two fits, so that their number changes nothing."""
        while (unread := self._unread()) > 0:
            assert self._series.newest is not None  # noqa: S101 (there are unread minutes)
            first = self._series.newest - unread + 1
            block = min(unread, _REFIT - first % _REFIT)
            if first % _REFIT == 0 or self._read is None:
                self._fit(unread)
            self._learn(block, unread - block)
            self._read = first + block - 1

    def _fit(self, unread: int) -> None:
        """New weights and a new floor from what lies before the unread minutes."""
        known = self._series.values(DAY, unread)
        self._floor = max(_SMALLEST, _FLOOR_SHARE * float(known.max(initial=0.0)))
        if len(known) >= DAY:
            seen = self._series.seen(DAY, unread)
            self._weights = candidates.ridge_weights(known, seen, self._horizon, self._floor)

    def _learn(self, block: int, after: int) -> None:
        series, horizon = self._series, self._horizon
        recent = series.values(block + CONTEXT - 1, after)
        seasonal = candidates.seasonal_ratio(
            series.values(block + horizon, after + DAY - horizon),
            series.seen(block + horizon, after + DAY - horizon),
            block,
            horizon,
        )
        before = float(recent[-block]) if self._average is None else self._average
        fresh, averages = candidates.levels(recent, before, self._weights, seasonal, self._floor)
        self._average = float(averages[-1])
        made = np.concatenate([self._levels, fresh], axis=1)
        self._judge(made, after)
        self._levels = made[:, -horizon:]

    def _judge(self, made: Floats, after: int) -> None:
        """Compare the levels whose window has ended within the block with what came."""
        horizon = self._horizon
        due = made[:, : max(0, made.shape[1] - horizon)]
        if due.shape[1] == 0:
            return
        minutes = due.shape[1] + horizon
        came = windows(self._series.values(minutes, after)[1:], horizon).max(axis=1)
        seen = windows(self._series.seen(minutes, after), horizon + 1).all(axis=1)
        counts = seen & (np.maximum(came, due[0]) > self._floor)
        if counts.any():
            floor = self._floor
            errors = np.log(np.maximum(came, floor)) - np.log(np.maximum(due, floor))
            self._errors.record(errors[:, counts])


def window_seconds(startup_seconds: float, interval_seconds: float) -> float:
    """What a plan must see ahead: a start, and the time until the next plan can order what this one did not."""
    return startup_seconds + interval_seconds


def _minutes(window_seconds: float) -> int:
    return min(max(1, ceil(window_seconds / 60.0 - 1e-9)), LONGEST_WINDOW_MINUTES)
