"""When an endpoint gets no more requests for a while: a circuit breaker each.

Asked before `pick` who may be chosen, and told by `attempts` what became of each request.

    Closed      all go; `failures` in a row open it, and a success begins the row anew
    Open        none goes until `reopen_at`, `open_seconds` later
    HalfOpen    one goes, the trial: it closes the breaker or opens it again; after one that does not end within
                `open_seconds` another may go

A client that leaves says nothing of the endpoint: its request counts as neither, and as trial it makes way for another.
Nor does a request that was sent before the breaker last opened: where a hundred were in flight at one that broke,
their timeouts would go on opening the breaker long after it was mended.
"""

import math
from enum import StrEnum


class State(StrEnum):
    CLOSED = "Closed"
    OPEN = "Open"
    HALF_OPEN = "HalfOpen"


class Breaker:
    """One endpoint's breaker. All times are seconds of one monotonic clock.

    Whoever chose the endpoint says `sent`, and later how the request ended: `succeeded`, `failed` or `abandoned`, with
    `sent_at`, the time that `sent` was told; without it the request is taken for the last that was sent.
    """

    __slots__ = ("_failed", "_failures", "_open_seconds", "_opened_at", "_trial_at", "reopen_at")

    def __init__(self, failures: int, open_seconds: float) -> None:
        self._failures = failures
        self._open_seconds = open_seconds
        self._failed = 0
        self._opened_at = -math.inf
        self._trial_at = -math.inf
        self.reopen_at: float | None = None
        """From when on the trial may go; None while the breaker is closed."""

    def allows(self, now: float) -> bool:
        """Whether a request may be sent. Asking changes nothing, since many are asked before one is chosen."""
        return self.reopen_at is None or (now >= self.reopen_at and now >= self._trial_at + self._open_seconds)

    def seconds_shut(self, now: float) -> float:
        """In how many seconds a request may be sent; 0 where one may now."""
        if self.reopen_at is None:
            return 0.0
        return max(0.0, self.reopen_at - now, self._trial_at + self._open_seconds - now)

    def state(self, now: float) -> State:
        if self.reopen_at is None:
            return State.CLOSED
        return State.OPEN if now < self.reopen_at else State.HALF_OPEN

    def sent(self, now: float) -> None:
        """A request goes to the endpoint; where the breaker is half open, it is the trial."""
        if self.reopen_at is not None and now >= self.reopen_at:
            self._trial_at = now

    def succeeded(self, now: float, sent_at: float = math.inf) -> None:
        if sent_at <= self._opened_at or self.state(now) is State.OPEN:
            return
        self._failed = 0
        self.reopen_at = None

    def failed(self, now: float, sent_at: float = math.inf) -> None:
        if sent_at <= self._opened_at or self.state(now) is State.OPEN:
            return
        self._failed += 1
        if self._failed >= self._failures or self.reopen_at is not None:
            self._open(now)

    def abandoned(self, now: float, sent_at: float = math.inf) -> None:
        """The client left, or something else than the endpoint ended the request."""
        if sent_at >= self._trial_at and self.state(now) is State.HALF_OPEN:
            self._trial_at = -math.inf

    def _open(self, now: float) -> None:
        self._failed = 0
        self._opened_at = now
        self._trial_at = -math.inf
        self.reopen_at = now + self._open_seconds
