"""A router as a process of its own, which can be killed and started again on the same ports and folder."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from router import wire
from router.running import body
from router.wire import Answer
from testbed import ports


class RouterProcess:
    """One router; its configuration, keys and store lie in `folder`."""

    def __init__(self, folder: Path, said: Mapping[str, Any], *arguments: str) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "router.yaml").write_text(json.dumps(said))
        self.port, self.metrics_port = ports.free(2)
        self._log = folder / "router.log"
        self._command = [
            *("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "heterofleet.router.entry"),
            *("--config", str(folder / "router.yaml"), "--host", "127.0.0.1", "--port", str(self.port)),
            *("--metrics-host", "127.0.0.1", "--metrics-port", str(self.metrics_port), "--access-log", "none"),
            *("--keys", str(folder / "keys"), "--store-folder", str(folder), "--linger-seconds", "0", *arguments),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop(signal.SIGKILL)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    async def stop(self, number: signal.Signals) -> None:
        """Sends a signal, and waits until the process has ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            await asyncio.to_thread(self._process.wait)

    async def ready(self) -> Self:
        """Waits until it is."""
        while (await self.readiness()) != "ok\n":
            assert self._process is not None
            assert self._process.poll() is None, self._log.read_text()[-4000:]
            await asyncio.sleep(0.02)
        return self

    async def readiness(self) -> str:
        """What /readyz says; empty while nobody listens."""
        try:
            async with wire.connected(self.metrics_port) as client:
                client.send(b"GET /readyz HTTP/1.1\r\nhost: router\r\nconnection: close\r\n\r\n")
                await client.head()
                return (await client.reader.read()).decode()
        except (OSError, asyncio.IncompleteReadError):
            return ""

    async def send(self, request: bytes) -> Answer:
        async with wire.connected(self.port) as client:
            client.send(request)
            return await client.answer()

    async def ask(self, *headers: str, **fields: Any) -> Answer:
        """Asks for a chat answer of the small tier."""
        return await self.send(wire.post(body("act", **fields), *headers))

    async def get(self, path: str, *headers: str) -> Answer:
        lines = "".join(f"{line}\r\n" for line in headers)
        return await self.send(f"GET {path} HTTP/1.1\r\nhost: router\r\n{lines}\r\n".encode())
