"""HTTP/1.1 as clients speak it: connections, limits and timeouts; gives whole requests to a handler.

Stands at the router's edge. The parser is llhttp's (httptools), in its strict mode, which refuses what request
smuggling needs; every request is read whole within bounds before anything is decided, since a decision needs the body.
A handler is a coroutine a request, cancelled when its client leaves. Framework servers cost more than the whole routing
of a request (docs/adr/0101), so this is one of the two places where the router speaks HTTP by itself; `upstream` is the
other.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import httptools

from heterofleet.api.policy import Limits
from heterofleet.router.exchange import JSON, Exchange, status_line
from heterofleet.router.outbox import Outbox

MOST_PIPELINED: Final = 16
"""Requests that a client may send ahead; a longer pipeline is not read until some are answered."""
SWEEP_SECONDS: Final = 0.5
LINGER_SECONDS: Final = 2.0
"""How long what still comes of a refused request is read and dropped: a reset would take the answer along."""
LAST_CHANCE_SECONDS: Final = 1.0
"""How long a connection that is idle may bring a request while the router drains: what was said last was that it is
kept, and its client may be writing right now."""
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class RefusedInput(Exception):
    """What a client sent is refused before it is a request: the status and the sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


Handler = Callable[[Exchange], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One client's connection; its requests are answered one after the other."""

    def __init__(self, front: "Front") -> None:
        self.front = front
        self.closed = False
        self.client_keeps_alive = True
        self.speaks_chunks = True
        self.transport: asyncio.Transport
        self.deadline: float | None = None
        self.idle_since = front.now()
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Exchange] = deque()
        self._task: asyncio.Task[None] | None = None
        self._pressure: Callable[[bool], None] | None = None
        self._pressed = False
        self._refused = False
        self._paused_reading = False
        self._head_bytes = 0
        self._begin()

    def _begin(self) -> None:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._owed = 0
        self._in_message = False
        self._in_body = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop has transports that are no asyncio.Transport by class.
        self.transport = cast(asyncio.Transport, transport)
        if not self.front.admit(self):
            self._refuse(RefusedInput(503, "the router has as many connections as it may: try again later"))
            return
        self.deadline = self.front.now() + self.front.limits.idle_seconds

    def connection_lost(self, _exc: Exception | None) -> None:
        self.closed = True
        self._waiting.clear()
        self.front.forget(self)
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._pressed = True
        self.deadline = self.front.now() + self.front.limits.stall_seconds
        if self._pressure is not None:
            self._pressure(True)

    def resume_writing(self) -> None:
        self._pressed = False
        self.deadline = None
        if self._pressure is not None:
            self._pressure(False)

    def tell_pressure(self, told: Callable[[bool], None] | None) -> None:
        self._pressure = told
        if told is not None and self._pressed:
            # What it has not read may be the answer to an earlier request.
            told(True)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if not self._in_message and self._task is None and not self._head_bytes:
            self.deadline = self.front.now() + self.front.limits.header_seconds
        if not self._in_body:
            self._head_bytes += len(data)
        try:
            while data:
                data = self._take_owed(data) if self._owed else self._parsed(data)
            if not self._in_body and self._in_message and self._head_bytes > self.front.limits.max_header_bytes:
                raise _too_long_head(self.front.limits)
        except httptools.HttpParserCallbackError as exc:
            cause = exc.__context__ if isinstance(exc.__context__, RefusedInput) else None
            self._refuse(cause or RefusedInput(400, "the request is malformed"))
        except RefusedInput as exc:
            self._refuse(exc)
        except httptools.HttpParserError:
            self._refuse(RefusedInput(400, "the request is malformed: it is not HTTP/1.1"))

    def _parsed(self, data: bytes) -> bytes:
        """Parses; gives what comes after a request that asks to change the protocol, for there the parser stops."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            return data[exc.args[0] :]
        return b""

    def _take_owed(self, data: bytes) -> bytes:
        """The body of such a request, which the parser leaves to us; the protocol is not changed. Gives the rest."""
        piece, rest = data[: self._owed], data[self._owed :]
        self.on_body(piece)
        self._owed -= len(piece)
        if not self._owed:
            self._complete()
        return rest

    def on_message_begin(self) -> None:
        self._begin()
        self._in_message = True

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:
            return  # Trailers: what was decided by the head must not change after it.
        lowered = name.lower()
        known = self._headers.get(lowered)
        self._headers[lowered] = value if known is None else known + b", " + value
        self._size += len(name) + len(value)
        if self._size > self.front.limits.max_header_bytes:
            raise _too_long_head(self.front.limits)

    def on_headers_complete(self) -> None:
        self._in_body, self._size, limits = True, 0, self.front.limits
        announced = self._headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > limits.max_body_bytes:
            raise _too_long_body(limits)
        if self._parser.should_upgrade() and b"transfer-encoding" in self._headers:
            raise RefusedInput(400, "the protocol cannot be changed here: leave out the header Upgrade")
        if self._headers.get(b"expect", b"").lower() == b"100-continue" and self._task is None:
            self.write(CONTINUE)
        self.deadline = self.front.now() + limits.body_seconds

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self.front.limits.max_body_bytes:
            raise _too_long_body(self.front.limits)
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            self._owed = int(self._headers.get(b"content-length", b"0"))
        if not self._owed:
            self._complete()

    def _complete(self) -> None:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        parser = self._parser
        exchange = Exchange(self, parser.get_method(), self._target, self._headers, body, self.front.now())
        exchange.keep_alive = parser.should_keep_alive()
        self._in_message = self._in_body = False
        self._head_bytes = 0
        self.deadline = None
        if self._task is None and not self._waiting:
            self._start(exchange)
            return
        self._waiting.append(exchange)
        if len(self._waiting) >= MOST_PIPELINED and not self._paused_reading:
            self._paused_reading = True
            self.transport.pause_reading()

    def _start(self, exchange: Exchange) -> None:
        self.client_keeps_alive = exchange.keep_alive
        self.speaks_chunks = self._parser.get_http_version() != "1.0"
        self._task = self.front.loop.create_task(self._answer(exchange))

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self.front.handler(exchange)
        except asyncio.CancelledError:
            if not self.closed:
                self.abort()
            raise
        except Exception as exc:  # noqa: BLE001  one request's defect must not be another's; the front reports it
            self.front.report(exc)
            self.abort()
        finally:
            self._answered(exchange)

    def _answered(self, exchange: Exchange) -> None:
        self._task = None
        self._pressure = None
        self.idle_since = self.front.now()
        if self.closed:
            return
        if not exchange.keep_alive:
            self.front.outbox.flush()
            self.transport.close()
            return
        if self._paused_reading and len(self._waiting) < MOST_PIPELINED:
            self._paused_reading = False
            self.transport.resume_reading()
        if self._waiting:
            self._start(self._waiting.popleft())
        elif not self._in_message:
            self.deadline = self.front.now() + self.front.limits.idle_seconds

    def write(self, data: bytes) -> None:
        """Sends bytes, unless the client has gone: a closed transport would raise."""
        self.front.outbox.flush()
        if not self.closed and not self.transport.is_closing():
            self.transport.write(data)

    def answer(self, data: bytes) -> None:
        """Sends a whole answer, together with others."""
        if not self.closed:
            self.front.outbox.put(self.transport, data)

    def abort(self) -> None:
        if not self.closed:
            self.transport.abort()

    @property
    def idle(self) -> bool:
        return self._task is None and not self._waiting

    @property
    def expects_nothing(self) -> bool:
        """Whether no request is under way, nor has begun to arrive."""
        return self._refused or (self.idle and not self._in_message and not self._head_bytes)

    def time_out(self) -> None:
        """Its time is up: for its head, for its body, for reading its answer, or for being idle."""
        if self._task is not None or self.expects_nothing:
            self.abort()
        else:
            self._refuse(RefusedInput(408, "the request took too long to arrive: send it faster"))

    def _refuse(self, refused: RefusedInput) -> None:
        if self._task is not None:
            # An answer is under way on this connection: a second one would be read as a part of it.
            self.abort()
            return
        body = self.front.refusal(refused)
        line = status_line(refused.status)
        self.write(b"%b%bcontent-length: %d\r\nconnection: close\r\n\r\n%b" % (line, JSON, len(body), body))
        if self.closed or self not in self.front.connections:
            self.transport.close()
            return
        self._refused = True
        self.deadline = self.front.now() + LINGER_SECONDS
        self.transport.write_eof()


def _too_long_head(limits: Limits) -> RefusedInput:
    return RefusedInput(431, f"the head of the request is longer than {limits.max_header_bytes} bytes")


def _too_long_body(limits: Limits) -> RefusedInput:
    return RefusedInput(413, f"the body of the request is longer than {limits.max_body_bytes} bytes")


class Front:
    """The listening end: all connections, and the sweep that ends those whose time is up."""

    def __init__(self, handler: Handler, limits: Limits, refusal: Callable[[RefusedInput], bytes],
                 report: Callable[[BaseException], None]) -> None:  # fmt: skip
        self.handler = handler
        self.limits = limits
        self.refusal = refusal
        self.report = report
        self.leaving = False
        """Set when others should be asked from now on: every answer says that its connection is closed after it."""
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time
        self.outbox = Outbox(self.loop)
        self.connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.Task[None] | None = None

    async def listen(self, host: str, port: int) -> int:
        """Listens; gives the port, which matters where 0 was asked for."""
        # Any, since the sockets of uvloop's server are a list, and not the tuple that they are by type.
        server: Any = await self.loop.create_server(lambda: Connection(self), host, port, backlog=4096)
        self._server = server
        self._sweeping = self.loop.create_task(self._sweep(), name="sweep connections")
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for one more connection."""
        if len(self.connections) >= self.limits.max_connections:
            return False
        self.connections.add(connection)
        return True

    def forget(self, connection: Connection) -> None:
        self.connections.discard(connection)

    async def drain(self, seconds: float) -> bool:
        """Takes nothing new and lets what runs end; False when time was up first, and the rest was cut off."""
        self.leaving = True
        if self._server is not None:
            self._server.close()
        ends = self.now() + seconds
        while self.connections and self.now() < ends:
            long_idle = self.now() - LAST_CHANCE_SECONDS
            for connection in [c for c in self.connections if c.expects_nothing and c.idle_since < long_idle]:
                connection.transport.close()
            await asyncio.sleep(0.02)
        whole = not self.connections
        for connection in list(self.connections):
            connection.abort()
        if self._sweeping is not None:
            self._sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeping
        return whole

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = self.now()
            for connection in [c for c in self.connections if c.deadline is not None and c.deadline < now]:
                connection.time_out()
