"""Whether act requests go past the small tier for a while, because too few of its answers were good of late.

Stands after classification, before the pick. The share of good answers is taken over a sliding window, kept as a ring
of buckets, so that its cost does not depend on the load:

    detour begins    samples >= min_samples and share < threshold
    detour ends      of so many trials, fifty at most, a share >= threshold + margin was good

While the detour lasts the small tier would have no answers to be judged by, so one request in twenty still tries it,
and one at least in each window / trials seconds, so that a fleet with little traffic finds back within a window too.
The margin keeps a tier at the threshold from being switched with every answer; what was good or bad before the detour
is forgotten with its end, or it would begin anew at once.
"""

from typing import Final, NamedTuple

from heterofleet.api.ladder import Escalation

TRIAL_EVERY: Final = 20
MOST_TRIALS: Final = 50
MARGIN: Final = 0.25
"""Share of the way from the threshold to 1 that lies between beginning and ending a detour."""


class Standing(NamedTuple):
    """The share of good answers, and of how many; 1.0 where there are none."""

    share: float
    samples: int


class Successes:
    """Good and bad answers of one tier over a sliding window; exact to one bucket of it."""

    __slots__ = ("_bucket", "_good", "_seconds", "_sum_good", "_sum_total", "_total")

    def __init__(self, window_seconds: float, buckets: int = 60) -> None:
        self._seconds = window_seconds / buckets
        self._good = [0] * buckets
        self._total = [0] * buckets
        self._sum_good = 0
        self._sum_total = 0
        self._bucket = 0

    def record(self, good: bool, now: float) -> None:
        """Counts one answer."""
        self._advance(now)
        index = self._bucket % len(self._total)
        self._good[index] += good
        self._total[index] += 1
        self._sum_good += good
        self._sum_total += 1

    def share(self, now: float) -> Standing:
        """What the window holds."""
        self._advance(now)
        return Standing(self._sum_good / self._sum_total if self._sum_total else 1.0, self._sum_total)

    def clear(self) -> None:
        """Forgets all answers."""
        for index in range(len(self._total)):
            self._good[index] = self._total[index] = 0
        self._sum_good = self._sum_total = 0

    def _advance(self, now: float) -> None:
        """Empties the buckets that the time has passed; a clock that steps back counts into the latest."""
        bucket = int(now / self._seconds)
        if bucket <= self._bucket:
            return
        size = len(self._total)
        for passed in range(max(self._bucket + 1, bucket - size + 1), bucket + 1):
            index = passed % size
            self._sum_good -= self._good[index]
            self._sum_total -= self._total[index]
            self._good[index] = self._total[index] = 0
        self._bucket = bucket


def escalates_at_once(share: float, samples: int, policy: Escalation) -> bool:
    """Whether so few of so many answers were good that a detour begins."""
    return policy.enabled and samples >= policy.min_samples and share < policy.threshold


class Detour:
    """Where act requests go first: to the small tier, or at once to the large one."""

    __slots__ = ("_asked", "_last_trial", "_needed", "_policy", "_successes", "_trials", "_trials_good", "active")

    def __init__(self, policy: Escalation) -> None:
        self._policy = policy
        self._successes = Successes(policy.window_seconds)
        self._needed = min(policy.min_samples, MOST_TRIALS)
        self._asked = 0
        self._last_trial = 0.0
        self._trials = 0
        self._trials_good = 0
        self.active = False

    def large_at_once(self, now: float) -> bool:
        """Whether one more act request goes to the large tier at once; asked once a request, since it counts."""
        if not self.active:
            return False
        self._asked += 1
        due = now - self._last_trial >= self._policy.window_seconds / self._needed
        if self._asked < TRIAL_EVERY and not due:
            return True
        self._asked = 0
        self._last_trial = now
        return False

    def record(self, good: bool, now: float) -> None:
        """Counts one judged answer of the small tier."""
        self._successes.record(good, now)
        if self.active:
            self._weigh_trial(good)
        elif escalates_at_once(*self._successes.share(now), self._policy):
            self.active = True
            self._asked = self._trials = self._trials_good = 0
            self._last_trial = now

    def standing(self, now: float) -> Standing:
        """The small tier's share of good answers in the window."""
        return self._successes.share(now)

    def _weigh_trial(self, good: bool) -> None:
        self._trials += 1
        self._trials_good += good
        if self._trials < self._needed:
            return
        share = self._trials_good / self._trials
        threshold = self._policy.threshold
        if share >= threshold + MARGIN * (1 - threshold):
            self.active = False
            self._successes.clear()
        self._trials = self._trials_good = 0
