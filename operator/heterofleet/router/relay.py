"""Takes an engine's answer as it comes: whole, or piece by piece on to the client.

Stands between `upstream` and the client's `Exchange`. An answer that is not streamed is kept until it is whole,
so that it can be judged. A stream is held until its first piece is here (and judged, where policy asks); from then on
every piece goes to the client in the same call in which it came, without a task in between.

Nearly all of a stream comes in one form: one chunk of HTTP a read, with whole events in it. Where the client gets
chunks too and nothing is to be taken out, such a chunk passes as it came, past the parser and with its framing
(`passes`), which halves what the router itself adds to the kernel's reading and writing.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from heterofleet.router import sse
from heterofleet.router.upstream import Garbage, TimedOut, UpstreamError

_BEGINNINGS: Final = (b"data:", b"event:", b"id:", b"retry:", b":", b"\n", b"\r\n")
_EVENT_ENDS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")
_PLAIN_END: Final = b"}\n\n\r\n"
_USAGE: Final = b'"usage"'
_LONGEST_PLAIN: Final = 4096
_NEVER: Final = b"\r"
LAST_PIECES: Final = 6
"""An engine writes its usage in the last event but one; a piece may be cut by the network."""


def begins_event(data: bytes) -> bool:
    """Whether an event begins so; what is too short to tell may be one."""
    return data.startswith(_BEGINNINGS) or any(beginning.startswith(data) for beginning in _BEGINNINGS)


def _plain_beginning(size: int) -> bytes:
    """How `size` bytes begin that are one whole chunk of events, as engines write its length; _NEVER if none can be."""
    for digits in range(1, 4):
        data = size - digits - 4
        if data > 0 and len(b"%x" % data) == digits:
            return b"%x\r\ndata:" % data
    return _NEVER


_PLAIN_BEGINNINGS: Final = tuple(_plain_beginning(size) for size in range(_LONGEST_PLAIN))
"""By their number of bytes, so that one comparison tells both that there is one chunk and that it is whole."""


class Attempt:
    """One engine's answer to one request; the sink of `upstream`.

    `begun` ends when the answer is whole, when a stream has shown enough of itself, or with what went wrong; the error
    is its result, not its exception, since nobody may be there to take it.
    """

    __slots__ = (
        "_due", "_follow", "_hold", "_most_bytes", "_now", "_silence", "_stall_seconds", "begun", "error", "headers",
        "parts", "passes", "size", "started", "status", "streaming", "whole",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, *, first_byte_seconds: float, stall_seconds: float,
                 most_bytes: int, hold: Callable[[bytes], bool] | None = None) -> None:  # fmt: skip
        self.begun: asyncio.Future[None] = loop.create_future()
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.streaming = False
        self.whole = False
        self.error: UpstreamError | None = None
        self.parts: list[bytes] = []
        self.size = 0
        self.started = loop.time()
        self.passes: Callable[[bytes], bool] | None = None
        self._due = self.started + first_byte_seconds
        self._stall_seconds = self._silence = stall_seconds
        self._most_bytes = most_bytes
        self._now = loop.time
        self._hold = hold
        self._follow: Follower | None = None

    def head(self, status: int, headers: dict[bytes, bytes]) -> None:
        self.status, self.headers = status, headers
        self.streaming = status == 200 and headers.get(b"content-type", b"").startswith(b"text/event-stream")
        self._due = self._now() + self._stall_seconds

    def data(self, data: bytes) -> None:
        follow = self._follow
        if follow is not None:
            follow.piece(data)
            return
        self.parts.append(data)
        self.size += len(data)
        if self.size > self._most_bytes:
            self.lost(Garbage(f"the answer is longer than {self._most_bytes} bytes"))
        elif self.streaming:
            self._due = self._now() + self._stall_seconds
            if self._hold is None or not self._hold(data):
                self._begin()

    def complete(self) -> None:
        self.whole = True
        self._end()

    def lost(self, error: UpstreamError) -> None:
        if not self.whole and self.error is None:
            self.error = error
            self._end()

    def expire(self) -> None:
        """Its time is up."""
        self.lost(TimedOut("no answer in time" if not self.status else "the answer stopped coming"))

    def pressed(self, pressed: bool) -> None:
        """Its client reads too slowly, or has caught up. Until then nothing is read: the engine is not silent."""
        self._silence = math.inf if pressed else self._stall_seconds
        self._due = self._now() + self._silence

    @property
    def deadline(self) -> float:
        """When its time is up, unless more has come."""
        return self._due if self._follow is None else max(self._due, self._follow.last_at + self._silence)

    @property
    def body(self) -> bytes:
        """What has come and was not passed on yet."""
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)

    @property
    def over(self) -> bool:
        return self.whole or self.error is not None

    def follow(self, follower: "Follower") -> None:
        """From here on every piece goes to `follower`, beginning with those that were held."""
        self._follow = follower
        held, self.parts = self.body, []
        if held:
            follower.piece(held)
            self.passes = follower.passes
        if self.over:
            follower.ended(self.error)

    def _begin(self) -> None:
        if not self.begun.done():
            self.begun.set_result(None)

    def _end(self) -> None:
        self._begin()
        if self._follow is not None:
            self._follow.ended(self.error)


class Withheld(Exception):
    """What comes may not pass on; the sentence says why. No fault of the engine."""


class Follower(Protocol):
    """What takes a stream's pieces. `last_at` is when the latest came."""

    last_at: float

    def piece(self, data: bytes) -> None: ...

    @property
    def passes(self) -> Callable[[bytes], bool] | None:
        """Takes a piece before it is read; False where it is not in the form of which that may be said."""
        ...

    def ended(self, error: UpstreamError | None) -> None: ...


