"""A real redis-server on a free loopback port, for tests and demo, which may stop, freeze and start it again."""

import signal
import socket
import subprocess
from pathlib import Path
from typing import Self

from testbed import debian, ports
from testbed.eventually import eventually


class MissingError(Exception):
    """This machine has no redis-server, and apt cannot bring it; the reason has been printed."""


class RedisServer:
    """One server whose data lie in `folder`; what it acknowledged is on the disk, as a careful installation has it."""

    def __init__(self, folder: Path, *, password: str | None = None) -> None:
        program = debian.tool("redis-server")
        if program is None:
            raise MissingError
        self.port = ports.free(1)[0]
        self._folder = folder
        # It ends with the tests, however they end.
        self._command = [
            *("setpriv", "--pdeathsig", "KILL", str(program)),
            *("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(folder)),
            *("--save", "", "--appendonly", "yes", "--appendfsync", "always"),
            *(("--requirepass", password) if password is not None else ()),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        eventually(self._listens, message=lambda: (self._folder / "redis.log").read_text()[-2000:])

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections and answers nothing, as a machine does that hangs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _listens(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False
