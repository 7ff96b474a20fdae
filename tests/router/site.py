"""A whole router over engines that a test scripts; left, it must hold nothing of the requests that it had."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heterofleet.router.endpoints import Endpoint
from router import engines, running
from router.engines import Engine, Script
from router.running import Running, until
from router.wire import Answer, Wire, connected, post

QUIET_SECONDS = 10.0
"""How long what has ended may take to be gone from all counts."""


@dataclass
class Site:
    """One router, and its engines by tier."""

    running: Running
    small: list[Engine]
    large: list[Engine]
    said: dict[str, Any]
    tasks: int = 0

    @property
    def router(self) -> Any:
        """The router, whose parts a test may look at."""
        return self.running.router

    def endpoint(self, engine: Engine) -> Endpoint:
        found: Endpoint = next(e for e in self.router._registry.all() if e.key == engine.key)
        return found

    async def ask(self, model: str = "act", *headers: str, path: str = "/v1/chat/completions", **fields: Any) -> Answer:
        """One chat request over a connection of its own."""
        return await self.running.ask(model, *headers, path=path, **fields)

    @contextlib.asynccontextmanager
    async def asking(self, model: str = "act", *headers: str, **fields: Any) -> AsyncIterator[Wire]:
        """A chat request that is under way."""
        async with connected(self.router.port) as wire:
            wire.send(post(running.body(model, **fields), *headers))
            yield wire

    def left(self) -> dict[str, object]:
        """What is still held of requests; empty when nothing is."""
        router = self.router
        counts = {e.key: (e.in_flight, e.load) for e in router._registry.all() if e.in_flight or e.load}
        held = {
            "counts": counts,
            "attempts": len(router._attempts),
            "connections": len(router._front.connections),
            "waiting": sum(len(queue) for queue in router._dispatcher.waiting.values()),
            "tasks": max(0, len(asyncio.all_tasks()) - self.tasks),
        }
        return {name: value for name, value in held.items() if value}

    async def quiet(self) -> None:
        """Waits until nothing is held of any request any more."""
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                await until(lambda: not self.left())
        except TimeoutError:
            raise AssertionError(f"left behind: {self.left()}") from None

    async def counts(self, name: str = "requests_total") -> dict[tuple[str, ...], float]:
        return await self.running.metrics(name)

    async def says(self, **changes: Any) -> None:
        """Puts a changed policy in force."""
        self.said = {**self.said, "policy": {**self.said["policy"], **changes}}
        await self.tells(self.said)

    async def tells(self, said: Mapping[str, Any]) -> None:
        """Puts a changed configuration in force."""
        former = self.router._configured.current
        self.running.reconfigure(said)
        await until(lambda: self.router._configured.current is not former)


@contextlib.asynccontextmanager
async def site(
    folder: Path,
    small: Sequence[Script] = (),
    large: Sequence[Script] = (),
    *,
    config: Mapping[str, Any] | None = None,
    **policy: Any,
) -> AsyncIterator[Site]:
    """Serves; at the end no task, count, attempt or connection may be left, and no request ended by a defect."""
    async with contextlib.AsyncExitStack() as stack:
        made = [[await stack.enter_async_context(engines.engine(script)) for script in tier] for tier in (small, large)]
        said = {**running.config(*made, **policy), **(config or {})}
        found = Site(await stack.enter_async_context(running.running(folder, said)), *made, said)
        found.tasks = len(asyncio.all_tasks()) + len(small) + len(large)
        yield found
        await found.quiet()
        assert found.router._metrics.defects.values == {(): 0.0}


def text(answer: Answer) -> str:
    """What a whole chat answer says."""
    value: str = json.loads(answer.body)["choices"][0]["message"]["content"]
    return value


def sentence(answer: Answer) -> str:
    """What an error says."""
    value: str = json.loads(answer.body)["error"]["message"]
    return value


def streamed(answer: bytes) -> str:
    """What a streamed chat answer says."""
    events = [line.removeprefix(b"data: ") for line in answer.split(b"\n\n") if line.startswith(b"data: {")]
    choices = [choice for event in events for choice in json.loads(event).get("choices", ())]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def status(code: int, body: bytes = b'{"error":{"message":"no"}}') -> Script:
    """An engine that answers so."""
    return engines.writes(engines.whole(code, body))
