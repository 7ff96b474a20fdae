"""A front that leaves loses no request of a client that keeps its connection, nor of one that has just connected."""

import asyncio

from heterofleet.router.exchange import Exchange
from router.running import until
from router.wire import connected, front, post

ROUNDS_SECONDS = 0.1
"""Some rounds of a drain, each of which might close what is idle."""


async def echo(exchange: Exchange) -> None:
    exchange.respond(200, b"", exchange.body)


async def test_who_asks_while_it_leaves_is_told_not_to_ask_here_again():
    async with front(echo) as (made, port), connected(port) as kept:
        kept.send(post(b"before"))
        before = await kept.answer()
        made.leaving = True
        kept.send(post(b"while"))
        leaving = await kept.answer()
        assert await kept.closed() == b""
    assert [answer.headers.get("connection") for answer in (before, leaving)] == [None, "close"]


async def test_a_connection_that_was_to_be_kept_may_still_bring_a_request():
    async with front(echo) as (made, port), connected(port) as kept:
        kept.send(post(b"before"))
        await kept.answer()
        draining = asyncio.create_task(made.drain(5))
        await asyncio.sleep(ROUNDS_SECONDS)
        kept.send(post(b"after"))
        after = await kept.answer()
        assert (after.body, after.headers["connection"]) == (b"after", "close")
        assert await draining


async def test_a_new_connection_may_still_bring_its_request():
    async with front(echo) as (made, port), connected(port) as fresh:
        await until(lambda: bool(made.connections))
        draining = asyncio.create_task(made.drain(5))
        await asyncio.sleep(ROUNDS_SECONDS)
        fresh.send(post(b"first"))
        assert (await fresh.answer()).body == b"first"
        assert await draining
