"""Steps of one unchanged batch, in closed form.

With d sequences that decode, step i of a run takes t + s x i seconds, where s is what d more tokens in the cache cost
to read. So n steps take n x t + s x n (n - 1) / 2, and how many are done by a time is the root of that. Every time is
computed from the start of the run, so it is the same to the last bit however often it is asked for.
"""

from math import sqrt


class Steps:
    """`count` steps from `start`, the first `seconds` long and each `slope` longer; `count` may be cut."""

    __slots__ = ("count", "seconds", "slope", "start")

    def __init__(self, start: float, count: int, seconds: float, slope: float) -> None:
        self.start, self.count, self.seconds, self.slope = start, count, seconds, slope

    def end(self, steps: int) -> float:
        """When this many of the steps are done."""
        return self.start + (steps * self.seconds + self.slope * (steps * (steps - 1) / 2))

    @property
    def over(self) -> float:
        """When all of them are done."""
        return self.end(self.count)

    def done(self, now: float) -> int:
        """How many of the steps are done by now."""
        if now < self.end(1):
            return 0
        guess = min(max(self._root(now - self.start), 1), self.count)
        # The root is exact but for rounding; the times that were promised decide.
        while guess < self.count and self.end(guess + 1) <= now:
            guess += 1
        while self.end(guess) > now:
            guess -= 1
        return guess

    def cut(self, now: float) -> None:
        """Let the run end with the step that is under way."""
        if self.count > 1:
            self.count = min(self.count, self.done(now) + 1)

    def _root(self, elapsed: float) -> int:
        linear = self.seconds - self.slope / 2
        if self.slope <= 1e-12 * self.seconds:
            return int(elapsed / self.seconds)
        return int((sqrt(linear * linear + 2 * self.slope * elapsed) - linear) / self.slope)
