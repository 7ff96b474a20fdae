"""One try of one request at one engine: connection, bytes out, answer in.

Stands between `dispatch`, which gave the place, and the ladder, which decides what follows from how it ended. An idle
connection that the engine closed just then is no failure of the engine: the same bytes go once more over a fresh one,
as long as nothing of an answer has come.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from heterofleet.api.policy import Limits
from heterofleet.router.relay import Attempt
from heterofleet.router.upstream import ClosedEarly, ConnectFailed, Connection, Pool, UpstreamError

SWEEP_SECONDS: Final = 0.25
MOST_ANSWER_BYTES: Final = 64 * 2**20

Hold = Callable[[bytes], bool]
"""Says of each piece of a stream whether it is still to be held back."""


class Asked(Protocol):
    """An engine as far as an attempt needs it."""

    @property
    def pool(self) -> Pool: ...


class Attempts:
    """All attempts under way, and the sweep that ends those whose time is up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.limits = Limits()
        self._running: dict[Attempt, Connection] = {}

    def __len__(self) -> int:
        return len(self._running)

    async def begin(self, endpoint: Asked, request: bytes, seconds: float, hold: Hold | None) -> "Under":
        """Sends `request` and waits until its answer is whole, or a stream has begun, or it has failed."""
        limits = self.limits
        connection = endpoint.pool.take()
        reused = connection is not None
        if connection is None:
            try:
                connection = await endpoint.pool.open(min(limits.connect_seconds, seconds))
            except ConnectFailed as exc:
                return Under(self, self._failed(exc), None)
        under = await self._begun(connection, request, seconds, hold)
        if reused and isinstance(under.attempt.error, ClosedEarly) and not connection.heard:
            # The idle connection was closed under our hands: once more, over a fresh one.
            under.close()
            try:
                connection = await endpoint.pool.open(min(limits.connect_seconds, seconds))
            except ConnectFailed as exc:
                return Under(self, self._failed(exc), None)
            under = await self._begun(connection, request, seconds, hold)
        return under

    async def _begun(self, connection: Connection, request: bytes, seconds: float, hold: Hold | None) -> "Under":
        under = self._send(connection, request, seconds, hold)
        try:
            await under.attempt.begun
        except asyncio.CancelledError:
            under.abort()
            raise
        return under

    def _send(self, connection: Connection, request: bytes, seconds: float, hold: Hold | None) -> "Under":
        attempt = Attempt(
            self._loop,
            first_byte_seconds=min(self.limits.first_byte_seconds, seconds),
            stall_seconds=self.limits.stall_seconds,
            most_bytes=MOST_ANSWER_BYTES,
            hold=hold,
        )
        self._running[attempt] = connection
        connection.send(request, attempt)
        return Under(self, attempt, connection)

    def _failed(self, error: UpstreamError) -> Attempt:
        attempt = Attempt(self._loop, first_byte_seconds=0, stall_seconds=0, most_bytes=0)
        attempt.lost(error)
        return attempt

    def forget(self, attempt: Attempt) -> None:
        self._running.pop(attempt, None)

    async def sweep(self) -> None:
        """Ends attempts whose time is up, until it is cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = self._loop.time()
            for attempt, connection in [(a, c) for a, c in self._running.items() if a.deadline < now and not a.over]:
                connection.abort()
                attempt.expire()


class Under:
    """An attempt that is under way, or over."""

    __slots__ = ("_attempts", "_connection", "attempt")

    def __init__(self, attempts: Attempts, attempt: Attempt, connection: Connection | None) -> None:
        self._attempts, self.attempt, self._connection = attempts, attempt, connection

    def pressed(self, pressed: bool) -> None:
        """The client reads too slowly, or has caught up."""
        if self._connection is not None and not self.attempt.over:
            self._connection.pause(pressed)
            self.attempt.pressed(pressed)

    def abort(self) -> None:
        """Ends it now; an engine stops generating when its client goes."""
        # One that failed may come on; only the connection of a whole answer is another's by now.
        if self._connection is not None and not self.attempt.whole:
            self._connection.abort()
        self.close()

    def close(self) -> None:
        """It is over, or nobody wants it any more."""
        self._attempts.forget(self.attempt)
