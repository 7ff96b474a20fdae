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
from router.engines import Engine, Received, Script
from router.running import Running, until
from router.wire import Answer, Wire, connected, post

QUIET_SECONDS = 60.0
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

    def _tasks(self) -> int:
        """All tasks, but for that of each connection that an engine has."""
        return len(asyncio.all_tasks()) - sum(len(engine.open) for engine in (*self.small, *self.large))

    def left(self) -> dict[str, object]:
        """What is still held of requests; empty when nothing is."""
        router = self.router
        counts = {e.key: (e.in_flight, e.load) for e in router._registry.all() if e.in_flight or e.load}
        held = {
            "counts": counts,
            "attempts": len(router._attempts),
            "connections": len(router._front.connections),
            "waiting": sum(len(queue) for queue in router._dispatcher.waiting.values()),
            "tasks": max(0, self._tasks() - self.tasks),
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
    tells_loads: bool = False,
    **policy: Any,
) -> AsyncIterator[Site]:
    """Serves; at the end no task, count, attempt or connection may be left, and no request ended by a defect.

    Unless `tells_loads`, engines answer for their metrics aside, so that scripts have to do with requests alone.
    """
    async with contextlib.AsyncExitStack() as stack:
        smalls = [await stack.enter_async_context(engines.engine(script)) for script in small]
        larges = [await stack.enter_async_context(engines.engine(script)) for script in large]
        for engine in () if tells_loads else (*smalls, *larges):
            engine.script = _answers_metrics_aside(engine)
        said = {**running.config(smalls, larges, **policy), **(config or {})}
        found = Site(await stack.enter_async_context(running.running(folder, said)), smalls, larges, said)
        found.tasks = found._tasks()
        yield found
        await found.quiet()
        assert found.router._metrics.defects.values == {(): 0.0}


def _answers_metrics_aside(engine: Engine) -> Script:
    script = engine.script

    async def aside(received: Received, writer: asyncio.StreamWriter) -> None:
        if received.path == "/metrics":
            engine.received.remove(received)
            writer.write(engines.whole(200, b""))
        else:
            await script(received, writer)

    return aside


class Gate:
    """An engine that answers once it may; `came` tells how many requests are before it."""

    def __init__(self, then: Script) -> None:
        self.then, self.came = then, 0
        self.open = asyncio.Event()

    async def __call__(self, received: Received, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        await self.open.wait()
        await self.then(received, writer)


def speaks(said: str) -> Script:
    """An engine that says this, whole or in pieces of five characters."""

    async def script(received: Received, writer: asyncio.StreamWriter) -> None:
        if not received.fields.get("stream"):
            writer.write(engines.whole(200, engines.chat(said)))
            return
        pieces = [engines.delta(said[at : at + 5]) for at in range(0, len(said), 5)]
        events = (*pieces, engines.delta("", "stop"), engines.usage(7, 3), engines.DONE)
        writer.write(engines.STREAM_HEAD + b"".join(map(engines.piece, events)) + engines.LAST)

    return script


def turns(*scripts: Script) -> Script:
    """An engine, or several that share it, that does one after the other, and the last for ever."""
    left = list(scripts)

    async def script(received: Received, writer: asyncio.StreamWriter) -> None:
        turn = left.pop(0) if len(left) > 1 else left[0]
        await turn(received, writer)

    return script


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
