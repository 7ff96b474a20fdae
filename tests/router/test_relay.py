"""An attempt and the relay of its stream, with clocks and clients of the test's own; then on real connections."""

import asyncio
import math

import pytest

from heterofleet.api.labels import Tier
from heterofleet.router.attempts import Attempts, Under
from heterofleet.router.endpoints import Address, Registry, Sighting
from heterofleet.router.relay import Attempt, Edit, StreamRelay, Withheld
from heterofleet.router.upstream import ClosedEarly, ConnectFailed, Garbage, TimedOut
from router import engines
from router.engines import DONE, LAST, STREAM_HEAD, delta, piece, whole
from router.running import until

EVENTS = {b"content-type": b"text/event-stream; charset=utf-8"}
REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: e\r\ncontent-length: 2\r\n\r\n{}"


class Clock:
    """A loop, as far as an attempt needs one: futures, and the time that the test says."""

    def __init__(self) -> None:
        self.now = 100.0
        self._loop = asyncio.get_running_loop()

    def time(self) -> float:
        return self.now

    def create_future(self) -> asyncio.Future[None]:
        return self._loop.create_future()


class Client:
    """What of an exchange a relay uses; its own wire where it has one."""

    def __init__(self, *, has_wire: bool = False) -> None:
        self.sent: list[bytes] = []
        self.written: list[bytes] = []
        self.closing = False
        self.wire = self if has_wire else None

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def send(self, data: bytes) -> None:
        if data:
            self.sent.append(data)


class Follower:
    """Takes pieces as a relay does; `told` is called with each."""

    def __init__(self, clock: Clock, told=lambda data: None) -> None:
        self.clock, self.told, self.last_at, self.passes = clock, told, 0.0, None
        self.pieces: list[bytes] = []
        self.ends: list[object] = []

    def piece(self, data: bytes) -> None:
        self.pieces.append(data)
        self.last_at = self.clock.time()
        self.told(data)

    def ended(self, error) -> None:
        self.ends.append(error)


@pytest.fixture
async def clock() -> Clock:
    return Clock()


def attempt(clock: Clock, *, most_bytes: int = 1000, hold=None) -> Attempt:
    return Attempt(clock, first_byte_seconds=30, stall_seconds=5, most_bytes=most_bytes, hold=hold)


def relay(clock: Clock, *, edit=None, observe=None, has_wire=False) -> tuple[StreamRelay, Client, list[str]]:
    client, aborted = Client(has_wire=has_wire), []
    return (
        StreamRelay(clock, client, abort=lambda: aborted.append("aborted"), edit=edit, observe=observe),
        client,
        aborted,
    )


async def test_an_answer_that_is_not_streamed_begins_when_it_is_whole(clock):
    made = attempt(clock)
    made.head(200, {b"content-type": b"application/json"})
    made.data(b"{")
    assert not made.begun.done()
    made.data(b"}")
    made.complete()
    assert (made.begun.done(), made.body, made.error) == (True, b"{}", None)


async def test_only_a_stream_with_status_200_is_taken_for_one(clock):
    for status, headers, streaming in ((200, EVENTS, True), (400, EVENTS, False), (200, {}, False)):
        made = attempt(clock)
        made.head(status, headers)
        assert made.streaming is streaming


async def test_each_part_of_an_answer_has_its_own_time(clock):
    made = attempt(clock)
    assert made.deadline == 130.0
    clock.now = 110.0
    made.head(200, EVENTS)
    assert made.deadline == 115.0
    clock.now = 112.0
    made.data(delta("a"))
    assert made.deadline == 117.0
    made.follow(Follower(clock))
    clock.now = 116.0
    made.data(delta("b"))
    assert made.deadline == 121.0


async def test_an_engine_is_not_silent_while_its_client_does_not_read(clock):
    made = attempt(clock)
    made.head(200, EVENTS)
    made.follow(Follower(clock, told=lambda _data: made.pressed(True)))
    made.data(delta("a"))
    made.data(delta("b"))
    assert made.deadline == math.inf
    clock.now = 500.0
    made.pressed(False)
    assert made.deadline == 505.0


