"""Starts the programs of a benchmark, each on its core, and ends them."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.routerbench import cores, procfs

_STOP_SECONDS = 15
_LISTEN_SECONDS = 60


@dataclass(frozen=True)
class Child:
    """A program that runs. What it says on standard error is in `log`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def cpu_seconds(self) -> float:
        return procfs.cpu_seconds(self.process.pid)

    def memory_mb(self) -> float:
        return procfs.memory_mb(self.process.pid)

    def check(self) -> None:
        """Raise RuntimeError, with the end of its log, when it has ended."""
        if self.process.poll() is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}; the end of its log:\n{tail}")


def await_listening(child: Child, port: int) -> None:
    """Wait until a program listens. Raises RuntimeError when it ends before, TimeoutError when it does not come to."""
    ends = time.monotonic() + _LISTEN_SECONDS
    while True:
        child.check()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > ends:
                raise TimeoutError(f"{child.name} does not listen on port {port}; its log is {child.log}") from None
            time.sleep(0.01)
        else:
            return


@contextlib.contextmanager
def running(
    name: str,
    command: Sequence[str],
    *,
    core: int,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    stdout: int | None = None,
) -> Iterator[Child]:
    """A program as long as the context lasts; SIGTERM ends it. Its output goes to its log unless it has a place."""
    path = folder / f"{name.replace(' ', '-')}.log"
    with path.open("ab") as log:
        process = subprocess.Popen(
            cores.pinned(core, command),
            stdin=subprocess.DEVNULL,
            stdout=log if stdout is None else stdout,
            stderr=log,
            env=os.environ | (environment or {}),
        )
    try:
        yield Child(name, process, path)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
