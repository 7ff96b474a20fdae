"""Replays a part of a trace against routers: requests of both classes at the trace's rates, and what became of them.

The trace is the reconstructed minutes of ServeGen (tests/data/SOURCES.md); a minute of it lasts a second here. Rates
are scaled so that the mean of each class asks for a stated work.
"""

import asyncio
import csv
import gzip
import random
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import aiohttp

from heterofleet.api.routing import RequestClass

TRACE: Final = Path(__file__).resolve().parents[2] / "data" / "traces" / "servegen_1min_reconstructed.csv.gz"
MODELS: Final = {RequestClass.PLAN: "m-large", RequestClass.ACT: "m-small"}
ANSWER_TOKENS: Final = 48
PROMPT: Final = "Carry out the next step of the plan, and say in a sentence what came of it."
MOST_AT_ONCE: Final = 400
"""Requests under way; more than that is no load any more but a fault of the replay."""


def minutes() -> Mapping[RequestClass, Sequence[float]]:
    """Work of each minute of the trace over its mean, by class."""
    work: dict[str, list[float]] = {model: [] for model in MODELS.values()}
    with gzip.open(TRACE, "rt") as rows:
        for row in csv.DictReader(rows):
            work[row["model"]].append(float(row["output_tokens"]) + 0.1 * float(row["input_tokens"]))
    means = {model: sum(values) / len(values) for model, values in work.items()}
    return {name: [value / means[model] for value in work[model]] for name, model in MODELS.items()}


@dataclass
class Load:
    """Sends requests until the block ends; `rates` are requests a second by class, read at each moment."""

    addresses: Sequence[str]
    rates: dict[RequestClass, float] = field(default_factory=lambda: dict.fromkeys(RequestClass, 0.0))
    outcomes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._chance = random.Random(7)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def failed(self) -> int:
        return sum(count for outcome, count in self.outcomes.items() if outcome != "answered")

    async def _run(self) -> None:
        gate = asyncio.Semaphore(MOST_AT_ONCE)
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
            asyncio.TaskGroup() as group,
        ):
            for name in RequestClass:
                group.create_task(self._send(name, session, gate, group))

    async def _send(
        self, name: RequestClass, session: aiohttp.ClientSession, gate: asyncio.Semaphore, group: asyncio.TaskGroup
    ) -> None:
        """Poisson arrivals at the rate of the moment."""
        while not self._stop.is_set():
            rate = self.rates[name]
            await asyncio.sleep(min(self._chance.expovariate(rate), 0.5) if rate > 0 else 0.1)
            if rate > 0 and not gate.locked():
                group.create_task(self._ask(name, session, gate))

    async def _ask(self, name: RequestClass, session: aiohttp.ClientSession, gate: asyncio.Semaphore) -> None:
        url = f"http://{self._chance.choice(self.addresses)}/v1/chat/completions"
        body = {"model": str(name), "messages": [{"role": "user", "content": PROMPT}], "max_tokens": ANSWER_TOKENS}
        async with gate:
            try:
                async with session.post(url, json=body, timeout=aiohttp.ClientTimeout(total=60)) as answer:
                    await answer.read()
                    self.outcomes["answered" if answer.status == 200 else f"status {answer.status}"] += 1
            except (aiohttp.ClientError, TimeoutError) as error:
                self.outcomes[type(error).__name__] += 1
