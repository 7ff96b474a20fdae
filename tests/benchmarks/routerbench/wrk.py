"""Closed-loop load by wrk: as many answers as a system gives to CONNECTIONS clients that ask again at once.

wrk checks the status of every answer; `load.lua` sees to it that each request that was sent gets one. CPU time is read
when the script says that its window begins and ends, so that neither start nor end of a run is in it.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final, NamedTuple

from benchmarks.routerbench import cores

CONNECTIONS: Final = 64
_SCRIPT: Final = Path(__file__).with_name("load.lua")
_LAST_ANSWERS_SECONDS: Final = 0.4
_PATH: Final = "/v1/chat/completions"


class Load(NamedTuple):
    """What is sent: bodies, one a line, for so long after warming up. `slow`: to who gives tens of answers a second."""

    bodies: Path
    seconds: float
    warm_seconds: float = 0.5
    slow: bool = False

    def environment(self) -> dict[str, str]:
        """What load.lua reads."""
        return {
            "BODIES": str(self.bodies),
            "WARM": str(self.warm_seconds),
            "SECONDS": str(self.seconds),
            "LOOK_EVERY": "1" if self.slow else "16",
        }


class Mark(NamedTuple):
    """How many requests had been sent at a moment."""

    sent: int
    at: float


class Taken(NamedTuple):
    """One run. `sent` is all of it; requests, seconds and CPU time are the window's; `busy` is of the system's core."""

    sent: int
    errors: int
    requests: int
    seconds: float
    cpu_seconds: float
    busy: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU microseconds a request."""
        return self.cpu_seconds / self.requests * 1e6


def drive(program: Path, port: int, load: Load, cpu_seconds: Callable[[], float]) -> Taken:
    """Load the system at a port; `cpu_seconds` tells what it has used so far."""
    options = ["-t1", f"-c{CONNECTIONS}", "-d600s", "--timeout", "30s", "-s", str(_SCRIPT)]
    command = [str(program), *options, f"http://127.0.0.1:{port}{_PATH}"]
    process = subprocess.Popen(
        cores.pinned(cores.LOAD, command), stdout=subprocess.PIPE, env=os.environ | load.environment(), text=True
    )
    try:
        assert process.stdout is not None
        begin, first = _await_mark("begin", process.stdout), (time.monotonic(), cpu_seconds())
        end, last = _await_mark("end", process.stdout), (time.monotonic(), cpu_seconds())
        time.sleep(_LAST_ANSWERS_SECONDS if not load.slow else 10 * _LAST_ANSWERS_SECONDS)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    busy = (last[1] - first[1]) / (last[0] - first[0])
    seconds = end.at - begin.at
    # The marks are read a moment after they were written; the share of the core carries over, the moments do not.
    return Taken(end.sent, errors_of(rest), end.sent - begin.sent, seconds, busy * seconds, busy)


def _await_mark(word: str, lines: IO[str]) -> Mark:
    for line in lines:
        if line.startswith(f"{word} "):
            return mark_of(line)
    raise RuntimeError(f"wrk ended before it said {word!r}")


def mark_of(line: str) -> Mark:
    """What `begin` and `end` say."""
    _, sent, at = line.split()
    return Mark(int(sent), float(at))


def errors_of(output: str) -> int:
    """Answers of a status above 399, and requests without an answer."""
    said = next(line.split() for line in output.splitlines() if line.startswith("errors "))
    return int(said[1]) + int(said[2])
