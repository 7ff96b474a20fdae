"""Bytes that nobody meant: each parser on the wire takes them without a defect, however they are cut."""

import asyncio
import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heterofleet.api.policy import Limits
from heterofleet.router import front, sse
from heterofleet.router.exchange import Exchange
from heterofleet.router.inbound import Connection, Front
from heterofleet.router.openai import Operation
from heterofleet.router.relay import Attempt, Edit, StreamRelay
from heterofleet.router.splice import StreamScrubber
from heterofleet.router.upstream import Connection as EngineConnection
from heterofleet.router.upstream import Pool, UpstreamError
from router.engines import DONE, LAST, STREAM_HEAD, delta, piece, says, usage
from router.site import site
from router.wire import connected, post

REQUESTS = post(b"one", path="/a") + post(b"", path="/b") + (
    b"POST /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
)  # fmt: skip
TOKENS = st.sampled_from(
    [b"POST / HTTP/1.1\r\n", b"GET /v1/models HTTP/1.1\r\n", b"content-length: 5\r\n", b"content-length: 0\r\n",
     b"transfer-encoding: chunked\r\n", b"connection: upgrade\r\n", b"upgrade: h2c\r\n", b"expect: 100-continue\r\n",
     b"\r\n", b"0\r\n\r\n", b"5\r\nabcde\r\n", b"hello", b"\n", b"\r", b" ", b"\x00", b"PRI * HTTP/2.0\r\n\r\n",
     b"CONNECT a:1 HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 No\r\n\r\n"]
)  # fmt: skip
PIECES = st.lists(TOKENS | st.binary(max_size=20), max_size=12)


class Transport:
    """What a connection uses of one; remembers what was written."""

    def __init__(self) -> None:
        self.written = b""
        self.over = False

    def write(self, data: bytes) -> None:
        assert not self.over, "uvloop raises where a closed transport is written to"
        self.written += data

    def close(self) -> None:
        self.over = True

    abort = write_eof = close

    def is_closing(self) -> bool:
        return self.over

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_extra_info(self, _name: str) -> None: ...


class Sink:
    """Takes an answer; it must end once at most."""

    passes = None

    def __init__(self) -> None:
        self.body = b""
        self.ends: list[object] = []
        self.data_after_end = False

    def head(self, status: int, headers: dict[bytes, bytes]) -> None:
        assert 200 <= status < 1000

    def data(self, data: bytes) -> None:
        self.body += data
        self.data_after_end |= bool(self.ends)

    def complete(self) -> None:
        self.ends.append("complete")

    def lost(self, error: UpstreamError) -> None:
        self.ends.append(error)


