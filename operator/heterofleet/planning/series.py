"""What is remembered of a class's load: the last day by minutes, and the highest value of each ten minutes before.

A sample is a rate (work tokens a second) that was true at a time; each minute holds one, and its number is
floor(seconds since the epoch / 60). What telemetry does to a series is settled here, so that a forecast sees a value
for every minute and knows which of them were seen:

    not a number, infinite, negative      refused: the minute is missing (a counter that was reset gives such rates)
    stamped ahead of the clock            refused
    not later than the newest             refused, unless the clock has fallen behind the newest: then all begins anew
    at most `BRIDGED` minutes missing     carried over from the value before, and taken for seen: intervals jitter
    more missing                          carried over, not seen; nor are `NEAR` minutes on both sides of such a gap,
                                          in which a rate over minutes holds only a part of them
    a day missing                         all begins anew

A value that is not seen may raise what is carried over and never lowers it: no data is never zero.
The memory is bounded: 13 kB with seven days of maxima.
"""

from enum import Enum, auto
from math import floor, isfinite
from typing import Any, Final, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Array = TypeVar("Array", bound=NDArray[Any])

DAY: Final = 1440
"""Minutes."""

BRIDGED: Final = 2
NEAR: Final = 2

AHEAD_SECONDS: Final = 90.0
"""How far a sample may be stamped ahead of the clock: clocks differ, and minutes are rounded."""

_KEPT: Final = DAY + 180
"""Minutes that can be asked for: a day, the longest start-up window before it, and an hour."""

_SPARE: Final = 240
_COARSE: Final = 10


def windows(values: Array, width: int) -> Array:
    """Every run of `width` values, one a row. A single one, which is what a minute asks for, costs next to nothing."""
    if len(values) == width:
        return values[None, :]  # type: ignore[return-value]  # of the same kind, though numpy's stubs forget it
    return sliding_window_view(values, width)  # type: ignore[return-value]  # as above


class Taken(Enum):
    """What became of a sample."""

    TAKEN = auto()
    NOT_A_NUMBER = auto()
    NEGATIVE = auto()
    FUTURE = auto()
    REPEATED = auto()
    RESTARTED = auto()
    """Taken as the first of a new memory: the clock fell back, or a day was missing."""


class Series:
    """The load of one class. `days` is how long its highest values are remembered."""

    def __init__(self, days: int = 7) -> None:
        self._values = np.zeros(_KEPT + _SPARE, dtype=np.float32)
        self._seen = np.zeros(_KEPT + _SPARE, dtype=np.bool_)
        self._maxima = np.zeros(days * DAY // _COARSE, dtype=np.float32)
        self.forget()

    def forget(self) -> None:
        self.newest: int | None = None
        """Number of the newest minute."""
        self.points = 0
        """Minutes that were seen, as far back as the maxima reach."""
        self._length = 0
        self._unsure = 0
        self._maxima[:] = 0

    def __len__(self) -> int:
        return min(self._length, _KEPT)

    @property
    def peak(self) -> float:
        """The highest value that was seen within `days`."""
        return float(self._maxima.max())

    def values(self, minutes: int, before: int = 0) -> Floats:
        """The last `minutes` values that end `before` minutes ago, oldest first; fewer where there are fewer."""
        return self._values[self._span(minutes, before)].astype(np.float64)

    def seen(self, minutes: int, before: int = 0) -> Flags:
        """Which of those values were seen."""
        return self._seen[self._span(minutes, before)]

    def gap_before(self, time: float) -> bool:
        """Whether a sample of this time would come after missing minutes."""
        return self.newest is not None and floor(time / 60) - self.newest != 1

    def take(self, time: float, value: float, now: float | None = None) -> Taken:
        """Remember a sample; `now` is the clock, and what is stamped ahead of it is refused."""
        if not (isfinite(time) and isfinite(value)):
            return Taken.NOT_A_NUMBER
        if value < 0:
            return Taken.NEGATIVE
        if now is not None and time > now + AHEAD_SECONDS:
            return Taken.FUTURE
        minute = floor(time / 60)
        if self.newest is None:
            self._begin(minute, value)
            return Taken.TAKEN
        fell_back = now is not None and self.newest * 60 > now + AHEAD_SECONDS
        if fell_back or minute - self.newest > DAY:
            self.forget()
            self._begin(minute, value)
            return Taken.RESTARTED
        if minute <= self.newest:
            return Taken.REPEATED
        self._bridge(minute - self.newest - 1)
        self._append(minute, self._settled(value), self._unsure == 0)
        self._unsure = max(0, self._unsure - 1)
        return Taken.TAKEN

    def _span(self, minutes: int, before: int) -> slice:
        end = max(0, self._length - before)
        return slice(max(0, end - minutes), end)

    def _begin(self, minute: int, value: float) -> None:
        self._append(minute, value, True)

    def _bridge(self, missing: int) -> None:
        assert self.newest is not None  # noqa: S101 (only called after a first sample)
        if missing > BRIDGED:
            self._seen[max(0, self._length - NEAR) : self._length] = False
            self._unsure = NEAR
        carried = float(self._values[self._length - 1])
        for minute in range(self.newest + 1, self.newest + 1 + missing):
            self._append(minute, carried, missing <= BRIDGED)

    def _settled(self, value: float) -> float:
        return value if self._unsure == 0 else max(value, float(self._values[self._length - 1]))

    def _append(self, minute: int, value: float, seen: bool) -> None:
        if self._length == len(self._values):
            for array in (self._values, self._seen):
                array[:_KEPT] = array[_SPARE:].copy()
            self._length = _KEPT
        self._values[self._length] = value
        self._seen[self._length] = seen
        self._length += 1
        self._raise_maximum(minute, value if seen else 0.0)
        self.newest = minute
        self.points = min(self.points + seen, len(self._maxima) * _COARSE)

    def _raise_maximum(self, minute: int, value: float) -> None:
        size = len(self._maxima)
        place = minute // _COARSE % size
        if self.newest is not None and self.newest // _COARSE != minute // _COARSE:
            self._maxima[place] = 0
        self._maxima[place] = max(float(self._maxima[place]), value)
