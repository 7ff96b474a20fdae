"""What clients send through the router, and what became of each request, by kind."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import openai
from openai import AsyncOpenAI

MESSAGES: Final[Any] = [{"role": "user", "content": "Say something."}]


class Outcome(NamedTuple):
    """Of one request: the tier and endpoint that answered it, or the kind of failure and its sentence."""

    tier: str = ""
    endpoint: str = ""
    degraded: bool = False
    failure: str = ""
    sentence: str = ""


async def ask(
    client: AsyncOpenAI, model: str, *, stream: bool = False, begun: Callable[[], None] | None = None, **fields: Any
) -> Outcome:
    """One chat; a stream is read to its end, and `begun` is called with its first event."""
    asked: dict[str, Any] = {"model": model, "messages": MESSAGES, "max_tokens": 8, **fields}
    try:
        async with client.chat.completions.with_streaming_response.create(**asked, stream=stream) as raw:
            headers = raw.headers
            answer: Any = await raw.parse()
            whole = await _read(answer, begun or _nobody) if stream else [answer]
    except openai.APIStatusError as error:
        return Outcome(failure=f"{error.status_code}", sentence=error.message)
    except openai.APIConnectionError as error:
        return Outcome(failure=type(error).__name__, sentence=f"{error} {error.__cause__}")
    except openai.APIError as error:  # An error within a stream.
        return Outcome(failure="stream", sentence=error.message)
    ended = whole[-1].choices[0].finish_reason if whole and whole[-1].choices else None
    if ended is None:
        return Outcome(failure="cut", sentence=f"the answer ended after {len(whole)} events without saying so")
    endpoint, degraded = headers.get("x-heterofleet-endpoint", ""), "x-heterofleet-degraded" in headers
    return Outcome(headers.get("x-heterofleet-tier", ""), endpoint, degraded)


async def _read(stream: AsyncIterator[Any], begun: Callable[[], None]) -> list[Any]:
    events: list[Any] = []
    async for event in stream:
        if not events:
            begun()
        events.append(event)
    return events


def _nobody() -> None:
    """Nobody waits for a stream's beginning."""


@dataclass
class Load:
    """Chats one after the other, and what became of them."""

    client: AsyncOpenAI
    outcomes: Counter[tuple[str, Outcome]] = field(default_factory=Counter)

    async def run(self, model: str, pause: float) -> None:
        while True:
            self.outcomes[model, await ask(self.client, model)] += 1
            await asyncio.sleep(pause)

    def answered(self, model: str, tier: str) -> int:
        return sum(n for (asked, outcome), n in self.outcomes.items() if (asked, outcome.tier) == (model, tier))

    def failures(self) -> dict[str, int]:
        """By model and kind, with the sentence."""
        failed = {k: n for k, n in self.outcomes.items() if k[1].failure}
        return {f"{model}: {outcome.failure} {outcome.sentence}": n for (model, outcome), n in failed.items()}

    def summary(self) -> dict[str, int]:
        """Counts by model, tier and whether the answer was degraded, and by kind of failure."""
        found: Counter[str] = Counter()
        for (model, outcome), n in self.outcomes.items():
            found[f"{model} -> {outcome.failure or outcome.tier}{' degraded' if outcome.degraded else ''}"] += n
        return dict(found)


@contextlib.asynccontextmanager
async def loaded(client: AsyncOpenAI, *models: str, pause: float = 0.3) -> AsyncIterator[Load]:
    """One client a model, for the duration of a block. A request that is under way at its end is not counted."""
    load = Load(client)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(load.run(model, pause)) for model in models]
        yield load
        for task in tasks:
            task.cancel()
