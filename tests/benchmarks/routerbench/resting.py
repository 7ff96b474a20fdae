"""A router that has nothing to do: how soon it serves, and what it holds."""

import time
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.routerbench import ours, systems

_REST_SECONDS: Final = 1.0


class Rest(NamedTuple):
    """One start: seconds from the process to its first answer, and memory a moment later."""

    start_seconds: float
    memory_mb: float


def starts(wanted: systems.System, metrics_port: int, folder: Path, rounds: int) -> list[Rest]:
    """Start a router as often, with nothing else running on its core."""
    found = []
    for _ in range(rounds):
        with ours.started(wanted, metrics_port, folder) as started:
            time.sleep(_REST_SECONDS)
            found.append(Rest(started.running.start_seconds, started.running.memory_mb()))
    return found