async def test_what_was_held_goes_first_and_an_end_before_the_relay_is_told_to_it(clock):
    made = attempt(clock, hold=lambda _data: True)
    made.head(200, EVENTS)
    for text in ("a", "b"):
        made.data(delta(text))
    made.complete()
    follower = Follower(clock)
    made.follow(follower)
    assert (follower.pieces, follower.ends) == ([delta("a") + delta("b")], [None])


async def test_the_first_error_is_the_attempts_and_a_whole_answer_cannot_fail(clock):
    failed, ended = attempt(clock), attempt(clock)
    failed.lost(ClosedEarly("first"))
    failed.lost(Garbage("second"))
    assert str(failed.error) == "first"
    ended.head(200, {})
    ended.complete()
    ended.lost(ClosedEarly("late"))
    ended.expire()
    assert (ended.whole, ended.error) == (True, None)


async def test_an_answer_beyond_the_most_bytes_is_given_up(clock):
    made = attempt(clock, most_bytes=10)
    made.head(200, {})
    made.data(b"0123456789")
    assert not made.over
    made.data(b"0")
    assert str(made.error) == "the answer is longer than 10 bytes"


async def test_time_that_is_up_says_whether_the_answer_had_begun(clock):
    silent, stalled = attempt(clock), attempt(clock)
    stalled.head(200, EVENTS)
    for made in (silent, stalled):
        made.expire()
        assert type(made.error) is TimedOut
    assert (str(silent.error), str(stalled.error)) == ("no answer in time", "the answer stopped coming")


async def test_pieces_pass_as_they_come_and_are_timed(clock):
    gaps = []
    made, client, _ = relay(clock, observe=gaps.append)
    for text, now in (("a", 101.0), ("b", 101.5), ("c", 103.5)):
        clock.now = now
        made.piece(delta(text))
        assert made.last_at == now
    made.ended(None)
    assert client.sent == [delta("a"), delta("b"), delta("c")]
    assert (made.first_at, gaps, made.pieces, made.done.done(), made.error) == (101.0, [0.5, 2.0], 3, True, None)


async def test_an_event_may_be_cut_anywhere(clock):
    made, client, aborted = relay(clock)
    stream = b": comment\n\n" + b"event: x\n" + delta("a") + b"\r\ndata: b\r\n\r\n" + b"id: 1\n\n" + DONE
    for byte in stream:
        made.piece(bytes([byte]))
    made.ended(None)
    assert (b"".join(client.sent), made.error, aborted) == (stream, None, [])


@pytest.mark.parametrize("length", range(1, 6))
async def test_the_beginning_of_an_event_may_be_cut_too(clock, length):
    made, client, aborted = relay(clock)
    for data in (delta("a"), delta("b")[:length], delta("b")[length:], DONE):
        made.piece(data)
    made.ended(None)
    assert (b"".join(client.sent), made.error, aborted) == (delta("a") + delta("b") + DONE, None, [])


@pytest.mark.parametrize("garbage", [b"<html>", b"dada: x", b"\x00", b"x"])
async def test_what_is_no_event_ends_the_stream_and_the_engines_work(clock, garbage):
    made, client, aborted = relay(clock)
    made.piece(delta("a"))
    made.piece(garbage)
    made.piece(delta("b"))
    assert (client.sent, aborted, type(made.error)) == ([delta("a")], ["aborted"], Garbage)
    assert made.done.done()


async def test_an_edit_that_withholds_ends_the_stream_and_the_engines_work(clock):
    def edit(data: bytes) -> bytes:
        if b"secret" in data:
            raise Withheld("not this")
        return data.upper()

    made, client, aborted = relay(clock, edit=Edit(edit))
    made.piece(b"data: a\n\n")
    made.piece(b"data: secret\n\n")
    made.ended(None)
    assert (client.sent, aborted, str(made.error)) == ([b"DATA: A\n\n"], ["aborted"], "not this")


