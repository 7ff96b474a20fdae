"""Starts Debian's redis-server on a free loopback port, with nothing on disk."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from testbed import debian, ports
from testbed.eventually import eventually


class MissingError(RuntimeError):
    """This machine cannot have redis-server."""


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """Gives host:port until the context is left. Raises MissingError."""
    program = debian.tool("redis-server")
    if program is None:
        raise MissingError("redis-server is not on PATH, and could not be brought")
    port = ports.free(1)[0]
    command = [str(program), "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen([*command, "--dir", str(folder)], stdout=log, stderr=log, start_new_session=True)
    try:
        eventually(lambda: _answers(port), 10, "redis-server answers")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
