"""The processes of a running cluster, one by one: stopped, started again, or frozen, as chaos in tests.

kwokctl starts them as daemons and keeps their command lines in its kwok.yaml and their ids in pid files.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from testbed.eventually import eventually


class Components:
    """The components of the cluster whose kwokctl folder is given, by name (``kube-apiserver``, ``etcd``, ...)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: set[int] = set()  # what was started here and not collected since

    def names(self) -> list[str]:
        """The components that this cluster has, running or not."""
        return [component["name"] for component in self._described()]

    def process(self, name: str) -> int | None:
        """The id of a component's process, None when it does not run."""
        try:
            found = int((self._folder / "pids" / f"{name}.pid").read_text())
            command = Path(f"/proc/{found}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return found if command.startswith(f"{self._folder}/bin/{name}\0".encode()) else None

    def stop(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """End a component and wait until it is gone, with what it listened on."""
        found = self.process(name)
        if found is not None:
            os.kill(found, how)
            eventually(lambda: _has_ended(found), 30, f"{name} ends after {how.name}")
            self._collect(found)

    def start(self, name: str) -> None:
        """Start a component that was stopped, with the command line that it had."""
        described = next(component for component in self._described() if component["name"] == name)
        environment = os.environ | {entry["name"]: entry["value"] for entry in described.get("envs", [])}
        log = str(self._folder / "logs" / f"{name}.log")
        # A session of its own: it must outlive this process where the cluster does, and Ctrl-C in any case.
        started = os.posix_spawn(
            described["binary"],
            [described["binary"], *described.get("args", [])],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        (self._folder / "pids" / f"{name}.pid").write_text(str(started))
        self._own.add(started)

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Freeze a component (SIGSTOP) for the duration of a block."""
        found = self.process(name)
        if found is None:
            raise ProcessLookupError(f"{name} does not run")
        os.kill(found, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(found, signal.SIGCONT)

    def forget(self) -> None:
        """Collect the exit statuses of what was started here, once the cluster was ended."""
        for started in list(self._own):
            self._collect(started)

    def _collect(self, process: int) -> None:
        if process in self._own:
            os.waitpid(process, 0)
            self._own.discard(process)

    def _described(self) -> list[dict[str, Any]]:
        documents = yaml.safe_load_all((self._folder / "kwok.yaml").read_text())
        configuration = next(document for document in documents if document["kind"] == "KwokctlConfiguration")
        described: list[dict[str, Any]] = configuration["components"]
        return described


def _has_ended(process: int) -> bool:
    # The command line is gone first, then the first thread is a zombie; only when its other threads are gone too
    # are the sockets closed. A zombie stays listed until its parent collects it.
    folder = Path(f"/proc/{process}")
    try:
        status = (folder / "stat").read_text()
        threads = len(list((folder / "task").iterdir()))
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z" and threads == 1
