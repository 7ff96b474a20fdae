"""The access log: one JSON line a request, with the decision and its reason.

Lines are gathered for a moment and written by a thread, since a pipe that nobody reads would stop the whole router;
what piles up beyond MOST_BATCHES is dropped and counted, requests are not.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Final

import orjson

FLUSH_SECONDS: Final = 0.1
MOST_BATCHES: Final = 256
LINES_A_BATCH: Final = 2000


class AccessLog:
    """Writes to `out` until it is closed."""

    def __init__(self, out: BinaryIO, loop: asyncio.AbstractEventLoop) -> None:
        self.dropped = 0
        self._loop = loop
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._batches: queue.Queue[bytes | None] = queue.Queue(MOST_BATCHES)
        self._writer = threading.Thread(target=self._write, args=(out,), name="access log", daemon=True)
        self._writer.start()

    def put(self, entry: Mapping[str, Any]) -> None:
        """One line; it is written within FLUSH_SECONDS."""
        self._lines.append(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH_SECONDS, self._flush)
        elif len(self._lines) >= LINES_A_BATCH:
            self._timer.cancel()
            self._flush()

    def _flush(self) -> None:
        self._timer = None
        lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            self._batches.put_nowait(b"".join(lines))
        except queue.Full:
            self.dropped += len(lines)

    def _write(self, out: BinaryIO) -> None:
        while (batch := self._batches.get()) is not None:
            # A log that cannot be written must not end the thread: the next batch may go through.
            with contextlib.suppress(OSError, ValueError):
                out.write(batch)
                out.flush()

    def close(self, seconds: float = 2.0) -> None:
        """Writes what is left, for `seconds` at most."""
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        with contextlib.suppress(queue.Full):
            self._batches.put(None, timeout=seconds)
        self._writer.join(seconds)


Put = Callable[[Mapping[str, Any]], None]
