"""Runs the real operator as a process against a cluster, and kills it, freezes it or starts it again.

    with OperatorProcess(cluster.kubeconfig, namespaces=["team-a"]) as operator:
        operator.kill()
        operator.start()

Its environment is the chart's, on free ports; its log is kept in `operator.log`. The Lease is short, so that a killed
leader's successor need not wait for 15 s.
"""

import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from testbed import ports
from testbed.eventually import eventually

_SOURCES = Path(__file__).parents[2] / "operator"
_STOP_SECONDS = 30


class OperatorProcess:
    """One operator: leading, standing by or dead. `namespaces` empty means the whole cluster."""

    def __init__(
        self,
        kubeconfig: Path,
        *,
        namespaces: Sequence[str] = (),
        lease_namespace: str = "default",
        lease_name: str = "heterofleet-operator",
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        user: int | None = None,
    ) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="heterofleet-operator-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "operator.log"
        self.port = ports.free(1)[0]
        self._environment = {
            "KUBECONFIG": str(kubeconfig),
            "PYTHONPATH": str(_SOURCES),
            "POD_NAMESPACE": lease_namespace,
            "HETEROFLEET_NAMESPACES": ",".join(namespaces),
            "HETEROFLEET_LOG_FORMAT": "text",
            "HETEROFLEET_METRICS_HOST": "127.0.0.1",
            "HETEROFLEET_METRICS_PORT": str(self.port),
            "HETEROFLEET_LEASE_NAME": lease_name,
            "HETEROFLEET_LEASE_NAMESPACE": lease_namespace,
            "HETEROFLEET_LEASE_DURATION_SECONDS": "4",
            "HETEROFLEET_LEASE_RENEW_DEADLINE_SECONDS": "3",
            "HETEROFLEET_LEASE_RETRY_PERIOD_SECONDS": "0.5",
            **(environment or {}),
        }
        # A user of that number and without a name, as in a container; the kernel keeps our own rights to files.
        as_user = ["unshare", "--user", f"--map-user={user}", f"--map-group={user}"] if user is not None else []
        self._command = [*as_user, sys.executable, "-m", "heterofleet.control.entry"]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the operator does not run")
        return self._process.pid

    def start(self, environment: Mapping[str, str] | None = None) -> Self:
        """Start it and wait until it is ready (its caches are full); it leads a moment later, if the Lease is free."""
        if environment:
            self._environment |= environment
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=inherited | self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(self._is_ready, 60, lambda: f"the operator is ready; its log:\n{self.tail()}")
        return self

    def stop(self) -> int | None:
        """End it gracefully, and give its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a lost machine does: no clean-up, and its Lease stays held until it is over."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def metrics(self) -> str:
        """The exposition that Prometheus would scrape."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            text: str = answer.read().decode()
            return text

    def peak_memory_mb(self) -> float:
        """The most memory that it was seen to hold (VmHWM), in units of 2^20 bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / 1024

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def errors(self) -> list[str]:
        """What it logged as an error: a bug, unless a test made it happen."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if " ERROR " in line]

    def _is_ready(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"the operator ended with {self._process.returncode}:\n{self.tail()}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                ready: bool = answer.status == 200
                return ready
        except (urllib.error.URLError, OSError):
            return False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            return process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
