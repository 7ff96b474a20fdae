"""The engine's time beside the process's: the same, faster, or slower.

With --time-scale 60 a minute of the model passes in a second; a slow engine is one whose time runs slower.
"""

from collections.abc import Callable


class PacedClock:
    """Runs `rate` times as fast as `source`, which gives seconds; when the rate changes, the time goes on as it is."""

    __slots__ = ("_rate", "_source", "_source_zero", "_zero")

    def __init__(self, source: Callable[[], float], rate: float = 1.0) -> None:
        self._source = source
        self._rate = rate
        self._source_zero = source()
        self._zero = 0.0

    def now(self) -> float:
        """The engine's time."""
        return self._zero + (self._source() - self._source_zero) * self._rate

    def at(self, time: float) -> float:
        """When the source will show, or showed, this time of the engine, at the present rate."""
        return self._source_zero + (time - self._zero) / self._rate

    def run_at(self, rate: float) -> None:
        """Go on at another rate."""
        now = self._source()
        self._zero += (now - self._source_zero) * self._rate
        self._source_zero = now
        self._rate = rate
