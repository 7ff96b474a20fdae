"""Lets one process at a time bring a model, over all pods that see the cache, whatever its file system promises."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

FLOCK_UNSUPPORTED = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


class Clock(NamedTuple):
    """The times of the lock, in seconds; tests shorten them."""

    pause: float = 1.0
    heartbeat: float = 5.0
    stale: float = 30.0


class Turn:
    """One process at a time, over all pods that see the folder.

    flock is exact but some network file systems refuse it and others honour it on one machine only, so a lease file
    with a heartbeat stands behind it. Staleness is judged by how long *we* saw the lease unchanged: no two machines'
    clocks are compared.
    """

    def __init__(self, folder: Path, owner: str, waits: Callable[[str], None], clock: Clock) -> None:
        self._lease = folder.with_name(folder.name + ".lease")
        self._lock_path = folder.with_name(folder.name + ".lock")
        self._owner, self._waits, self._clock = owner, waits, clock
        self._stop = threading.Event()

    @contextlib.contextmanager
    def taken(self, over: Callable[[], bool]) -> Iterator[bool]:
        """Yields True when the turn is ours, False when `over` became true while we waited."""
        self._lock_path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock_path.open("a") as lock:
            ours = self._wait(lock.fileno(), over)
            beat = threading.Thread(target=self._beat, daemon=True)
            try:
                if ours:
                    beat.start()
                yield ours
            finally:
                self._stop.set()
                if ours:
                    beat.join()
                    self._lease.unlink(missing_ok=True)

    def _wait(self, lock: int, over: Callable[[], bool]) -> bool:
        locked, seen, since = False, self._state(), time.monotonic()
        while not over():
            locked = locked or self._flock(lock)
            if locked:
                state = self._state()
                if state != seen:
                    seen, since = state, time.monotonic()
                if self._take(state, time.monotonic() - since):
                    return True
            self._waits(self._holder())
            time.sleep(self._clock.pause)
        return False

    @staticmethod
    def _flock(lock: int) -> bool:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in FLOCK_UNSUPPORTED
        return True

    def _state(self) -> tuple[str, int] | None:
        try:
            return self._lease.read_text(), self._lease.stat().st_mtime_ns
        except OSError:
            return None

    def _holder(self) -> str:
        state = self._state()
        return state[0] if state else ""

    def _take(self, state: tuple[str, int] | None, unchanged_seconds: float) -> bool:
        """Takes a free lease, our own of a former life, or one that nobody renews."""
        draft = self._lease.with_name(f"{self._lease.name}.{self._owner}")
        if state is None:
            try:
                with self._lease.open("x") as lease:
                    lease.write(self._owner)
            except FileExistsError:
                return False
            return True
        if state[0] != self._owner and unchanged_seconds < self._clock.stale:
            return False
        draft.write_text(self._owner)
        draft.replace(self._lease)
        # Two that saw the same stale lease both replace it; the one whose name stays has it.
        time.sleep(self._clock.pause)
        return self._holder() == self._owner

    def _beat(self) -> None:
        while not self._stop.wait(self._clock.heartbeat):
            if self._holder() != self._owner:
                sys.stderr.write("download: another pod took over while this one stood still\n")
                os._exit(1)
            os.utime(self._lease)
