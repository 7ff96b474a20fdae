"""HTTP/1.1 as engines are spoken to: kept-alive connections, one request at a time on each.

Stands between `relay`, whose sinks take what comes, and an engine's socket. A pool belongs to one endpoint; it is
bounded by the requests that the endpoint may have in flight, since every request takes one connection. aiohttp's client
costs 70 microseconds a request where this costs 12 (docs/adr/0101).
"""

import asyncio
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, cast

import httptools

from heterofleet.router.outbox import Outbox

IDLE_SECONDS: Final = 4.0
"""vLLM's server closes idle connections after 5 s; one that is reused right then would lose its request."""

SILENCE_SECONDS: Final = 10
"""A machine whose kernel acknowledges nothing for so long is off: it sends no sign of its end. A busy engine's does."""


class UpstreamError(Exception):
    """An engine could not be asked.

    UpstreamError
    ├── ConnectFailed   no connection was made: nothing was sent
    ├── ClosedEarly     the connection ended before the answer did
    ├── TimedOut        the answer, or its next piece, did not come in time
    └── Garbage         what came is not HTTP
    """


class ConnectFailed(UpstreamError):
    pass


class ClosedEarly(UpstreamError):
    pass


class TimedOut(UpstreamError):
    pass


class Garbage(UpstreamError):
    pass


class Sink(Protocol):
    """What takes an answer as it comes."""

    def head(self, status: int, headers: dict[bytes, bytes]) -> None: ...

    def data(self, data: bytes) -> None: ...

    def complete(self) -> None: ...

    def lost(self, error: UpstreamError) -> None: ...

    @property
    def passes(self) -> Callable[[bytes], bool] | None:
        """Takes bytes that begin with the head of a chunk, framing and all; False where they have to be read."""
        ...


class Connection(asyncio.Protocol):
    """One connection to an engine."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._sink: Sink | None = None
        self._headers: dict[bytes, bytes] = {}
        self._status = 0
        self._until_close = False
        self._paused = False
        self._chunk_ended = False
        self._passes: Callable[[bytes], bool] | None = None
        loop = asyncio.get_running_loop()
        self.now = loop.time
        self._outbox = pool.outbox(loop)
        self.answers = 0
        self.heard = False
        self.closed = False
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop has transports that are no asyncio.Transport by class.
        self._transport = cast(asyncio.Transport, transport)

    def send(self, data: bytes, sink: Sink) -> None:
        """Sends a whole request; `sink` takes its answer."""
        self.heard = False
        if not self.usable:
            # It was closed right after it was made or taken; a write would raise.
            sink.lost(ClosedEarly("the engine closed the connection"))
            return
        self._sink = sink
        self._outbox.put(self._transport, data)

    @property
    def usable(self) -> bool:
        return not self.closed and not self._transport.is_closing()

    def abort(self) -> None:
        """Ends the connection, and so the request: an engine stops generating for a client that has gone."""
        self._sink = self._passes = None
        if not self.closed:
            self.closed = True
            self._transport.abort()

    def pause(self, pressed: bool) -> None:
        """Stops or resumes reading, so that a slow client slows its engine and not our memory."""
        if pressed is not self._paused and self.usable:
            self._paused = pressed
            (self._transport.pause_reading if pressed else self._transport.resume_reading)()

    def data_received(self, data: bytes) -> None:
        passes = self._passes
        if passes is not None and passes(data):
            return
        sink = self._sink
        if sink is None:
            # Nobody asked: an answer to nothing makes the next one unreliable.
            self.abort()
            return
        self.heard = True
        self._passes = None
        try:
            self._parser.feed_data(data)
            if self._chunk_ended and data.endswith(b"\r\n"):
                # Between two chunks the parser holds nothing of either, so that it need not see those that pass.
                self._passes = sink.passes
        except httptools.HttpParserUpgrade:
            self._fail(Garbage("the engine changed the protocol"))
        except httptools.HttpParserError as exc:  # What a callback raises comes as one of these too.
            self._fail(Garbage(f"the engine's answer is not HTTP: {exc}"))

    def on_message_begin(self) -> None:
        if self._sink is None:
            raise Garbage("the engine answers what nobody asked")
        self._headers = {}
        self._until_close = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        if self._status >= 200 and self._sink is not None:
            framed = b"content-length" in self._headers or b"transfer-encoding" in self._headers
            self._until_close = not framed
            self._sink.head(self._status, self._headers)

    def on_chunk_header(self) -> None:
        self._chunk_ended = False

    def on_chunk_complete(self) -> None:
        self._chunk_ended = True

    def on_body(self, data: bytes) -> None:
        if self._sink is not None:
            self._sink.data(data)

    def on_message_complete(self) -> None:
        if self._status < 200:
            return
        sink, self._sink = self._sink, None
        self._chunk_ended = False
        self.answers += 1
        if self._paused:
            # Its client may be slow still; whoever uses the connection next is another.
            self.pause(False)
        if self._parser.should_keep_alive() and self.usable and not self._pool.retired:
            self._pool.put_back(self)
        else:
            self.closed = True
            self._transport.close()
        if sink is not None:
            sink.complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._pool.forget(self)
        sink, self._sink = self._sink, None
        if sink is None:
            return
        if self._until_close and exc is None:
            sink.complete()
        else:
            sink.lost(ClosedEarly(str(exc) if exc else "the engine closed the connection"))

    def _fail(self, error: UpstreamError) -> None:
        sink = self._sink
        self.abort()
        if sink is not None:
            sink.lost(error)


class Pool:
    """Connections to one endpoint."""

    __slots__ = ("_idle", "_open", "_outbox", "host", "port", "retired")

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.retired = False
        self._idle: deque[Connection] = deque()
        self._open: set[Connection] = set()
        self._outbox: Outbox | None = None

    def take(self) -> Connection | None:
        """An idle connection, the one that was used last; None where there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    async def open(self, seconds: float) -> Connection:
        """A new connection. Raises ConnectFailed."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                transport, connection = await loop.create_connection(lambda: Connection(self), self.host, self.port)
            _ask_for_signs(transport)
        except (OSError, TimeoutError, UnicodeError) as exc:  # The last is a host that is no name.
            raise ConnectFailed(str(exc) or f"no connection within {seconds} s") from exc
        if not connection.closed:
            self._open.add(connection)
        return connection

    def outbox(self, loop: asyncio.AbstractEventLoop) -> Outbox:
        """What is sent to the endpoint leaves together."""
        if self._outbox is None:
            self._outbox = Outbox(loop)
        return self._outbox

    def put_back(self, connection: Connection) -> None:
        connection.idle_since = connection.now()
        self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        self._open.discard(connection)

    def close_idle(self, before: float) -> None:
        """Closes connections that have been idle since before `before` (loop time)."""
        while self._idle and self._idle[0].idle_since < before:
            self._idle.popleft().abort()

    def retire(self) -> None:
        """Closes what is idle now, and the rest as each answer ends: the endpoint is no longer known."""
        self.retired = True
        while self._idle:
            self._idle.popleft().abort()

    def close(self) -> None:
        """Closes all; a request under way ends with ClosedEarly."""
        self._idle.clear()
        for connection in list(self._open):
            connection._transport.abort()  # The loss must reach the sink.
        self._open.clear()

    def __len__(self) -> int:
        return len(self._open)


def _ask_for_signs(transport: asyncio.BaseTransport) -> None:
    """Has the kernel ask an engine's for a sign of life, and end the connection for want of one."""
    if sys.platform != "linux":  # Routers are developed elsewhere, with their engines on the same machine.
        return
    own = transport.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE_SECONDS // 2)
    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_SECONDS * 1000)
