import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heterofleet.api.labels import Tier
from heterofleet.api.policy import Limits
from heterofleet.router.attempts import Attempts
from heterofleet.router.endpoints import Address, Registry, Sighting
from heterofleet.router.upstream import ClosedEarly, ConnectFailed, Garbage, Pool, TimedOut
from router import engines
from router.engines import DONE, LAST, STREAM_HEAD, Engine, delta, piece, whole
from router.until import until

REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: e\r\ncontent-length: 2\r\n\r\n{}"


class Bench:
    """Attempts at one engine."""

    def __init__(self, port: int, limits: Limits) -> None:
        loop = asyncio.get_running_loop()
        self.attempts = Attempts(loop)
        self.attempts.limits = limits
        registry = Registry(loop.time)
        registry.replace([Sighting(Address("127.0.0.1", port), Tier.SMALL)])
        self.endpoint = registry.all()[0]

    async def ask(self, hold=None):
        return await self.attempts.begin(self.endpoint, REQUEST, 30, hold)


@contextlib.asynccontextmanager
async def bench(engine: Engine | int, limits: Limits | None = None) -> AsyncIterator[Bench]:
    made = Bench(engine if isinstance(engine, int) else engine.port, limits or Limits())
    sweeping = asyncio.create_task(made.attempts.sweep())
    try:
        yield made
        assert len(made.attempts) == 0, "an attempt was never closed"
    finally:
        sweeping.cancel()
        made.endpoint.pool.close()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeping


async def test_a_whole_answer_comes_whole_and_its_connection_is_used_again():
    async with engines.engine(engines.says("hello")) as engine, bench(engine) as made:
        for _ in range(3):
            under = await made.ask()
            under.close()
            assert (under.attempt.status, under.attempt.body) == (200, engines.chat("hello"))
        assert engine.connections == 1


async def test_an_idle_connection_that_was_closed_costs_nothing():
    async with engines.engine(engines.says("hello")) as engine, bench(engine) as made:
        (await made.ask()).close()
        engine.drop()
        under = await made.ask()
        under.close()
        assert under.attempt.whole
        assert engine.connections == 2


async def test_an_idle_connection_that_closes_when_it_is_used_is_replaced_once():
    async def closes_on_the_second(received, writer):
        if len(engine.received) == 2:
            writer.transport.abort()
        else:
            writer.write(whole(200, b"{}"))

    async with engines.engine(closes_on_the_second) as engine, bench(engine) as made:
        (await made.ask()).close()
        under = await made.ask()
        under.close()
        assert under.attempt.whole
        assert (engine.connections, len(engine.received)) == (2, 3)


async def test_a_fresh_connection_that_closes_is_not_replaced():
    async with engines.engine(engines.writes(close=True)) as engine, bench(engine) as made:
        under = await made.ask()
        under.close()
        assert isinstance(under.attempt.error, ClosedEarly)
        assert engine.connections == 1


async def test_an_engine_that_is_not_there_is_told_from_one_that_fails():
    async with engines.engine(engines.says("x")) as engine:
        port = engine.port
    async with bench(port) as made:
        under = await made.ask()
        assert isinstance(under.attempt.error, ConnectFailed)


@pytest.mark.parametrize(
    ("written", "error"),
    [
        ([b"not http at all\r\n\r\n"], Garbage),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"], ClosedEarly),
        ([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"], Garbage),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na"], Garbage),
        ([b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"], Garbage),
    ],
)
async def test_what_is_no_whole_answer_is_an_error_with_a_name(written, error):
    async with engines.engine(engines.writes(*written, close=True)) as engine, bench(engine) as made:
        under = await made.ask()
        under.close()
        assert type(under.attempt.error) is error


async def test_an_answer_without_a_length_ends_with_its_connection():
    script = engines.writes(b"HTTP/1.1 200 OK\r\n\r\nabc", close=True)
    async with engines.engine(script) as engine, bench(engine) as made:
        under = await made.ask()
        under.close()
        assert (under.attempt.whole, under.attempt.body) == (True, b"abc")


@pytest.mark.parametrize("written", [[], [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"]])
async def test_an_answer_that_does_not_come_in_time_is_given_up_and_its_connection_closed(written):
    limits = Limits(first_byte_seconds=0.01, stall_seconds=0.01)
    async with engines.engine(engines.stalls(*written)) as engine, bench(engine, limits) as made:
        under = await made.ask()
        under.close()
        assert isinstance(under.attempt.error, TimedOut)
        await until(lambda: not engine.open)


async def test_a_stream_begins_with_its_first_piece():
    async with engines.engine(engines.stalls(STREAM_HEAD, piece(delta("a")))) as engine, bench(engine) as made:
        under = await made.ask()
        assert (under.attempt.streaming, under.attempt.over, under.attempt.body) == (True, False, delta("a"))
        under.abort()
        await until(lambda: engine.gone)


async def test_a_held_stream_begins_when_it_may():
    held = []

    def hold(data: bytes) -> bool:
        held.append(data)
        return b"enough" not in data

    script = engines.stalls(STREAM_HEAD, piece(delta("a")), piece(delta("enough")))
    async with engines.engine(script) as engine, bench(engine) as made:
        under = await made.ask(hold)
        assert under.attempt.body == delta("a") + delta("enough")
        under.abort()


async def test_a_held_stream_that_ends_is_there_whole():
    script = engines.writes(STREAM_HEAD, piece(delta("a")), piece(DONE) + LAST)
    async with engines.engine(script) as engine, bench(engine) as made:
        under = await made.ask(lambda _data: True)
        under.close()
        assert (under.attempt.whole, under.attempt.body) == (True, delta("a") + DONE)


async def test_an_answer_to_nothing_ends_the_connection():
    script = engines.writes(whole(200, b"{}") + whole(200, b"{}"))
    async with engines.engine(script) as engine, bench(engine) as made:
        (await made.ask()).close()
        (await made.ask()).close()
        assert engine.connections == 2


@pytest.mark.skipif(sys.platform != "linux", reason="these are options of Linux's kernel")
async def test_a_connection_to_a_machine_that_goes_off_ends_within_seconds():
    asked = {
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 5,
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 1,
        # Of what was sent and never acknowledged, and of an idle connection's probes.
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): 10_000,
    }
    async with engines.engine(engines.says("hello")) as engine:
        pool = Pool("127.0.0.1", engine.port)
        await pool.open(5)
        with socket_to(engine.port) as own:
            assert {option: own.getsockopt(*option) for option in asked} == asked
        pool.close()


def socket_to(port: int) -> socket.socket:
    """This process's end of its connection to a port of loopback."""
    for entry in Path("/proc/self/fd").iterdir():
        if entry.is_socket():
            own = socket.socket(fileno=os.dup(int(entry.name)))
            with contextlib.suppress(OSError):  # One that listens has no peer.
                if own.getpeername()[1:2] == (port,):
                    return own
            own.close()
    raise AssertionError(f"no connection to {port} is open")


async def test_a_caller_that_is_cancelled_leaves_the_engine_at_once():
    async with engines.engine(engines.stalls()) as engine, bench(engine) as made:
        asking = asyncio.create_task(made.ask())
        await until(lambda: engine.received)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(0.1):
            await until(lambda: engine.gone)
