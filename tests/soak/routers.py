"""The routers: real processes at addresses of their own, each with its own file, that end and begin again.

A `Life` is one process; what it wrote is kept under its name, so that it can be held to what its clients saw.
"""

import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from router.wire import Wire

LINGER_SECONDS: Final = 1.0
DRAIN_SECONDS: Final = 45.0
START_SECONDS: Final = 60.0
ADMIN_SECONDS: Final = 5.0


@dataclass
class Life:
    """One process of a router. `leaving_at` and `killed_at` are when it was told to end, and how."""

    name: str
    process: asyncio.subprocess.Process
    access_log: Path
    log: Path
    began: float
    leaving_at: float | None = None
    killed_at: float | None = None

    @property
    def told_to_end(self) -> bool:
        return self.leaving_at is not None or self.killed_at is not None

    @property
    def died(self) -> bool:
        """Whether it ended unasked, or otherwise than it was asked to."""
        code = self.process.returncode
        return code is not None and self.killed_at is None and not (self.leaving_at is not None and code == 0)


@dataclass
class Replica:
    """Where a router listens."""

    name: str
    host: str
    port: int
    metrics_port: int

    async def is_ready(self) -> bool:
        """Whether /readyz says so now."""
        try:
            status, _ = await self.get("/readyz")
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            return False
        return status == 200

    async def get(self, path: str) -> tuple[int, str]:
        """Asks the metrics port. Raises OSError, IncompleteReadError and TimeoutError."""
        async with asyncio.timeout(ADMIN_SECONDS):
            reader, writer = await asyncio.open_connection(self.host, self.metrics_port)
            try:
                wire = Wire(reader, writer)
                wire.send(f"GET {path} HTTP/1.1\r\nhost: router\r\nconnection: close\r\n\r\n".encode())
                status, _ = await wire.head()
                return status, (await reader.read()).decode()
            finally:
                writer.transport.abort()


class Router(Replica):
    """One replica. `lives` are its processes so far, the last of which is the one that runs."""

    def __init__(self, name: str, host: str, folder: Path, now: Callable[[], float]) -> None:
        super().__init__(name, host, 8080, 9090)
        self.folder = folder
        self.config = folder / f"router-{name}.yaml"
        self.lives: list[Life] = []
        self._now = now

    @property
    def life(self) -> Life:
        return self.lives[-1]

    async def start(self) -> None:
        """Begins a new life, and waits until it is ready."""
        name = f"{self.name}-{len(self.lives) + 1}"
        access_log, log = self.folder / f"{name}.access.jsonl", self.folder / f"{name}.log"
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(*self._command(access_log), stdout=out, stderr=out)
        self.lives.append(Life(name, process, access_log, log, self._now()))
        async with asyncio.timeout(START_SECONDS):
            while not await self.is_ready():
                if process.returncode is not None:
                    raise RuntimeError(f"router {name} ended with {process.returncode}: {log.read_text()[-2000:]}")
                await asyncio.sleep(0.05)

    async def end(self) -> None:
        """SIGTERM, as the kubelet sends it; waits until the process has ended."""
        self.life.leaving_at = self._now()
        await self._signal(signal.SIGTERM)

    async def kill(self) -> None:
        """SIGKILL, as the kernel sends it for want of memory."""
        self.life.killed_at = self._now()
        await self._signal(signal.SIGKILL)

    async def _signal(self, number: signal.Signals) -> None:
        process = self.life.process
        if process.returncode is None:
            process.send_signal(number)
        try:
            async with asyncio.timeout(LINGER_SECONDS + DRAIN_SECONDS + 15):
                await process.wait()
        except TimeoutError:
            # It is judged by its exit code, which is not 0 now.
            process.kill()
            await process.wait()

    def _command(self, access_log: Path) -> list[str]:
        options = {
            "config": self.config,
            "host": self.host,
            "port": self.port,
            "metrics-host": self.host,
            "metrics-port": self.metrics_port,
            "access-log": access_log,
            "log-format": "text",
            "keys": self.folder / "keys",
            "linger-seconds": LINGER_SECONDS,
            "drain-seconds": DRAIN_SECONDS,
        }
        # Whatever ends the soak ends its routers.
        entry = ("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "heterofleet.router.entry")
        return [*entry, *(f"--{name}={value}" for name, value in options.items())]