async def test_the_tail_has_what_an_engine_writes_last_however_it_is_cut(clock):
    made, _, _ = relay(clock)
    for number in range(10):
        made.piece(b"data: %d\n\n" % number)
    assert made.tail == b"".join(b"data: %d\n\n" % number for number in range(4, 10))


async def test_one_whole_chunk_of_events_passes_as_it_came_and_is_timed(clock):
    gaps = []
    made, client, _ = relay(clock, observe=gaps.append, has_wire=True)
    made.piece(delta("a"))
    clock.now += 0.5
    two = piece(delta("b") + delta("c"))
    assert made.passes(two)
    assert (client.sent, client.written) == ([delta("a")], [two])
    assert (gaps, made.last_at, made.pieces) == ([0.5], 100.5, 2)


async def test_the_tail_has_nothing_that_came_before_a_chunk_that_passed(clock):
    made, _, _ = relay(clock, has_wire=True)
    for data in (b"data: [DONE]\n\n", delta("a")):
        made.piece(data)
    assert made.passes(piece(delta("b")))
    made.piece(delta("c"))
    assert made.tail == delta("c")


@pytest.mark.parametrize(
    "data",
    [
        piece(delta("b")) + piece(delta("c")),
        piece(delta("b"))[:-1],
        piece(delta("b")[:-1]),
        piece(b": comment\n\n"),
        piece(b"x" + delta("b")),
        piece(b"data: " + b"x" * 4096 + b"\n\n"),
        b"0" + piece(delta("b")),
        piece(DONE),
        piece(b'data: {"choices":[],"usage":{}}\n\n'),
        piece(delta("b")).upper(),
        b"+" + piece(delta("b")),
        LAST,
        b"",
    ],
)
async def test_what_is_not_one_whole_chunk_of_events_has_to_be_read(clock, data):
    made, client, _ = relay(clock, has_wire=True)
    made.piece(delta("a"))
    assert (made.passes(data), client.written, made.pieces) == (False, [], 1)


async def test_no_chunk_passes_unread_within_an_event_after_an_error_or_to_a_client_that_has_gone(clock):
    for what_was in ("half an event", "an error", "gone"):
        made, client, _ = relay(clock, has_wire=True)
        made.piece(b"data: ha" if what_was == "half an event" else delta("a"))
        if what_was == "an error":
            made.ended(Garbage("x"))
        client.closing = what_was == "gone"
        assert (made.passes(piece(delta("b"))), client.written) == (False, [])


async def test_chunks_pass_unread_only_where_no_edit_concerns_them_and_the_client_takes_chunks(clock):
    marked = Edit(lambda data: data, (b'"logprobs"',))
    made, _, _ = relay(clock, edit=marked, has_wire=True)
    made.piece(delta("a"))
    assert [made.passes(piece(delta("b"))), made.passes(piece(b'data: {"logprobs":1}\n\n'))] == [True, False]
    screened, _, _ = relay(clock, edit=Edit(lambda data: data), has_wire=True)
    assert screened.passes is None
    unchunked, _, _ = relay(clock)
    unchunked.piece(delta("a"))
    assert not unchunked.passes(piece(delta("b")))


async def under_way(engine: engines.Engine, attempts: Attempts, **more) -> tuple[Under, Attempt]:
    """An attempt with bounds of the test's own, over a fresh connection."""
    registry = Registry(asyncio.get_running_loop().time)
    registry.replace([Sighting(Address("127.0.0.1", engine.port), Tier.SMALL)])
    connection = await registry.all()[0].pool.open(5)
    loop = asyncio.get_running_loop()
    made = Attempt(loop, first_byte_seconds=30, stall_seconds=30, **{"most_bytes": 1000, **more})
    connection.send(REQUEST, made)
    return Under(attempts, made, connection), made


