"""Watches the routers from outside, second by second: memory, files, processor time, and what they say they hold."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from soak import exposition
from soak.exposition import Exposition
from soak.routers import Life, Router

EVERY_SECONDS: Final = 1.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """One process at one moment; `at` is in seconds since the soak began."""

    at: float
    memory_mb: float
    descriptors: int
    cpu_seconds: float
    tasks: int
    connections: int
    attempts: int
    in_flight: int
    queued: int
    breakers_open: int

    @property
    def held(self) -> int:
        """Everything that is there for a request alone."""
        return self.connections + self.attempts + self.in_flight + self.queued


class Sampler:
    """Samples by the name of each life. `now` tells seconds since the soak began."""

    def __init__(self, routers: Sequence[Router], now: Callable[[], float]) -> None:
        self._routers, self._now = routers, now
        self.samples: dict[str, list[Sample]] = {}

    async def watch(self) -> None:
        """Samples until it is cancelled."""
        while True:
            await asyncio.gather(*(self.take(router) for router in self._routers))
            await asyncio.sleep(EVERY_SECONDS)

    async def take(self, router: Router) -> Sample | None:
        """One sample; None of a router that begins or ends just now."""
        life = router.life
        try:
            said = await exposition.scrape(router)
            if life is not router.life or life.process.returncode is not None:
                return None
            sample = _sample(life, said, self._now())
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            return None
        self.samples.setdefault(life.name, []).append(sample)
        return sample

    def to_json(self) -> dict[str, list[dict[str, Any]]]:
        return {life: [asdict(sample) for sample in samples] for life, samples in self.samples.items()}


def _sample(life: Life, said: Exposition, at: float) -> Sample:
    """Raises OSError where the process has ended."""
    process = Path(f"/proc/{life.process.pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    # The second field is the program's name in parentheses and may hold spaces.
    times = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
    return Sample(
        at=round(at, 2),
        memory_mb=round(int(status["VmRSS"].split()[0]) / 1024, 2),
        descriptors=len(list((process / "fd").iterdir())),
        cpu_seconds=sum(map(int, times)) / _TICKS,
        tasks=int(said.sum("tasks")),
        connections=int(said.sum("connections")),
        attempts=int(said.sum("attempts_in_flight")),
        in_flight=int(said.sum("in_flight_requests")),
        queued=int(said.sum("queue_requests")),
        breakers_open=int(said.sum("breaker_open")),
    )
