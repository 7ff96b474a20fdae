"""What no router on an event loop goes below: `python -m benchmarks.routerbench.barerelay PORT ENGINE_PORT...`.

For each connection it opens one to an engine, and copies what comes on either to the other, byte for byte. Nothing is
parsed, decided, timed or kept: what it costs is the kernel's reading and writing, and uvloop's.
"""

import asyncio
import itertools
import sys
from collections.abc import Iterator
from typing import cast

import uvloop


class _Side(asyncio.Protocol):
    """One connection of a pair. What comes before its other side is there waits."""

    def __init__(self, other: "_Side | None" = None) -> None:
        self.other = other
        self.transport: asyncio.Transport | None = None
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self.other is not None:
            self.other.meet(self)

    def meet(self, other: "_Side") -> None:
        self.other = other
        if other.transport is not None and self._early:
            other.transport.write(self._early)

    def data_received(self, data: bytes) -> None:
        to = self.other.transport if self.other is not None else None
        if to is None:
            self._early += data
        elif not to.is_closing():
            to.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.abort()


class _Client(_Side):
    """A client's side; it opens the other one."""

    def __init__(self, engines: Iterator[int]) -> None:
        super().__init__()
        self._engines = engines

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        opening = loop.create_connection(lambda: _Side(self), "127.0.0.1", next(self._engines))
        self._opening = loop.create_task(opening)


async def _serve(port: int, engines: list[int]) -> None:
    turns = itertools.cycle(engines)
    await asyncio.get_running_loop().create_server(lambda: _Client(turns), "127.0.0.1", port, backlog=4096)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), [int(port) for port in sys.argv[2:]]))