class Edit(NamedTuple):
    """What is taken out of a stream on its way.

    `feed` may hold back the beginning of an event, and end the stream by raising Withheld or an UpstreamError. Whole
    events without any of `marks` leave it as they are; None where all have to be looked at.
    """

    feed: Callable[[bytes], bytes] | None
    marks: tuple[bytes, ...] | None = None


class Client(Protocol):
    """What of an exchange a relay uses."""

    @property
    def wire(self) -> asyncio.Transport | None: ...

    def send(self, data: bytes) -> None: ...


class StreamRelay:
    """Passes a stream on to a client. `done` ends with the stream; `error` says how, if not well.

    Of pieces that pass unread none is kept: what is not touched again by the next one leaves the processor's cache to
    the thousand other streams.
    """

    __slots__ = (
        "_abort", "_at_boundary", "_clear", "_exchange", "_feed", "_held", "_last", "_marks", "_now", "_observe",
        "_wire", "done", "error", "first_at", "last_at", "passes", "pieces",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, exchange: Client, *, abort: Callable[[], None],
                 edit: Edit | None, observe: Callable[[float], None] | None) -> None:  # fmt: skip
        self.done: asyncio.Future[None] = loop.create_future()
        self.error: UpstreamError | Withheld | None = None
        self.pieces = 0
        self.first_at = 0.0
        self._now = loop.time
        self.last_at = 0.0
        self._exchange = exchange
        self._abort = abort
        self._observe = observe
        self._wire = exchange.wire
        self._feed, marks = edit or Edit(None, ())
        self._marks = tuple({_USAGE, *(marks or ())})
        self.passes = None if marks is None else self._pass
        self._at_boundary = True
        self._clear = False
        self._held = b""
        self._last: deque[bytes] = deque(maxlen=LAST_PIECES)

    def piece(self, data: bytes) -> None:
        now, came = self._now(), data
        if self.error is not None:
            return
        if self._at_boundary and not data.startswith(_BEGINNINGS) and not begins_event(data):
            self._stop(Garbage("what came is not a stream of events"))
            return
        self._at_boundary = data.endswith(b"\n\n")
        if not self.first_at:
            self.first_at = now
        elif self._observe is not None:
            self._observe(now - self.last_at)
        self.last_at = now
        self.pieces += 1
        self._last.append(data)
        if self._feed is None:
            if self._held or not self._at_boundary:
                data = self._whole_events(data)
        else:
            try:
                data = self._feed(data)
            except (Withheld, UpstreamError) as exc:
                self._stop(exc)
                return
        self._exchange.send(data)
        self._clear = self._at_boundary and data is came

    def _pass(self, data: bytes) -> bool:
        """Passes one whole chunk on as it came; the piece before it left whole, so that nothing is held back."""
        size = len(data)
        if size >= _LONGEST_PLAIN or not data.startswith(_PLAIN_BEGINNINGS[size]) or not data.endswith(_PLAIN_END):
            return False
        for mark in self._marks:
            if mark in data:
                return False
        wire = self._wire
        if wire is None or not self._clear or self.error is not None or wire.is_closing():
            return False
        now = self._now()
        if self._observe is not None:
            self._observe(now - self.last_at)
        self.last_at = now
        self.pieces += 1
        if self._last:
            self._last.clear()
        wire.write(data)
        return True

    def _whole_events(self, data: bytes) -> bytes:
        """What is complete of an event that was cut; the rest waits, lest an error would be read as its end."""
        data = self._held + data
        ends = (data.rfind(end) + len(end) for end in _EVENT_ENDS if end in data)
        end = max(ends, default=0) if len(data) < sse.LONGEST_EVENT else len(data)
        self._held = data[end:]
        return data[:end]

    def _complete(self) -> None:
        """The last event may lack the empty line that ends it; half a line is none."""
        if self._at_boundary or not self._last[-1].endswith(b"\n"):
            return
        try:
            self._exchange.send(self._held if self._feed is None else self._feed(b"\n"))
        except (Withheld, UpstreamError) as exc:
            self.error = exc

    def ended(self, error: UpstreamError | Withheld | None) -> None:
        if not self.done.done():
            if error is None and self.error is None:
                self._complete()
            self.error = self.error or error
            self.done.set_result(None)

    @property
    def tail(self) -> bytes:
        """The last pieces that were read, which tell the usage and whether the stream came to its end."""
        return b"".join(self._last)

    def _stop(self, error: UpstreamError | Withheld) -> None:
        self._abort()
        self.ended(error)
