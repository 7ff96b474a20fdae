"""Engines in trouble behind a router: no request is lost, but where policy says so.

The last of the session's tests, since the engines have another ring afterwards.
"""

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from engine.conftest import FIRST_RING, Engines
from engine.pods import START_SECONDS
from engine.routers import EngineRouter
from router.running import body
from router.site import streamed
from router.wire import connected, post
from testbed.eventually import eventually_async
from testbed.exchanges import EXCHANGES

QUICK = {"failures": 2, "openSeconds": 2, "probeIdleSeconds": 1}


@contextlib.contextmanager
def frozen(pid: int):
    """A process that is there and does nothing."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_an_engine_that_is_healthy_but_generates_nothing_gets_no_traffic(engines: Engines, tmp_path):
    limits = {"firstByteSeconds": 2}
    small = f"127.0.0.1:{engines.small.port}"
    async with EngineRouter(tmp_path, engines, breaker=QUICK, limits=limits) as router:
        await router.ready()
        with frozen(engines.small.core()):
            assert engines.small.healthy()
            answers = [await router.ask(max_tokens=1) for _ in range(3)]
            assert (await router.metrics("breaker_open"))[small] == 1.0
        assert [(answer.status, answer.headers["x-heterofleet-tier"]) for answer in answers] == [(200, "large")] * 3
        await eventually_async(lambda: _is_closed(router, small))
        assert (await router.ask(max_tokens=1)).headers["x-heterofleet-tier"] == "small"


async def _is_closed(router: EngineRouter, endpoint: str) -> bool:
    return (await router.metrics("breaker_open"))[endpoint] == 0.0


@dataclass
class Load:
    """Chats of both classes, one after the other, and what became of them."""

    router: EngineRouter
    answers: Counter[tuple[str, int, str]] = field(default_factory=Counter)

    async def run(self, model: str) -> None:
        while True:
            answer = await self.router.send(post(body(model, max_tokens=4)))
            self.answers[model, answer.status, answer.headers.get("x-heterofleet-tier", "")] += 1

    def by(self, model: str, tier: str) -> int:
        return self.answers[model, 200, tier]


@contextlib.asynccontextmanager
async def loaded(router: EngineRouter) -> AsyncIterator[Load]:
    load = Load(router)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(load.run(model)) for model in ("plan", "act")]
        yield load
        for task in tasks:
            task.cancel()


async def test_keys_rotate_and_an_engine_rolls_under_load_without_a_lost_request(engines: Engines, tmp_path):
    second = FIRST_RING["next"]
    async with EngineRouter(tmp_path, engines, breaker=QUICK) as router:
        await router.ready()
        async with loaded(router) as load, connected(router.port) as stream:
            await eventually_async(lambda: _both(load))
            engines.turn(current=second, next="third-key-of-the-ring")
            stream.send(post(body("act", stream=True, max_tokens=400, ignore_eos=True)))
            status, _ = await stream.head()
            first = await stream.piece()
            engines.small.container.signal(signal.SIGTERM)
            said = first + b"".join([piece async for piece in _pieces(stream)])
            before = load.by("act", "large")
            await eventually_async(lambda: _more(load, "large", before + 3))
            await asyncio.to_thread(engines.small.wait_ready)
            before = load.by("act", "small")
            await eventually_async(lambda: _more(load, "small", before + 3), within=START_SECONDS)
        failed = {key: count for key, count in load.answers.items() if key[1] != 200}
    assert (status, len(streamed(said)) > 0, said.endswith(b"data: [DONE]\n\n")) == (200, True, True)
    assert (failed, load.by("plan", "small"), engines.small.container.exits) == ({}, 0, [0])
    refused = {key: engines.small.ask(EXCHANGES["chat"], key).status for key in (*FIRST_RING.values(), engines.key)}
    assert refused == {FIRST_RING["current"]: 401, second: 200}
    assert engines.large.ask(EXCHANGES["chat"], second).status == 200


async def _both(load: Load) -> bool:
    return load.by("plan", "large") > 2 and load.by("act", "small") > 2


async def _more(load: Load, tier: str, count: int) -> bool:
    return load.by("act", tier) >= count


async def _pieces(stream) -> AsyncIterator[bytes]:
    while piece := await stream.piece():
        yield piece
