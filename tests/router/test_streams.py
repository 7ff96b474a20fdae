"""Streams through a whole router: clients that leave or read slowly, engines that stop, break off or write nonsense."""

import asyncio
import json
import math

import pytest

from router.engines import DONE, LAST, STREAM_HEAD, delta, piece, says, stalls, writes
from router.running import until
from router.site import Gate, site, speaks, streamed, turns

BEGUN = (STREAM_HEAD, piece(delta("Once")))


def error(body: bytes) -> str:
    """What the last event of a broken stream says."""
    *_, last = body.removesuffix(b"\n\n").split(b"\n\n")
    value: str = json.loads(last.removeprefix(b"data: "))["error"]["message"]
    return value


async def test_a_client_that_leaves_in_its_stream_ends_the_engines_work(tmp_path):
    async with site(tmp_path, [stalls(*BEGUN)]) as made:
        async with made.asking(stream=True) as wire:
            await wire.head()
            assert await wire.piece() == delta("Once")
        await until(lambda: made.small[0].gone == 1)
        await made.quiet()
        assert await made.counts() == {("act", "cancelled", "small"): 1.0}


async def test_a_client_that_leaves_before_its_answer_ends_the_engines_work(tmp_path):
    async with site(tmp_path, [stalls()]) as made:
        async with made.asking():
            await until(lambda: len(made.small[0].received) == 1)
        await until(lambda: made.small[0].gone == 1)


async def test_a_client_that_leaves_while_it_waits_is_forgotten(tmp_path):
    async with site(tmp_path) as made:
        queues = made.router._dispatcher.waiting
        async with made.asking():
            await until(lambda: sum(map(len, queues.values())) == 1)
        await made.quiet()
        assert await made.counts() == {("act", "cancelled", "none"): 1.0}


async def test_a_client_that_leaves_between_two_attempts_is_not_tried_for_again(tmp_path):
    retry = {"backoffSeconds": 30, "maxBackoffSeconds": 60}
    async with site(tmp_path, [writes(close=True)], retry=retry) as made:
        async with made.asking():
            await until(lambda: len(made.small[0].received) == 1)
        await made.quiet()
        assert len(made.small[0].received) == 1


class Breaking:
    """An engine that begins a stream, and goes on as it may not once `go` is set."""

    def __init__(self, *rest: bytes, close: bool = False) -> None:
        self._rest = writes(*rest, close=close) if rest or close else stalls()
        self.go = asyncio.Event()

    async def __call__(self, received, writer) -> None:
        await writes(*BEGUN)(received, writer)
        await self.go.wait()
        await self._rest(received, writer)


EARLY, MALFORMED, LATE = "closed early", "not an answer of this API", "no engine answered in time"


@pytest.mark.parametrize(
    ("rest", "close", "outcome"),
    [
        ((), True, EARLY),
        ((LAST,), False, EARLY),
        ((piece(delta("upon")[:20]),), True, EARLY),
        ((piece(b"<html>"), LAST), False, MALFORMED),
        ((b"zz\r\n",), False, MALFORMED),
        ((), False, LATE),
    ],
)
@pytest.mark.parametrize("profile", ["Default", "Lean"])
async def test_a_stream_that_breaks_says_so_and_is_not_begun_again(tmp_path, rest, close, outcome, profile):
    script = Breaking(*rest, close=close)
    limits = {"stallSeconds": 0.05 if outcome is LATE else 60}
    async with site(tmp_path, [script, script], limits=limits, profile=profile) as made:
        async with made.asking(stream=True) as wire:
            assert (await wire.head())[0] == 200
            assert await wire.piece() == delta("Once")
            script.go.set()
            body = b""
            while data := await wire.piece():
                body += data
        assert body.startswith(b"data: {")
        assert outcome in error(body)
        assert sum(len(engine.received) for engine in made.small) == 1
        assert await made.counts() == {("act", "cut_off", "small"): 1.0}


async def test_what_breaks_before_its_first_piece_has_left_is_begun_again(tmp_path):
    script = turns(writes(STREAM_HEAD + piece(delta("Once")) + b"zz\r\n"), says("hello"))
    async with site(tmp_path, [script, script]) as made:
        answer = await made.ask(stream=True)
        assert (streamed(answer.body), answer.headers["x-heterofleet-attempts"]) == ("hello", "2")


async def test_an_error_that_an_engine_tells_in_its_stream_is_passed_on(tmp_path):
    broken = b'data: {"error":{"message":"out of memory","type":"server_error"}}\n\n'
    async with site(tmp_path, [writes(*BEGUN, piece(broken), piece(DONE), LAST)]) as made:
        assert (await made.ask(stream=True)).body == delta("Once") + broken + DONE


async def test_breaking_streams_open_a_breaker(tmp_path):
    script = Breaking(close=True)
    async with site(tmp_path, [script], breaker={"failures": 2, "probeIdleSeconds": 0}) as made:
        for _ in range(2):
            script.go.clear()
            async with made.asking(stream=True) as wire:
                await wire.head()
                await wire.piece()
                script.go.set()
                await wire.piece()
            await made.quiet()
        assert made.endpoint(made.small[0]).breaker.reopen_at is not None


