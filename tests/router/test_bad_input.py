"""What no sound client sends: each gets a defined answer, and leaves nothing behind."""

import asyncio
import json

import pytest

from heterofleet.api.policy import Limits
from heterofleet.router.exchange import Exchange
from router.engines import says
from router.running import body, until
from router.site import site
from router.wire import connected, front, post


async def echo(exchange: Exchange) -> None:
    exchange.respond(200, b"content-type: text/plain\r\n", exchange.target + b" " + exchange.body)


async def test_an_answer_to_head_has_no_body_that_would_be_taken_for_the_next_answer():
    async with front(echo) as (_, port), connected(port) as wire:
        wire.send(b"HEAD /a HTTP/1.1\r\nhost: a\r\n\r\n" + post(b"two", path="/b"))
        assert (await wire.head())[1]["content-length"] == "3"
        assert (await wire.answer()).body == b"/b two"


@pytest.mark.parametrize("target", ["http://router/v1/models?a=b", "HTTP://router/v1/models", "/v1/models"])
async def test_a_target_may_be_a_whole_url_as_proxies_are_asked(target):
    async with front(echo) as (_, port), connected(port) as wire:
        wire.send(f"GET {target} HTTP/1.1\r\nhost: router\r\n\r\n".encode())
        assert (await wire.answer()).body == b"/v1/models "


@pytest.mark.parametrize("cut", [0, 3, 150, 153])
async def test_a_client_that_would_rather_speak_http_2_is_answered_as_any_other(cut):
    """As Java's client asks by default; the parser leaves the body of such a request to us."""
    first = post(b"body", "connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMA", path="/a")
    second = post(b"", "connection: Upgrade", "upgrade: websocket", path="/b")
    together = first + second + post(b"three", path="/c")
    async with front(echo) as (_, port), connected(port) as wire:
        wire.send(together[:cut])
        await wire.writer.drain()
        wire.send(together[cut:])
        assert [(await wire.answer()).body for _ in range(3)] == [b"/a body", b"/b ", b"/c three"]


