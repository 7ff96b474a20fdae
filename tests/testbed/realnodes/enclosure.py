"""The namespaces in which a bed lives, seen from outside: processes are started in them, and threads enter them.

A thread that entered is in the bed's network: the sockets that it opens and the processes and threads that it starts
are there, and nothing of it reaches anything outside. Files and processes stay this machine's.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from testbed.eventually import eventually
from testbed.realnodes import keeper
from testbed.realnodes.programs import NodesUnavailable

_NEW_NETWORK: Final = 0x40000000
_END_SECONDS: Final = 120
_libc = ctypes.CDLL(None, use_errno=True)


class Enclosure:
    """Fresh namespaces of processes, mounts and network; NodesUnavailable where the machine refuses them."""

    def __init__(self, folder: Path, groups: str) -> None:
        command = [sys.executable, "-I", str(Path(keeper.__file__)), str(folder), groups]
        log = (folder / "logs" / "keeper.log").open("ab")
        with log:
            self._keeper = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._keeper.stdout is not None
        said = self._keeper.stdout.readline().strip()
        if not said:
            self.close()
            reason = (folder / "logs" / "keeper.log").read_text().strip().splitlines()
            raise NodesUnavailable(f"real nodes need namespaces of their own: {reason[-1] if reason else 'refused'}")
        self.first = int(said)
        """The id of its first process, as this machine counts."""

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` inside, in all of its namespaces."""
        return ["nsenter", "--target", str(self.first), "--net", "--mount", "--pid", "--", *argv]

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """The calling thread is in the network for the duration of a block."""
        with self._moved(Path(f"/proc/{self.first}/ns/net")):
            yield

    @contextlib.contextmanager
    def outside(self) -> Iterator[None]:
        """The calling thread is in this machine's own network for the duration of a block."""
        with self._moved(Path(f"/proc/{self._keeper.pid}/ns/net")):
            yield

    @contextlib.contextmanager
    def _moved(self, network: Path) -> Iterator[None]:
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _enter(network)
            yield
        finally:
            _set_network(before)
            os.close(before)

    def close(self) -> None:
        """Ends everything inside and removes what it leaves behind; harmless when repeated."""
        if self._keeper.stdin is not None and not self._keeper.stdin.closed:
            self._keeper.stdin.close()
        self._keeper.wait(_END_SECONDS)
        if self._keeper.stdout is not None:
            self._keeper.stdout.close()


class Daemon:
    """A program of the bed that is started, ended and started again with the same command; output goes to its log."""

    def __init__(
        self, enclosure: Enclosure, log: Path, argv: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self._enclosure = enclosure
        self._log = log
        self.command = list(argv)
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it unless it runs."""
        if self.running:
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._enclosure.command(self.command),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Ends it and waits until it is gone."""
        if self._process is None:
            return
        found = self._process
        # nsenter's child is the program; nsenter ends when it ends.
        child = eventually(lambda: _child(found.pid) or found.poll() is not None, 10, f"{self.command[0]} has started")
        if isinstance(child, bool):
            return
        os.kill(child, how)
        found.wait(30)


def _child(pid: int) -> int | None:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def _enter(network: Path) -> None:
    handle = os.open(network, os.O_RDONLY)
    try:
        _set_network(handle)
    finally:
        os.close(handle)


def _set_network(handle: int) -> None:
    if _libc.setns(handle, _NEW_NETWORK):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
