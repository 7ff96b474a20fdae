"""Splicing: what is put in or taken out, and that every other byte stays as it came."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.router import splice, sse
from heterofleet.router.openai import Operation
from heterofleet.router.splice import StreamScrubber, Unspliceable

KEYS = st.sampled_from(["a", "b", "stream", "max_tokens", "é", 'q"uote', "back\\slash", "{[,:]}"])
SPACE = st.text(" \t\r\n", max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, bytes]]]:
    """An object as a client may write it, with repeats, and its members as they were written."""
    pairs = draw(st.lists(st.tuples(KEYS, VALUES), max_size=6))
    written = []
    for key, value in pairs:
        indent = draw(st.sampled_from([None, 1]))
        text = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=indent)
        name = json.dumps(key, ensure_ascii=draw(st.booleans()))
        if draw(st.booleans()):
            name = name.replace("a", "\\u0061")
        written.append((key, (name + draw(SPACE) + ":" + draw(SPACE) + text).encode()))
    inside = b",".join(draw(SPACE).encode() + member + draw(SPACE).encode() for _, member in written)
    return draw(SPACE).encode() + b"{" + (inside or draw(SPACE).encode()) + b"}" + draw(SPACE).encode(), written


@given(bodies(), st.dictionaries(KEYS, VALUES, max_size=4))
def test_what_is_put_is_there_and_all_else_is_as_it_was(
    body: tuple[bytes, list[tuple[str, bytes]]], changes: dict[str, Any]
):
    raw, written = body
    before = orjson.loads(raw)
    after = splice.put(raw, before, changes)
    assert orjson.loads(after) == {**before, **changes}
    for key, member in written:
        assert key in changes or member in after


@given(bodies(), st.sets(KEYS, max_size=4))
def test_what_is_removed_is_gone_and_all_else_is_as_it_was(body: tuple[bytes, list[tuple[str, bytes]]], keys: set[str]):
    raw, written = body
    after = splice.remove(raw, keys)
    assert orjson.loads(after) == {key: value for key, value in orjson.loads(raw).items() if key not in keys}
    for key, member in written:
        assert key in keys or member in after


@pytest.mark.parametrize(
    ("body", "changes", "after"),
    [
        (b"{}", {"n": 1}, b'{"n":1}'),
        (b' { "a" : 1.0 } ', {"n": 1}, b' {"n":1, "a" : 1.0 } '),
        (b'{ "a" : 1.0 , "b":\t2}', {"a": [3]}, b'{ "a" : [3] , "b":\t2}'),
        (b'{"a":1,"b":2,"a":{"b":3}}', {"a": 4}, b'{"b":2,"a":4}'),
        (b'{"\\u0061":"}\\"","b":2}', {"a": None}, b'{"\\u0061":null,"b":2}'),
        (b'{"b":"\xe2\x82\xac","a":1e400}', {"a": 0, "c": True}, b'{"c":true,"b":"\xe2\x82\xac","a":0}'),
    ],
)
def test_only_the_span_of_a_key_changes(body: bytes, changes: dict[str, object], after: bytes):
    present = json.loads(body)
    assert splice.put(body, present, changes) == after


def test_a_body_as_deep_as_can_be_read_is_refused_not_spoilt():
    depth = 1020
    body = b'{"a":' + b"[" * depth + b"]" * depth + b',"b":1}'
    fields = orjson.loads(body)
    assert splice.put(body, fields, {"c": 1}) == b'{"c":1,' + body[1:]
    with pytest.raises(Unspliceable):
        splice.put(body, fields, {"b": 2})


def chunk(**fields: object) -> bytes:
    return b"data: " + orjson.dumps(fields) + b"\n\n"


TEXT = chunk(choices=[{"index": 0, "delta": {"content": 'say "usage":{'}}], usage=None)
USAGE = chunk(choices=[], usage={"prompt_tokens": 1, "completion_tokens": 2})
LOGPROBS = [{"token": "a", "logprob": -0.1}]
SURE = chunk(choices=[{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": LOGPROBS}}])
UNSURE = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"logprobs":null}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("event", "usage"),
    [
        (USAGE, True),
        (USAGE.replace(b":", b" : ").replace(b"data : ", b"data:").replace(b"\n", b"\r\n"), True),
        (TEXT, False),
        (DONE, False),
        (b': "usage"\n\n', False),
        (b'data: "usage"\n\n', False),
        (chunk(choices=[], usage=None), False),
        (chunk(choices=[{"index": 0, "text": "a"}], usage={"prompt_tokens": 1}), False),
    ],
)
def test_only_a_chunk_with_usage_and_no_choice_is_a_usage_chunk(event: bytes, usage: bool):
    assert splice.is_usage_chunk(event) is usage


@given(st.data(), st.sampled_from(["\n", "\r\n", "\r"]))
def test_a_stream_is_scrubbed_alike_however_it_is_cut(data: st.DataObject, line_end: str):
    events = [b": ping\n\n", TEXT, SURE, UNSURE, USAGE, DONE]
    stream, wanted = (
        b"".join(part).replace(b"\n", line_end.encode())
        for part in (events, [b": ping\n\n", TEXT, UNSURE, UNSURE, DONE])
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    scrubber = StreamScrubber(Operation.CHAT, drop_usage=True, drop_logprobs=True)
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    got = b"".join([*(scrubber.feed(part) for part in parts), scrubber.flush()])
    # A cut within the line end of a dropped event leaves a line end behind, which says nothing.
    assert got.replace(b"\r", b"\n").replace(b"\n", b"") == wanted.replace(b"\r", b"\n").replace(b"\n", b"")
    assert line_end != "\n" or got == wanted


def test_what_was_asked_for_is_not_taken_out():
    scrubber = StreamScrubber(Operation.CHAT, drop_usage=False, drop_logprobs=False)
    assert [scrubber.feed(event) for event in (SURE, USAGE, DONE)] == [SURE, USAGE, DONE]


def test_the_beginning_of_an_event_waits_for_its_end_and_leaves_when_there_is_none():
    scrubber = StreamScrubber(Operation.CHAT, drop_usage=True, drop_logprobs=False)
    assert [scrubber.feed(TEXT + USAGE[:20]), scrubber.flush(), scrubber.flush()] == [TEXT, USAGE[:20], b""]


def test_log_probabilities_become_null_in_whole_answers_and_nothing_else_moves():
    body = (
        b'{"id":"x", "choices": [ {"index":0,"logprobs": {"content":[{"token":"a","logprob":-1e-1}]} ,"message":'
        b'{"content":"\\"logprobs\\": 1.0"}}, {"logprobs":null} ], "logprobs": 1.50}'
    )
    after = body.replace(b'{"content":[{"token":"a","logprob":-1e-1}]}', b"null")
    assert splice.without_logprobs(Operation.CHAT, body) == after
    assert splice.without_logprobs(Operation.COMPLETIONS, b'{"choices":[{"logprobs":{}}]}') == (
        b'{"choices":[{"logprobs":null}]}'
    )


def test_log_probabilities_leave_answers_and_events_of_responses():
    part = {"type": "output_text", "text": "a", "logprobs": LOGPROBS}
    empty = {**part, "logprobs": None}
    for full, scrubbed in (
        ({"output": [{"content": [part]}]}, {"output": [{"content": [empty]}]}),
        ({"part": part}, {"part": empty}),
        # Official clients know an event's as a list.
        (part, {**part, "logprobs": []}),
        ({"part": {**part, "logprobs": []}}, {"part": {**part, "logprobs": []}}),
        ({"item": {"content": [part]}}, {"item": {"content": [empty]}}),
        ({"response": {"output": [{"content": [part]}]}}, {"response": {"output": [{"content": [empty]}]}}),
    ):
        assert splice.without_logprobs(Operation.RESPONSES, orjson.dumps(full)) == orjson.dumps(scrubbed)


def test_log_probabilities_leave_an_event_whose_data_has_several_lines():
    event = b'event: x\ndata: {"choices":[{"index":0,\ndata: "logprobs":{"content":[]}}]}\n\n'
    scrubber = StreamScrubber(Operation.CHAT, drop_usage=False, drop_logprobs=True)
    assert scrubber.feed(event) == b'event: x\ndata: {"choices":[{"index":0, "logprobs":null}]}\n\n'


@pytest.mark.parametrize(
    "body", [b'{"logprobs" 1}', b'{1:"logprobs"}', b'{"choices":[{"logprobs":1 2}]}', b'["logprobs"', b'"logprobs"']
)
def test_an_answer_that_is_no_json_is_not_spliced(body: bytes):
    with pytest.raises(Unspliceable):
        splice.without_logprobs(Operation.CHAT, body)


def test_an_event_beyond_all_bounds_is_passed_on():
    scrubber = StreamScrubber(Operation.CHAT, drop_usage=True, drop_logprobs=False)
    long = b"data: " + b"x" * sse.LONGEST_EVENT
    assert scrubber.feed(long) == long
