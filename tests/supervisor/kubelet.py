"""Plays the kubelet for supervisors on loopback: mounts their files, runs containers, restarts those that exit."""

import dataclasses
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import heterofleet.supervisor
from testbed import ports
from testbed.eventually import eventually

TESTS = Path(__file__).parent
PYTHON = os.environ.get("SUPERVISOR_PYTHON", sys.executable)
"""The oldest Python of the engine images is 3.9; `SUPERVISOR_PYTHON=python3.9 pytest tests/supervisor` shows it."""
ENGINE = [sys.executable, "-m", "testbed.engineprocess", "serve", "{model}"]
HOST = "127.0.0.1"


def mount(folder: Path) -> Path:
    """Lays the supervisor's files out as a mounted ConfigMap: links into a dated folder behind `..data`."""
    mounted, dated = folder / "supervisor", folder / "supervisor" / "..2026_01_01"
    dated.mkdir(parents=True)
    (mounted / "..data").symlink_to(dated.name)
    for source in Path(heterofleet.supervisor.__file__).parent.glob("*.py"):
        (dated / source.name).write_text(source.read_text())
        (mounted / source.name).symlink_to(Path("..data", source.name))
    return mounted


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    body: Any


def ask(port: int, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
    """One request to loopback; an answer of any status, 0 where nobody listens, or ends before all was said."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{HOST}:{port}{path}", data, {**(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            text = response.read()
            return Answer(response.status, json.loads(text) if text else None)
    except urllib.error.HTTPError as error:
        return Answer(error.code, json.loads(error.read() or b"null"))
    except (OSError, http.client.HTTPException):
        return Answer(0, None)


class Container:
    """One container of a pod: its files outlive its lives, as a pod's volumes do."""

    def __init__(self, mounted: Path, home: Path, command: Sequence[str], variables: Mapping[str, str]) -> None:
        home.mkdir()
        self.home, self.port = home, int(variables["HETEROFLEET_SUPERVISOR_PORT"])
        self.exits: list[int] = []
        self.output = home / "output"
        self._command = [PYTHON, str(mounted), "--", *command]
        self._variables = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS / "hub")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HETEROFLEET_POD_IP": HOST,
            "HETEROFLEET_BIND": HOST,
            "HETEROFLEET_SERVED_MODEL": "model",
            "HETEROFLEET_RUN_DIR": str(home),
            "HETEROFLEET_TERMINATION_LOG": str(home / "termination-log"),
            "HETEROFLEET_POLL_SECONDS": "0.1",
            "HETEROFLEET_PEER_LOST_SECONDS": "2",
            **variables,
        }
        self._deleted = threading.Event()
        self._changing = threading.Lock()
        """Held while a life begins or the end is told: else the last life could begin after the end."""
        self._process = self._spawn()
        self._keeper = threading.Thread(target=self._keep)
        self._keeper.start()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.output.open("ab") as output:
            return subprocess.Popen(self._command, env=self._variables, stdout=output, stderr=output)

    def _keep(self) -> None:
        """Restarts at once, then with a growing delay, as the kubelet does in tenfold time."""
        delay = 0.0
        while True:
            code = self._process.wait()
            self.exits.append(code if code >= 0 else 128 - code)
            self._deleted.wait(delay)
            with self._changing:
                if self._deleted.is_set():
                    return
                self._process = self._spawn()
            delay = max(1.0, 2 * delay)

    def status(self) -> dict[str, Any]:
        """What it says of itself; nothing while it does not listen."""
        return ask(self.port, "/status").body or {}

    def probe(self, path: str) -> int:
        return ask(self.port, path).status

    def message(self) -> str:
        """The termination message of the last life."""
        path = self.home / "termination-log"
        return path.read_text() if path.exists() else ""

    def engine_pid(self) -> int:
        """The engine: the supervisor's only child once it has started one."""
        pid = self._process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def engine_arguments(self) -> list[str]:
        return Path(f"/proc/{self.engine_pid()}/cmdline").read_text().split("\0")[:-1]

    def signal(self, number: signal.Signals) -> None:
        """Signals the supervisor alone."""
        self._process.send_signal(number)

    def crash(self) -> None:
        """Ends all processes at once, as a container that is out of memory."""
        engine = self.engine_pid()
        self._process.send_signal(signal.SIGKILL)
        os.killpg(engine, signal.SIGKILL)

    def delete(self) -> None:
        """SIGTERM, as for a pod that is deleted; it does not come back."""
        with self._changing:
            self._deleted.set()
            self._process.send_signal(signal.SIGTERM)

    def destroy(self) -> None:
        """Leaves nothing behind at the end of a test."""
        with self._changing:
            self._deleted.set()
            try:
                self.crash()
            except (OSError, IndexError):
                self._process.kill()
        self._keeper.join()

    def wait_deleted(self, timeout: float = 20) -> int:
        """The last exit code, once the container is gone."""
        self._keeper.join(timeout)
        assert not self._keeper.is_alive(), "the container is still there"
        return self.exits[-1]