async def test_an_answer_that_is_too_long_is_not_read_on():
    async def floods(_received, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        while not writer.transport.is_closing():
            writer.write(b"x" * 65536)
            await writer.drain()

    async with engines.engine(floods) as engine:
        under, made = await under_way(engine, Attempts(asyncio.get_running_loop()))
        await made.begun
        under.abort()
        await until(lambda: not engine.open)
        assert type(made.error) is Garbage
        assert made.size < 10_000_000


async def test_a_connection_that_is_put_back_while_it_is_paused_reads_again():
    loop = asyncio.get_running_loop()
    attempts = Attempts(loop)

    async def answers(_received, writer):
        writer.write(STREAM_HEAD + piece(delta("a")))
        await writer.drain()
        await followed.wait()
        writer.write(piece(delta("b")) + piece(DONE) + LAST)

    async with engines.engine(answers) as engine:
        registry = Registry(loop.time)
        registry.replace([Sighting(Address("127.0.0.1", engine.port), Tier.SMALL)])
        (endpoint,) = registry.all()
        for _ in range(2):
            followed = asyncio.Event()
            under = await attempts.begin(endpoint, REQUEST, 5, None)
            ended = asyncio.Event()
            follower = Follower(loop, told=lambda data, under=under: under.pressed(b'"a"' not in data))
            follower.ended = lambda _error, ended=ended: ended.set()
            under.attempt.follow(follower)
            followed.set()
            async with asyncio.timeout(5):
                await ended.wait()
            under.close()
        assert engine.connections == 1
        endpoint.pool.close()


async def test_an_engine_that_hangs_up_at_once_is_an_error_with_a_name():
    async def hang_up(_reader, writer):
        writer.transport.abort()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    registry = Registry(loop.time)
    registry.replace([Sighting(Address(*server.sockets[0].getsockname()), Tier.SMALL)])
    (endpoint,) = registry.all()
    attempts = Attempts(loop)
    connection = await endpoint.pool.open(5)
    await until(lambda: connection.closed)
    connection.send(REQUEST, made := Attempt(loop, first_byte_seconds=5, stall_seconds=5, most_bytes=1000))
    assert type(made.error) is ClosedEarly
    under = await attempts.begin(endpoint, REQUEST, 5, None)
    under.abort()
    assert (type(under.attempt.error), len(attempts), len(endpoint.pool)) == (ClosedEarly, 0, 0)
    server.close()
    await server.wait_closed()


async def test_a_host_that_is_no_name_is_an_engine_that_is_not_there():
    registry = Registry(asyncio.get_running_loop().time)
    registry.replace([Sighting(Address("a" * 70 + ".local", 80), Tier.SMALL)])
    with pytest.raises(ConnectFailed):
        await registry.all()[0].pool.open(5)


async def test_a_whole_answer_leaves_its_connection_alone_whoever_aborts():
    async with engines.engine(engines.writes(whole(200, b"{}"))) as engine:
        under, made = await under_way(engine, Attempts(asyncio.get_running_loop()))
        await made.begun
        under.abort()
        await asyncio.sleep(0)
        assert len(engine.open) == 1


async def test_half_an_event_waits_for_the_rest_so_that_an_error_can_follow_what_was_sent(clock):
    made, client, _ = relay(clock)
    made.piece(delta("a") + delta("b")[:20])
    assert client.sent == [delta("a")]
    made.piece(delta("b")[20:] + b"data: half")
    assert client.sent == [delta("a"), delta("b")]
    made.ended(ClosedEarly("gone"))
    assert client.sent == [delta("a"), delta("b")]


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n"])
@pytest.mark.parametrize("edit", [None, Edit(lambda data: data)])
async def test_the_last_event_is_passed_on_whatever_ends_its_line(clock, end, edit):
    made, client, _ = relay(clock, edit=edit)
    made.piece(delta("a"))
    made.piece(b"data: [DONE]" + end)
    made.ended(None)
    assert b"".join(client.sent).startswith(delta("a") + b"data: [DONE]" + end)


async def test_half_a_line_at_the_end_is_no_event(clock):
    made, client, _ = relay(clock)
    made.piece(delta("a"))
    made.piece(b"data: [DO")
    made.ended(None)
    assert client.sent == [delta("a")]