async def test_a_client_that_reads_nothing_stops_its_engine_and_fills_no_memory(tmp_path):
    sent = 0

    async def floods(_received, writer):
        nonlocal sent
        writer.write(STREAM_HEAD)
        for _ in range(20_000):
            writer.write(piece(delta("x" * 5000)))
            sent += 5000
            await writer.drain()

    async with site(tmp_path, [floods]) as made:
        async with made.asking(stream=True):
            running = made.router._attempts._running
            await until(lambda: any(attempt.deadline == math.inf for attempt in running))
            (client,) = made.router._front.connections
            assert client.transport.get_write_buffer_size() < 1_000_000
            assert sent < 50_000_000
        await until(lambda: not made.small[0].open)


async def test_a_slow_client_gets_every_byte(tmp_path):
    pieces = [delta(f"{number:05}" * 2000) for number in range(3000)]

    async def script(_received, writer):
        writer.write(STREAM_HEAD)
        for data in pieces:
            writer.write(piece(data))
            await writer.drain()
        writer.write(piece(DONE) + LAST)

    async with site(tmp_path, [script], profile="Lean") as made, made.asking(stream=True) as wire:
        running = made.router._attempts._running
        await until(lambda: any(attempt.deadline == math.inf for attempt in running))
        assert (await wire.answer()).body == b"".join(pieces) + DONE


async def test_a_client_that_never_reads_is_left_and_its_engine_is_not_blamed(tmp_path):
    async def floods(_received, writer):
        writer.write(STREAM_HEAD)
        while True:
            writer.write(piece(delta("x" * 5000)))
            await writer.drain()

    breaker = {"failures": 1, "probeIdleSeconds": 0}
    async with site(tmp_path, [floods], limits={"stallSeconds": 0.05}, breaker=breaker) as made:
        async with made.asking(stream=True):
            await until(lambda: len(made.small[0].received) == 1 and not made.small[0].open)
            await made.quiet()
        assert made.endpoint(made.small[0]).breaker.reopen_at is None
        assert await made.counts() == {("act", "cancelled", "small"): 1.0}


async def test_a_draining_engine_gets_nothing_new_while_its_stream_goes_on(tmp_path):
    gate = asyncio.Event()

    async def slowly(_received, writer):
        for data in BEGUN:
            writer.write(data)
        await gate.wait()
        writer.write(piece(delta("upon", "stop")) + piece(DONE) + LAST)

    async with site(tmp_path, [slowly, says("hello")]) as made:
        draining, other = made.small
        endpoints = [{"address": engine.key, "tier": "small"} for engine in made.small]
        await made.tells({**made.said, "endpoints": [endpoints[0]]})
        async with made.asking(stream=True) as wire:
            await wire.head()
            first = await wire.piece()
            await made.tells({**made.said, "endpoints": [{**endpoints[0], "draining": True}, endpoints[1]]})
            for _ in range(3):
                assert (await made.ask()).headers["x-heterofleet-endpoint"] == other.key
            gate.set()
            rest = b""
            while data := await wire.piece():
                rest += data
            assert streamed(first + rest) == "Onceupon"
        assert len(draining.received) == 1


async def test_a_stream_outlives_the_configuration_that_it_began_under(tmp_path):
    gate = asyncio.Event()

    async def slowly(received, writer):
        for data in BEGUN:
            writer.write(data)
        await gate.wait()
        writer.write(piece(delta("upon", "stop")) + piece(DONE) + LAST)

    async with site(tmp_path, [slowly]) as made, made.asking(stream=True) as wire:
        await wire.head()
        await made.tells({**made.said, "endpoints": [], "policy": {**made.said["policy"], "profile": "Lean"}})
        gate.set()
        body = b""
        while data := await wire.piece():
            body += data
        assert streamed(body) == "Onceupon"


async def test_many_streams_at_once_leave_nothing_behind(tmp_path):
    script = turns(*[speaks("hello"), writes(*BEGUN, close=True), stalls(*BEGUN), says("x")] * 10)
    async with site(tmp_path, [script] * 3, limits={"stallSeconds": 0.05}) as made:
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(made.ask(stream=True)) for _ in range(40)]
        assert {answer.result().status for answer in answers} == {200}
        assert sum((await made.counts()).values()) == 40


async def test_requests_wait_for_a_gate_without_a_task_too_many(tmp_path):
    gate = Gate(says("hello"))
    async with site(tmp_path, [gate]) as made:
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(made.ask()) for _ in range(20)]
            await until(lambda: gate.came == 20)
            assert made.endpoint(made.small[0]).in_flight == 20
            gate.open.set()
        assert [answer.result().status for answer in answers] == [200] * 20
        assert made.small[0].connections == 20
