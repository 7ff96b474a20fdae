"""Writes of one turn of the event loop, made one right after the other in the next.

A write to a peer that sleeps wakes it, which takes the kernel longer than the write. Between two requests the router
computes for longer than its peers need for one, so that each write would find them asleep again; together only the
first one does.
"""

import asyncio


class Outbox:
    """Gathers writes; whoever writes or closes a transport by himself calls `flush` before it."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[tuple[asyncio.WriteTransport, bytes]] = []

    def put(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Writes in a moment, unless the transport is closed by then."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append((transport, data))

    def flush(self) -> None:
        """Writes at once what has been gathered, in its order."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)
