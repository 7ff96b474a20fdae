"""One child in a process group of its own: its output goes through unchanged, its last lines are kept."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence

from .group import Over

CHUNK_BYTES = 1 << 16
LINE_BYTES = 2000
LAST_LINES = 400
"""The tracebacks of three processes."""
PUMP_SECONDS = 1.0
"""How long the last output may take after a child's death; a grandchild may hold the pipe for ever."""


Lines = collections.deque[bytes]


class Tail:
    """Cuts one stream into lines and adds them to the last lines, bounded in number and length."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        *whole, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest[-CHUNK_BYTES:]
        for line in whole:
            self._keep(line)

    def close(self) -> None:
        self._keep(self._rest)

    def _keep(self, line: bytes) -> None:
        """Progress bars overwrite their line: only its last state is worth a place."""
        kept = line.rstrip(b"\r").rpartition(b"\r")[2][:LINE_BYTES]
        if kept:
            self._lines.append(kept)


class Process:
    """A running command."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], echo_stdout: bool = True) -> None:
        try:
            self._popen = subprocess.Popen(
                list(command),
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise Over(127, f"{command[0]} cannot be run: {error}") from error
        self._lines: Lines = collections.deque(maxlen=LAST_LINES)
        self._pumps = [
            threading.Thread(target=self._pump, args=(stream.fileno(), target), daemon=True)
            for stream, target in ((self._popen.stdout, 1 if echo_stdout else None), (self._popen.stderr, 2))
            if stream is not None
        ]
        for pump in self._pumps:
            pump.start()

    def _pump(self, source: int, target: int | None) -> None:
        tail = Tail(self._lines)
        while True:
            chunk = os.read(source, CHUNK_BYTES)
            if not chunk:
                tail.close()
                return
            tail.feed(chunk)
            try:
                while chunk and target is not None:
                    chunk = chunk[os.write(target, chunk) :]
            except OSError:
                # Nobody reads our output any more; a pipe that is not emptied would stop the engine.
                target = None

    @property
    def pid(self) -> int:
        return self._popen.pid

    def last_lines(self) -> list[str]:
        """What it said last, stdout and stderr together."""
        return [line.decode(errors="replace") for line in list(self._lines)]

    def code(self) -> int | None:
        """The exit code as a shell would say it, None while it runs."""
        status = self._popen.poll()
        return status if status is None or status >= 0 else 128 - status

    def ask(self) -> None:
        """Signals the main process alone: it stops its own children in the right order."""
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends what is left of the process group, also of a dead child: orphans would hold their GPUs."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        for pump in self._pumps:
            pump.join(PUMP_SECONDS)


def reap(known: Sequence[Process]) -> None:
    """Collects orphans that fell to us as the container's first process; our own children keep their codes."""
    own = {process.pid for process in known}
    with contextlib.suppress(ChildProcessError):
        while True:
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if dead is None or dead.si_pid in own:
                return
            os.waitpid(dead.si_pid, os.WNOHANG)
