"""Engines that stream: `python -m benchmarks.routerbench.streamengine TOKENS SECONDS PORT...`.

Each stream has TOKENS tokens, one every SECONDS; every event is a write of its own, as an engine's is.
"""

import asyncio
import sys
from typing import cast

import uvloop

from benchmarks.routerbench import bodies, events

_WHOLE = bodies.ANSWER.encode()


class _Connection(asyncio.Protocol):
    """One connection: it answers one request after the other, and /health and the like at once."""

    def __init__(self, pieces: list[bytes], usage: bytes, seconds: float) -> None:
        self._pieces, self._usage, self._seconds = pieces, usage, seconds
        self._loop = asyncio.get_running_loop()
        self._request = b""
        self._wants_usage = False
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._request += data
        head = self._request.find(b"\r\n\r\n")
        if head < 0 or len(self._request) < head + 4 + _length(self._request[:head]):
            return
        request, self._request = self._request, b""
        if request.startswith(b"GET "):
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
            return
        self._wants_usage = b"include_usage" in request
        if b'"stream":true' not in request:
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                % (len(_WHOLE), _WHOLE)
            )
            return
        self._number = 0
        self._transport.write(events.HEAD)
        self._due = self._loop.time()
        self._write_next()

    def _write_next(self) -> None:
        if self._number == len(self._pieces):
            usage = self._usage if self._wants_usage else b""
            self._transport.write(usage + events.chunked(events.DONE) + events.LAST_CHUNK)
            self._timer = None
            return
        self._transport.write(self._pieces[self._number])
        self._number += 1
        self._due += self._seconds
        self._timer = self._loop.call_at(self._due, self._write_next)


def _length(head: bytes) -> int:
    fields = head.lower()
    at = fields.find(b"\r\ncontent-length:")
    return int(fields[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


async def _serve(tokens: int, seconds: float, ports: list[int]) -> None:
    pieces = [events.chunked(events.token(number)) for number in range(tokens)]
    pieces.append(events.chunked(events.finish()))
    usage = events.chunked(events.usage(tokens))
    loop = asyncio.get_running_loop()
    for port in ports:
        await loop.create_server(lambda: _Connection(pieces, usage, seconds), "127.0.0.1", port, backlog=4096)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), float(sys.argv[2]), [int(port) for port in sys.argv[3:]]))
