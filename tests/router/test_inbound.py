import asyncio
import json

import pytest

from heterofleet.api.policy import Limits
from heterofleet.router.exchange import Exchange
from heterofleet.router.inbound import MOST_PIPELINED
from router.until import until
from router.wire import connected, front, post


async def echo(exchange: Exchange) -> None:
    exchange.respond(200, b"content-type: text/plain\r\n", exchange.target + b" " + exchange.body)


async def test_requests_of_a_connection_are_answered_in_their_order():
    async with front(echo) as (_, port), connected(port) as wire:
        wire.send(post(b"one", path="/a") + post(b"two", path="/b") + post(b"three", path="/c"))
        assert [(await wire.answer()).body for _ in range(3)] == [b"/a one", b"/b two", b"/c three"]


async def test_a_long_pipeline_is_answered_whole():
    count = MOST_PIPELINED * 3
    async with front(echo) as (_, port), connected(port) as wire:
        wire.send(b"".join(post(str(n).encode()) for n in range(count)))
        answers = [(await wire.answer()).body for _ in range(count)]
    assert answers == [b"/v1/chat/completions %d" % n for n in range(count)]


async def test_a_request_may_come_byte_by_byte():
    async with front(echo) as (_, port), connected(port) as wire:
        for byte in post(b"slowly"):
            wire.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await wire.answer()).body == b"/v1/chat/completions slowly"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked, x\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4 \x00\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\ncontent-length: 0\r\n\r\n",
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST / HTTP/9.9\r\nhost: a\r\n\r\n",
    ],
)
async def test_what_two_servers_could_read_differently_is_refused_and_the_connection_ends(request_bytes):
    handled = []

    async def note(exchange: Exchange) -> None:
        handled.append(exchange.body)
        await echo(exchange)

    async with front(note) as (_, port), connected(port) as wire:
        wire.send(request_bytes)
        assert (await wire.answer()).status == 400
        assert await wire.closed() == b""
    assert handled == []


async def test_a_head_longer_than_the_limit_is_refused():
    limits = Limits(max_header_bytes=1024)
    async with front(echo, limits) as (_, port), connected(port) as wire:
        wire.send(b"POST / HTTP/1.1\r\nx: " + b"a" * 2000)
        answer = await wire.answer()
        assert answer.status == 431
        assert json.loads(answer.body)["error"]["message"] == "the head of the request is longer than 1024 bytes"


@pytest.mark.parametrize(
    "request_bytes",
    [post(b"a" * 1025), b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n401\r\n" + b"a" * 1025],
)
async def test_a_body_longer_than_the_limit_is_refused(request_bytes):
    async with front(echo, Limits(max_body_bytes=1024)) as (_, port), connected(port) as wire:
        wire.send(request_bytes)
        assert (await wire.answer()).status == 413


@pytest.mark.parametrize("beginning", [b"POST / HT", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc"])
async def test_a_request_that_does_not_arrive_in_time_is_refused(beginning):
    limits = Limits(header_seconds=0.01, body_seconds=0.01)
    async with front(echo, limits) as (_, port), connected(port) as wire:
        wire.send(beginning)
        assert (await wire.answer()).status == 408


async def test_an_idle_connection_is_closed_without_a_word():
    async with front(echo, Limits(idle_seconds=0.01)) as (_, port), connected(port) as wire:
        assert await wire.closed() == b""


async def test_a_client_that_leaves_ends_its_request():
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow(_exchange: Exchange) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with front(slow) as (made, port), connected(port) as wire:
        wire.send(post(b""))
        await begun.wait()
        await wire.leave()
        async with asyncio.timeout(0.1):
            await ended.wait()
        assert made.connections == set()


async def test_what_is_written_after_a_client_left_is_dropped():
    begun, left = asyncio.Event(), asyncio.Event()
    said = []

    async def stubborn(exchange: Exchange) -> None:
        begun.set()
        try:
            await left.wait()
        except asyncio.CancelledError:
            exchange.respond(200, b"", b"late")
            said.append(exchange.closed)

    async with front(stubborn) as (_, port), connected(port) as wire:
        wire.send(post(b""))
        await begun.wait()
        await wire.leave()
        await until(lambda: said)
    assert said == [True]


async def test_a_stream_comes_in_pieces_and_the_connection_is_kept():
    async def stream(exchange: Exchange) -> None:
        exchange.begin(200, b"content-type: text/event-stream\r\n")
        exchange.send(b"data: a\n\n")
        exchange.send(b"")
        exchange.send(b"data: b\n\n")
        exchange.end()

    async with front(stream) as (_, port), connected(port) as wire:
        wire.send(post(b""))
        assert (await wire.answer()).body == b"data: a\n\ndata: b\n\n"
        wire.send(post(b""))
        assert (await wire.answer()).body == b"data: a\n\ndata: b\n\n"


async def test_a_client_of_http_1_0_gets_a_stream_that_ends_with_the_connection():
    async def stream(exchange: Exchange) -> None:
        exchange.begin(200, b"")
        exchange.send(b"data: a\n\n")
        exchange.end()

    async with front(stream) as (_, port), connected(port) as wire:
        wire.send(b"POST / HTTP/1.0\r\ncontent-length: 0\r\n\r\n")
        assert await wire.closed() == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndata: a\n\n"


async def test_a_client_that_waits_for_a_hundred_gets_it():
    async with front(echo) as (_, port), connected(port) as wire:
        head, _, _ = post(b"body", "expect: 100-continue").partition(b"body")
        wire.send(head)
        assert (await wire.reader.readexactly(25)) == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(b"body")
        assert (await wire.answer()).body == b"/v1/chat/completions body"


async def test_connections_beyond_the_limit_are_refused_and_the_others_served():
    async with front(echo, Limits(max_connections=1)) as (_, port), connected(port) as first:
        first.send(post(b"1"))
        assert (await first.answer()).status == 200
        async with connected(port) as second:
            assert (await second.answer()).status == 503
        first.send(post(b"2"))
        assert (await first.answer()).body == b"/v1/chat/completions 2"


async def test_a_drain_lets_what_runs_end_and_closes_what_is_idle():
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        begun.set()
        await go.wait()
        await echo(exchange)

    async with front(slow) as (made, port), connected(port) as idle, connected(port) as busy:
        busy.send(post(b"kept"))
        await begun.wait()
        draining = asyncio.create_task(made.drain(5))
        assert await idle.closed() == b""
        go.set()
        answer = await busy.answer()
        assert (answer.body, answer.headers["connection"]) == (b"/v1/chat/completions kept", "close")
        assert await draining


async def test_a_drain_that_takes_too_long_cuts_off_and_says_so():
    begun = asyncio.Event()

    async def stuck(_exchange: Exchange) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with front(stuck) as (made, port), connected(port) as wire:
        wire.send(post(b""))
        await begun.wait()
        assert not await made.drain(0)
        assert await wire.closed() == b""