def cuts(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces."""
    at = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(at) if start < end]


async def served(pieces: list[bytes]) -> tuple[list[tuple[bytes, bytes]], Transport]:
    """The requests that a front reads from these pieces, and what became of its connection."""
    seen: list[tuple[bytes, bytes]] = []
    defects: list[BaseException] = []

    async def note(exchange: Exchange) -> None:
        seen.append((exchange.target, exchange.body))
        exchange.respond(200, b"", b"")

    made = Front(note, Limits(max_header_bytes=1024, max_body_bytes=1024), front.refusal, defects.append)
    connection, transport = Connection(made), Transport()
    connection.connection_made(transport)
    for data in pieces:
        if transport.over:
            break
        connection.data_received(data)
    for _ in range(4 * len(pieces) + 40):
        await asyncio.sleep(0)
    connection.connection_lost(None)
    assert (defects, made.connections) == ([], set())
    return seen, transport


@given(st.lists(st.integers(0, 10_000), max_size=8))
async def test_requests_are_the_same_however_they_are_cut(places):
    seen, transport = await served(cuts(REQUESTS, places))
    assert seen == [(b"/a", b"one"), (b"/b", b""), (b"/c", b"abcde")]
    assert transport.written.count(b"HTTP/1.1 200 OK") == 3


@given(PIECES)
async def test_whatever_clients_send_is_waited_for_answered_or_refused(pieces):
    _, transport = await served(pieces)
    assert transport.written == b"" or transport.written.startswith(b"HTTP/1.1 ")


@given(PIECES, st.booleans())
async def test_whatever_engines_answer_ends_an_attempt_once(pieces, breaks):
    pool, sink, transport = Pool("127.0.0.1", 1), Sink(), Transport()
    connection = EngineConnection(pool)
    connection.connection_made(transport)
    connection.send(b"request", sink)
    for data in pieces:
        if not transport.over:
            connection.data_received(data)
    connection.connection_lost(ConnectionResetError() if breaks else None)
    assert len(sink.ends) == 1
    assert not sink.data_after_end


class Client:
    def __init__(self, wire: Transport | None = None) -> None:
        self.sent = b""
        self.wire = wire

    def send(self, data: bytes) -> None:
        self.sent += data


class WiredClient(Client):
    """A client that takes chunks; all of them are on its wire."""

    def __init__(self) -> None:
        super().__init__(Transport())

    def send(self, data: bytes) -> None:
        if data:
            self.wire.write(piece(data))


@given(st.lists(st.integers(0, 10_000), max_size=12), st.booleans())
async def test_a_stream_is_the_same_however_it_is_cut(places, scrubs):
    stream = b": hello\n\n" + delta("a") + b"event: x\r\ndata: 1\r\n\r\n" + delta("b", "stop") + usage(7, 3) + DONE
    client, loop = Client(), asyncio.get_running_loop()
    edit = Edit(StreamScrubber(Operation.CHAT, drop_usage=True, drop_logprobs=False).feed) if scrubs else None
    relay = StreamRelay(loop, client, abort=lambda: None, edit=edit, observe=None)
    for data in cuts(stream, places):
        relay.piece(data)
        assert sum(map(len, sse.Splitter().feed(client.sent))) == len(client.sent), "half an event was passed on"
    relay.ended(None)
    assert client.sent == (stream.replace(usage(7, 3), b"") if scrubs else stream)


CHUNKS = st.sampled_from(
    [delta("a"), delta("b" * 300), delta("c") + delta("d"), b"data: 5\r\n\n\n", b"data: x\r\n", b"\n", usage(7, 3),
     DONE, b": 1\n\n", b"data:x\r\n0\r\n\n\n", b"data: y\r\n\r\n", b"data: half", b" of it\n\n", piece(delta("e"))[:-2]]
)  # fmt: skip


async def relayed(pieces: list[bytes], client: Client, *, scrubs: bool) -> StreamRelay:
    """What an engine streams in these pieces behind its first event, on its way to a client."""
    loop, engine = asyncio.get_running_loop(), EngineConnection(Pool("127.0.0.1", 1))
    scrubber = StreamScrubber(Operation.CHAT, drop_usage=True, drop_logprobs=False)
    edit = Edit(scrubber.feed, scrubber.marks) if scrubs else None
    relay = StreamRelay(loop, client, abort=lambda: None, edit=edit, observe=None)
    attempt = Attempt(loop, first_byte_seconds=1, stall_seconds=1, most_bytes=10_000)
    engine.connection_made(Transport())
    engine.send(b"request", attempt)
    engine.data_received(STREAM_HEAD + piece(delta("first")))
    attempt.follow(relay)
    for data in pieces:
        engine.data_received(data)
    return relay


@given(st.lists(CHUNKS, max_size=8), st.lists(st.integers(0, 10_000), max_size=6), st.booleans())
async def test_a_stream_is_the_same_whether_its_chunks_are_read_or_pass(chunks, places, scrubs):
    stream = [*map(piece, chunks), LAST]
    pieces = cuts(b"".join(stream), places) if places else stream
    read, passed = Client(), WiredClient()
    expected = await relayed(pieces, read, scrubs=scrubs)
    ended = await relayed(pieces, passed, scrubs=scrubs)
    sink, engine = Sink(), EngineConnection(Pool("127.0.0.1", 1))
    engine.connection_made(Transport())
    engine.send(b"request", sink)
    engine.data_received(STREAM_HEAD + passed.wire.written + LAST)
    assert (sink.body, len(sink.ends)) == (read.sent, 1)
    assert type(ended.error) is type(expected.error)


@given(st.lists(st.sampled_from([b"data:", b"data: {}", b"\n", b"\n\n", b"\r\n", b"\r", b"[DONE]", b"x", b"id: 1\n"])))
async def test_whatever_an_engine_streams_is_passed_on_or_ends_the_stream(pieces):
    client, aborted = Client(), []
    relay = StreamRelay(asyncio.get_running_loop(), client, abort=lambda: aborted.append(1), edit=None, observe=None)
    for data in pieces:
        relay.piece(data)
    relay.ended(None)
    assert b"".join(pieces).startswith(client.sent)
    assert relay.done.done()
    assert len(aborted) == (relay.error is not None)


@pytest.fixture(scope="module")
def bodies() -> st.SearchStrategy[bytes]:
    value = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.text(max_size=3), max_size=2)
    fields = st.fixed_dictionaries(
        {"model": st.sampled_from(["act", "plan", "chat-large"])},
        optional=dict.fromkeys(("messages", "stream", "max_tokens", "metadata", "n", "response_format"), value),
    )
    return st.binary(max_size=60) | fields.map(lambda found: json.dumps(found).encode())


async def test_a_whole_router_answers_whatever_is_asked_and_goes_on(tmp_path, bodies):
    """The same router for all examples, which must end each with nothing left behind."""
    asked: list[bytes] = []

    @settings(max_examples=60, database=None, suppress_health_check=list(HealthCheck))
    @given(bodies)
    def collect(body: bytes) -> None:
        asked.append(body)

    collect()
    async with site(tmp_path, [says("hello")], [says("deep")]) as made:
        statuses = set()
        async with connected(made.router.port) as wire:
            for body in asked:
                wire.send(post(body))
                answer = await wire.answer()
                statuses.add(answer.status)
                if answer.headers["content-type"] == "application/json":
                    json.loads(answer.body)
        assert statuses <= {200, 400}
        assert 400 in statuses
