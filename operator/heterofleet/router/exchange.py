"""One request as the router sees it, and the way to answer it: whole, or begun and sent piece by piece.

Made by a connection of `inbound`, which reads requests whole; what is written here leaves in the form of HTTP/1.1 that
its client understands.
"""

import asyncio
import http
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from heterofleet.router.inbound import Connection

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus
}
JSON: Final = b"content-type: application/json\r\n"


def status_line(status: int) -> bytes:
    """The first line of an answer."""
    return _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Status\r\n".encode()


class Exchange:
    """One request, and the way to answer it. After `closed` everything that is written is dropped."""

    __slots__ = ("_chunked", "_connection", "body", "headers", "keep_alive", "method", "query", "started", "target")

    def __init__(self, connection: "Connection", method: bytes, target: bytes, headers: dict[bytes, bytes],
                 body: bytes, started: float) -> None:  # fmt: skip
        self._connection = connection
        self._chunked = False
        self.method = method
        # Proxies are asked with the whole URL, and any server has to understand it (RFC 9112, 3.2.2).
        path = target if target.startswith(b"/") else _path_of(target)
        self.target, _, self.query = path.partition(b"?")
        self.headers = headers
        self.body = body
        self.started = started
        self.keep_alive = True

    @property
    def closed(self) -> bool:
        """Whether the client has gone."""
        return self._connection.closed

    @property
    def peer(self) -> str:
        """The client's address."""
        found = self._connection.transport.get_extra_info("peername")
        return str(found[0]) if isinstance(found, tuple) and found else ""

    def header(self, name: bytes) -> str | None:
        """A header's value as text, by its lower-case name."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        """Answers whole. `headers` are lines with their ends; content-length is added."""
        head = b"%b%bcontent-length: %d\r\n%b\r\n" % (status_line(status), headers, len(body), self._close_line())
        # An answer to HEAD tells the length of a body that never comes.
        self._connection.answer(head if self.method == b"HEAD" else head + body)

    def respond_json(self, status: int, body: bytes, headers: bytes = b"") -> None:
        """Answers with JSON."""
        self.respond(status, JSON + headers, body)

    def begin(self, status: int, headers: bytes) -> None:
        """Begins an answer whose length is not known."""
        self._chunked = self._connection.speaks_chunks
        if self._chunked:
            framing = b"transfer-encoding: chunked\r\n"
        else:
            framing = b""
            self.keep_alive = False
        self._connection.write(b"%b%b%b%b\r\n" % (status_line(status), headers, framing, self._close_line()))

    def send(self, data: bytes) -> None:
        """A piece of an answer that was begun."""
        if data:
            self._connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    @property
    def wire(self) -> asyncio.Transport | None:
        """Where chunks may go as they came, past `send`; None where the answer that was begun has no chunks."""
        return self._connection.transport if self._chunked else None

    def end(self) -> None:
        """Ends an answer that was begun."""
        if self._chunked:
            self._connection.write(b"0\r\n\r\n")

    def abort(self) -> None:
        """Ends the connection at once, so that the client sees that its answer is not whole."""
        self._connection.abort()

    def on_pressure(self, told: Callable[[bool], None] | None) -> None:
        """`told` is called with True when the client reads too slowly, with False when it has caught up."""
        self._connection.tell_pressure(told)

    def _close_line(self) -> bytes:
        if self._connection.front.leaving or not self._connection.client_keeps_alive:
            self.keep_alive = False
        return b"" if self.keep_alive else b"connection: close\r\n"


def _path_of(target: bytes) -> bytes:
    """The path of a target in absolute form; any other stays as it is."""
    scheme, found, rest = target.partition(b"://")
    if not found or scheme.lower() not in (b"http", b"https"):
        return target
    return b"/" + rest.partition(b"/")[2]
