"""A system under test: how it is started, where it answers, and what it is once it runs."""

import contextlib
import http.client
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.routerbench import children, cores
from benchmarks.routerbench.children import Child

_PATH: Final = "/v1/chat/completions"
_START_SECONDS: Final = 300.0


@dataclass(frozen=True)
class System:
    """A router as it is started for the benchmark; `command` empty: no router, the engines are asked themselves.

    `first` is the body it is first asked, until it answers. `prepare` makes its folder ready.
    """

    name: str
    command: tuple[str, ...]
    port: int
    first: str
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Path], None] = lambda _folder: None


@dataclass(frozen=True)
class Running:
    """A system that answers. `start_seconds` went by from its process to its first answer."""

    system: System
    child: Child | None
    start_seconds: float

    @property
    def name(self) -> str:
        return self.system.name

    @property
    def port(self) -> int:
        return self.system.port

    def cpu_seconds(self) -> float:
        return 0.0 if self.child is None else self.child.cpu_seconds()

    def memory_mb(self) -> float:
        return 0.0 if self.child is None else self.child.memory_mb()


@contextlib.contextmanager
def running(system: System, folder: Path, stdout: int | None = None) -> Iterator[Running]:
    """A system on the routers' core, once it has answered its first request."""
    if not system.command:
        yield Running(system, None, 0.0)
        return
    home = folder / system.name.replace(" ", "-")
    home.mkdir(exist_ok=True)
    system.prepare(home)
    began = time.monotonic()
    command = [part.replace("{folder}", str(home)) for part in system.command]
    with children.running(
        system.name, command, core=cores.ROUTER, folder=home, environment=system.environment, stdout=stdout
    ) as child:
        _await_answer(system, child, began + _START_SECONDS)
        yield Running(system, child, time.monotonic() - began)


def _await_answer(system: System, child: Child, ends: float) -> None:
    while not _answers(system):
        child.check()
        if time.monotonic() > ends:
            raise TimeoutError(f"{system.name} does not answer; its log is {child.log}")
        time.sleep(0.005)


def _answers(system: System) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=10)
    try:
        connection.request("POST", _PATH, system.first.encode(), {"Content-Type": "application/json"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