async def test_another_protocol_cannot_be_asked_for_with_a_body_of_unknown_length():
    async with front(echo) as (_, port), connected(port) as wire:
        wire.send(
            b"POST / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        assert (await wire.answer()).status == 400
        assert await wire.closed() == b""


async def test_trailers_do_not_change_what_was_decided_by_the_head():
    seen = []

    async def note(exchange: Exchange) -> None:
        seen.append((dict(exchange.headers), exchange.body))
        await echo(exchange)

    async with front(note) as (_, port), connected(port) as wire:
        wire.send(
            b"POST / HTTP/1.1\r\nhost: a\r\nauthorization: none\r\ntransfer-encoding: chunked\r\n\r\n"
            b"4\r\nbody\r\n0\r\nauthorization: Bearer stolen\r\nx-new: 1\r\n\r\n"
        )
        assert (await wire.answer()).status == 200
    headers = {b"host": b"a", b"authorization": b"none", b"transfer-encoding": b"chunked"}
    assert seen == [(headers, b"body")]


async def test_a_refused_client_that_still_sends_reads_why():
    """A connection that is closed with bytes unread is reset, and the answer is lost with it."""
    async with front(echo, Limits(max_body_bytes=1024)) as (made, port), connected(port) as wire:
        wire.send(post(b"a" * 4_000_000))
        await wire.writer.drain()
        answer = await wire.answer()
        assert answer.status == 413
        assert json.loads(answer.body)["error"]["message"] == "the body of the request is longer than 1024 bytes"
        await wire.leave()
        await until(lambda: not made.connections)


async def test_empty_lines_do_not_postpone_the_time_for_a_head():
    async with front(echo, Limits(header_seconds=0.01)) as (_, port), connected(port) as wire:
        answering = asyncio.create_task(wire.answer())
        while not answering.done():
            wire.send(b"\r\n")
            await asyncio.sleep(0.005)
        assert (await answering).status == 408


async def test_a_slow_client_is_slow_for_its_next_request_too():
    told = []

    async def answers(exchange: Exchange) -> None:
        if exchange.target == b"/big":
            exchange.respond(200, b"", b"x" * 10_000_000)
            return
        exchange.on_pressure(told.append)
        exchange.respond(200, b"", b"small")

    async with front(answers) as (_, port), connected(port) as wire:
        wire.send(post(b"", path="/big") + post(b"", path="/next"))
        await until(lambda: bool(told))
        assert told == [True]
        assert len((await wire.answer()).body) == 10_000_000
        assert (await wire.answer()).body == b"small"


@pytest.mark.parametrize("beginning", [7, 60])
async def test_a_drain_waits_for_a_request_that_is_just_arriving(beginning):
    request = post(b"a body", path="/kept")
    async with front(echo) as (made, port), connected(port) as wire:
        wire.send(request[:beginning])
        await until(lambda: any(not connection.expects_nothing for connection in made.connections))
        draining = asyncio.create_task(made.drain(5))
        await asyncio.sleep(0)
        wire.send(request[beginning:])
        answer = await wire.answer()
        assert (answer.body, answer.headers["connection"]) == (b"/kept a body", "close")
        assert await draining


HUGE = b"x" * 20_000_000
INPUTS = {
    "malformed json": (post(b'{"model":"act","messages":['), 400),
    "no object": (post(b"[1,2]"), 400),
    "wrong types": (post(b'{"model":7}'), 400),
    "deep nesting": (post(b'{"model":"act","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), 400),
    "invalid utf-8": (post(b'{"model":"act","messages":[{"role":"user","content":"\xff\xfe"}]}'), 400),
    "lone surrogate": (post(b'{"model":"act","messages":[{"role":"user","content":"\\ud800"}]}'), 400),
    "unknown model": (post(b'{"model":"nobody","messages":[{"role":"user","content":"Hi"}]}'), 404),
    "unknown class": (post(body("act"), "x-heterofleet-class: best"), 400),
    "unknown path": (post(body("act"), path="/v2/chat"), 404),
    "wrong method": (b"DELETE /v1/chat/completions HTTP/1.1\r\nhost: r\r\n\r\n", 405),
    "huge body": (post(HUGE), 413),
    "huge chunked body": (
        b"POST /v1/completions HTTP/1.1\r\nhost: r\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n" % len(HUGE) + HUGE,
        413,
    ),
    "huge head": (b"POST /v1/completions HTTP/1.1\r\n" + b"x-a: b\r\n" * 20_000, 431),
    "huge header": (b"POST /v1/completions HTTP/1.1\r\nx-a: " + b"b" * 200_000, 431),
    "huge target": (b"GET /" + b"a" * 200_000, 431),
    "smuggling by length": (
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "smuggling by space": (b"POST / HTTP/1.1\r\nhost : a\r\ncontent-length: 0\r\n\r\n", 400),
    "no http": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "stateful": (post(b'{"model":"act","input":"Hi","previous_response_id":"r"}', path="/v1/responses"), 400),
    "slow head": (b"POST /v1/completions HT", 408),
    "slow body": (b"POST /v1/completions HTTP/1.1\r\nhost: r\r\ncontent-length: 9\r\n\r\nabc", 408),
}


@pytest.mark.parametrize("name", INPUTS)
async def test_whatever_a_client_does_is_answered_and_leaves_nothing_behind(tmp_path, name):
    sent, code = INPUTS[name]
    limits = {"headerSeconds": 0.05, "bodySeconds": 0.05} if code == 408 else {}
    async with site(tmp_path, [says("hello")], limits=limits) as made:
        async with connected(made.router.port) as wire:
            wire.send(sent)
            answer = await wire.answer()
            assert (answer.status, json.loads(answer.body)["error"]["type"][-6:]) == (code, "_error")
        assert (await made.ask()).status == 200
        assert [json.loads(received.body)["model"] for received in made.small[0].received] == ["act"]


async def test_a_prompt_of_a_million_tokens_reaches_its_engine_whole(tmp_path):
    content = "word " * 1_000_000
    async with site(tmp_path, [says("hello")]) as made:
        answer = await made.ask(messages=[{"role": "user", "content": content}])
        (received,) = made.small[0].received
        assert (answer.status, received.fields["messages"][0]["content"]) == (200, content)


async def test_a_client_that_sends_half_a_request_and_leaves_is_forgotten(tmp_path):
    async with site(tmp_path, [says("hello")]) as made:
        for sent in (b"", b"POST / HT", post(b"abc")[:-1]):
            async with connected(made.router.port) as wire:
                wire.send(sent)
        await made.quiet()
        assert made.small[0].received == []
