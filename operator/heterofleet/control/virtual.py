"""The planner's clock: the real one, or, on the test bed, one that runs so many times as fast (HETEROFLEET_TIME_SCALE).

Everything that a plan counts in time (windows, start-ups, holds, intervals) is in the seconds of this clock, so that a
day can be replayed in minutes. Leases, timeouts and drains are none of its business (testing.md, "Compressed time").
"""

from collections.abc import Callable
from datetime import datetime


class Clock:
    """`now` is the real time; `seconds` and `moment` say when that is for a plan."""

    def __init__(self, now: Callable[[], datetime], scale: float = 1.0) -> None:
        self.now, self.scale = now, scale
        self._began = now()

    def seconds(self, real: float) -> float:
        """Seconds since the epoch of this clock, for those of the real one."""
        began = self._began.timestamp()
        return began + (real - began) * self.scale

    def moment(self) -> datetime:
        """This clock's time now."""
        return self._began + (self.now() - self._began) * self.scale