class Group:
    """The containers of one engine: the leader serves on `engine_port`."""

    def __init__(self, mounted: Path, home: Path, size: int, variables: Mapping[str, str], *extra: str) -> None:
        self.engine_port: int
        self.engine_port, *supervisor_ports = ports.free(1 + size)
        self._mounted, self._home, self._ports = mounted, home, supervisor_ports
        self._command = [*ENGINE, "--port", str(self.engine_port), *extra]
        self._variables = {
            "HETEROFLEET_PODS": str(size),
            "HETEROFLEET_GROUP_SERVICE": "g.test.svc",
            "HETEROFLEET_PEERS": ",".join(f"{HOST}:{port}" for port in supervisor_ports),
            "HETEROFLEET_ENGINE_PORT": str(self.engine_port),
            "HETEROFLEET_DRAIN_SECONDS": "20",
            **variables,
        }
        self.ranks: dict[int, Container] = {}

    def start(self, *indices: int) -> None:
        for index in indices:
            own = {
                "HETEROFLEET_POD_NAME": f"g-{index}",
                "HETEROFLEET_POD_INDEX": str(index),
                "HETEROFLEET_SUPERVISOR_PORT": str(self._ports[index]),
            }
            home = self._home / f"g-{index}"
            self.ranks[index] = Container(self._mounted, home, self._command, {**self._variables, **own})

    def phases(self) -> list[str | None]:
        return [rank.status().get("phase") for rank in self.ranks.values()]

    def exits(self) -> list[list[int]]:
        return [rank.exits for rank in self.ranks.values()]

    def wait_serving(self, lives: int = 1, timeout: float = 30) -> dict[str, str]:
        """Waits until every rank serves in its given life and all name the same members; returns these."""

        def serving() -> dict[str, str]:
            seen = [rank.status() for rank in self.ranks.values()]
            members: dict[str, str] = seen[0].get("members") or {}
            expected = [("serving", lives, True, members)] * len(self.ranks)
            assert [(s.get("phase"), s.get("lives"), s.get("agreed"), s.get("members")) for s in seen] == expected
            assert [s["epoch"] for s in seen] == list(members.values())
            assert [rank.probe("/ready") for rank in self.ranks.values()] == [HTTPStatus.OK] * len(self.ranks)
            return members

        return eventually(serving, timeout)

    def set_engine(self, **state: object) -> None:
        assert ask(self.engine_port, "/testbed/state", state).status == HTTPStatus.OK

    def stream(self, tokens: int) -> "Stream":
        return Stream(self.engine_port, tokens)

    def destroy(self) -> None:
        for rank in self.ranks.values():
            rank.destroy()


class Stream:
    """A streamed completion that is read beside the test."""

    def __init__(self, port: int, tokens: int) -> None:
        body = {"model": "model", "prompt": "go", "max_tokens": tokens, "stream": True}
        request = urllib.request.Request(f"http://{HOST}:{port}/v1/completions", json.dumps(body).encode())
        self._response = urllib.request.urlopen(request, timeout=30)
        self.first: bytes = self._response.readline()
        self.rest = b""
        self.ended_at: float | None = None
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            self.rest = self._response.read()
        except OSError as error:
            self.rest = repr(error).encode()
        self.ended_at = time.monotonic()
        self._response.close()

    def runs(self) -> bool:
        return self._reader.is_alive()

    def tokens(self) -> int:
        """Waits for the end; the number of tokens of an answer that was not cut."""
        self._reader.join(30)
        assert self.rest.endswith(b"data: [DONE]\n\n"), self.rest[-200:]
        return (self.first + self.rest).count(b'"text"')
