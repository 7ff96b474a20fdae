"""A thousand streams at once: CPU time a chunk and memory, while all of them run and none begins or ends.

The client of all streams lives here, on the core of the load. Every stream is checked for its number of tokens and its
end, every KEPT_EVERYth byte by byte.
"""

import asyncio
import functools
import time
from typing import Final, NamedTuple, cast

import uvloop

from benchmarks.routerbench import events, openloop
from benchmarks.routerbench.systems import Running

STREAMS: Final = 1000
TOKEN_SECONDS: Final = 0.05
"""Time between two tokens of a stream: that of a large model, or of a small one under load."""

KEPT_EVERY: Final = 20
_RAMP_SECONDS: Final = 1.5
_SETTLE_SECONDS: Final = 1.0
_LAST_SECONDS: Final = 30.0
_MARK: Final = b"data: "


class Streamed(NamedTuple):
    """One round. `pieces`: reads in which the chunks came; fewer than chunks where some came together."""

    chunks: int
    pieces: int
    cpu_seconds: float
    busy: float
    memory_mb: float
    errors: int

    @property
    def cpu_us(self) -> float:
        """CPU microseconds a chunk."""
        return self.cpu_seconds / self.chunks * 1e6


def tokens(seconds: float) -> int:
    """The length of streams that all run for a window of so many seconds."""
    return round((_RAMP_SECONDS + 2 * _SETTLE_SECONDS + seconds) / TOKEN_SECONDS)


def measure(running: Running, body: str, seconds: float, streams: int = STREAMS) -> Streamed:
    """Open the streams, one after the other, and measure for so many seconds once all of them run."""
    return uvloop.run(_measured(running, openloop.request_of(body), seconds, streams))


class _Tally:
    """What all streams together have brought."""

    def __init__(self) -> None:
        self.chunks = self.pieces = 0


class _Stream(asyncio.Protocol):
    """One stream, from its request to its end."""

    def __init__(self, request: bytes, tally: _Tally, *, kept: bool) -> None:
        self._request, self._tally = request, tally
        self.kept: list[bytes] | None = [] if kept else None
        self.events = 0
        self._first, self._last = b"", b""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        found = data.count(_MARK)
        self.events += found
        self._tally.chunks += found
        self._tally.pieces += 1
        if self.kept is not None:
            self.kept.append(data)
        if not self._first:
            self._first = data
        self._last = data if len(data) > len(events.LAST_CHUNK) else self._last + data
        if self._last.endswith(events.LAST_CHUNK):
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)
            self._transport.close()

    def is_whole(self, length: int) -> bool:
        """Whether it has brought every token, and its end; whether every byte was right, where they were kept."""
        came = self._first.startswith(b"HTTP/1.1 200 ") and self._last.endswith(events.LAST_CHUNK)
        # The reason of the end and [DONE] are events too; that of the usage was not asked for.
        if not came or self.events != length + 2:
            return False
        if self.kept is None:
            return True
        body = b"".join(self.kept).split(b"\r\n\r\n", 1)[1]
        return events.unchunked(body) == events.whole(length)


async def _measured(running: Running, request: bytes, seconds: float, streams: int) -> Streamed:
    tally = _Tally()
    length = tokens(seconds)
    all_streams = await _opened(running.port, request, streams, tally)
    await asyncio.sleep(_SETTLE_SECONDS)
    chunks, pieces, cpu, began = tally.chunks, tally.pieces, running.cpu_seconds(), time.monotonic()
    await asyncio.sleep(seconds)
    cpu, taken = running.cpu_seconds() - cpu, time.monotonic() - began
    chunks, pieces = tally.chunks - chunks, tally.pieces - pieces
    memory = running.memory_mb()
    still = sum(not stream.over.done() for stream in all_streams)
    await asyncio.wait([stream.over for stream in all_streams], timeout=_LAST_SECONDS)
    errors = sum(not stream.is_whole(length) for stream in all_streams) + (streams - still)
    return Streamed(chunks, pieces, cpu, cpu / taken, memory, errors)


async def _opened(port: int, request: bytes, streams: int, tally: _Tally) -> list[_Stream]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    opened = []
    for number in range(streams):
        await asyncio.sleep(began + _RAMP_SECONDS * number / streams - loop.time())
        make = functools.partial(_Stream, request, tally, kept=number % KEPT_EVERY == 0)
        _, stream = await loop.create_connection(make, "127.0.0.1", port)
        opened.append(stream)
    return opened
