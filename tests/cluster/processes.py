"""Starts, pauses and ends operator processes for the process tests."""

import contextlib
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from testbed import ports
from testbed.eventually import eventually

ROOT = Path(__file__).parents[2]


@dataclass
class Process:
    """One running operator process."""

    popen: subprocess.Popen[bytes]
    port: int
    log: Path

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of one of the health server's answers; status 0 when nothing listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read().decode()
        except OSError:
            return 0, ""

    def leads(self) -> bool:
        return "heterofleet_operator_leader 1.0" in self.get("/metrics")[1]

    def is_ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def send(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def exit_status(self, seconds: float = 30) -> int:
        return self.popen.wait(seconds)

    def stop(self) -> int:
        self.send(signal.SIGTERM)
        return self.exit_status()


@contextlib.contextmanager
def started(kubeconfig: Path, folder: Path, name: str, **settings: str) -> Iterator[Process]:
    """Runs `small_operator.py`; settings are environment variables without their prefix."""
    (port,) = ports.free(1)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'operator'}",
        "KUBECONFIG": str(kubeconfig),
        "POD_NAME": name,
        "HETEROFLEET_LOG_FORMAT": "text",
        "HETEROFLEET_METRICS_HOST": "127.0.0.1",
        "HETEROFLEET_METRICS_PORT": str(port),
        **settings,
    }
    log = folder / f"{name}.log"
    program = [sys.executable, str(Path(__file__).with_name("small_operator.py"))]
    with log.open("ab") as output:
        popen = subprocess.Popen(program, env=environment, stdout=output, stderr=output)
    process = Process(popen, port, log)
    try:
        yield process
    finally:
        popen.kill()
        popen.wait()
        sys.stderr.write(f"--- log of {name}\n{log.read_text()}")


@contextlib.contextmanager
def leading(kubeconfig: Path, folder: Path, name: str, **settings: str) -> Iterator[Process]:
    """The same, once it leads with full caches."""
    with started(kubeconfig, folder, name, **settings) as process:
        eventually(lambda: process.is_ready() and process.leads(), 60, f"{name} leads")
        yield process
