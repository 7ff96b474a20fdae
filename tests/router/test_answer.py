"""Whole answers: what they say as one value, and the tokens that they cost."""

import contextlib
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.router import answer
from heterofleet.router.answer import Answer, EngineFailure, MalformedAnswer, Usage, UsageTail
from heterofleet.router.openai import Operation
from router import answers

SPENT = Usage(12, 8)
CALLS = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (answers.chat("Paris."), Answer(Operation.CHAT, "Paris.", "stop", usage=SPENT)),
        (
            answers.chat(None, tool_calls=CALLS, finish="tool_calls"),
            Answer(Operation.CHAT, "", "tool_calls", tool_calls=True, usage=SPENT),
        ),
        (
            answers.chat(None, refusal="No.", finish="stop"),
            Answer(Operation.CHAT, "", "stop", refusal="No.", usage=SPENT),
        ),
        (
            answers.chat("Pa", finish="length", logprobs=[-1.0, -3.0]),
            Answer(Operation.CHAT, "Pa", "length", mean_logprob=-2.0, usage=SPENT),
        ),
    ],
)
def test_a_chat_says(body: bytes, said: Answer):
    assert answer.from_body(Operation.CHAT, body) == said


def test_a_completion_says_the_first_of_its_texts():
    body = answers.completion("a", "b", finish="length", logprobs=[-0.5, -1.5])
    assert answer.from_body(Operation.COMPLETIONS, body) == Answer(
        Operation.COMPLETIONS, "a", "length", usage=SPENT, mean_logprob=-1.0, choices=2
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            answers.response({"type": "reasoning", "content": None}, answers.output_text("Paris.", [-2.0])),
            Answer(Operation.RESPONSES, "Paris.", "stop", usage=SPENT, mean_logprob=-2.0),
        ),
        (
            answers.response({"type": "function_call", "name": "f"}),
            Answer(Operation.RESPONSES, "", "stop", tool_calls=True, usage=SPENT),
        ),
        (
            answers.response(answers.output_text("Pa"), status="incomplete", reason="max_output_tokens", usage=False),
            Answer(Operation.RESPONSES, "Pa", "length"),
        ),
        (
            answers.response(status="incomplete", reason="content_filter"),
            Answer(Operation.RESPONSES, "", "content_filter", usage=SPENT),
        ),
        (
            answers.response({"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}),
            Answer(Operation.RESPONSES, "", "stop", refusal="No.", usage=SPENT),
        ),
    ],
)
def test_a_response_says(said: dict[str, Any], expected: Answer):
    assert answer.from_body(Operation.RESPONSES, orjson.dumps(said)) == expected


def test_embeddings_cost_their_prompt():
    body = orjson.dumps({"data": [{"embedding": [0.1]}] * 3, "usage": {"prompt_tokens": 7, "total_tokens": 7}})
    assert answer.from_body(Operation.EMBEDDINGS, body) == Answer(Operation.EMBEDDINGS, usage=Usage(7, 0), choices=3)
    assert answer.usage_of_body(body) == Usage(7, 0)


def test_only_so_much_of_a_text_is_looked_at():
    said = answer.from_body(Operation.CHAT, answers.chat("x" * (answer.LONGEST_TEXT + 1)))
    assert (len(said.text), said.whole) == (answer.LONGEST_TEXT, False)


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"choices":[],"data":[]}', b'{"choices":[1]}'])
def test_what_is_no_answer_is_malformed(operation: Operation, body: bytes):
    with pytest.raises(MalformedAnswer):
        answer.from_body(operation, body)


def test_a_choice_of_a_chat_without_a_message_is_malformed():
    with pytest.raises(MalformedAnswer):
        answer.from_body(Operation.CHAT, answers.completion("a"))


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (Operation.CHAT, b'{"error":{"message":"out of memory"}}'),
        (Operation.RESPONSES, b'{"status":"failed","output":[]}'),
    ],
)
def test_an_engine_may_say_that_it_failed(operation: Operation, body: bytes):
    with pytest.raises(EngineFailure):
        answer.from_body(operation, body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(st.sampled_from(Operation), st.dictionaries(st.sampled_from(["choices", "output", "data", "usage"]), JSON))
def test_any_json_is_an_answer_or_malformed(operation: Operation, fields: dict[str, Any]):
    try:
        body = orjson.dumps(fields)
    except TypeError:  # An integer beyond 64 bits.
        body = json.dumps(fields).encode()
    with contextlib.suppress(MalformedAnswer):
        assert isinstance(answer.from_body(operation, body), Answer)


TRICKS = ['"usage"', '"usage":{"prompt_tokens":1,"completion_tokens":2}', "}", '\\"usage":{', "{"]


@given(st.sampled_from(TRICKS), st.text(max_size=600), st.booleans(), st.sampled_from([",", ", "]))
def test_the_short_way_to_the_usage_finds_what_the_whole_body_says(trick: str, text: str, told: bool, comma: str):
    fields = {"choices": [{"message": {"content": text + trick}}], "usage": answers.USAGE if told else None, "x": trick}
    body = json.dumps(fields, separators=(comma, ":"), ensure_ascii=False).encode("utf-8", "replace")
    assert answer.usage_of_body(body) == (SPENT if told else None)


@pytest.mark.parametrize("first", [True, False])
def test_usage_is_found_wherever_it_stands(first: bool):
    rest = {"choices": [{"message": {"content": "x" * 1000}}]}
    fields = {"usage": answers.USAGE, **rest} if first else {**rest, "usage": answers.USAGE}
    assert answer.usage_of_body(orjson.dumps(fields)) == SPENT


@pytest.mark.parametrize("usage", [None, {}, 5, {"prompt_tokens": True}, {"prompt_tokens": -1}, {"prompt_tokens": 1.5}])
def test_usage_that_makes_no_sense_is_no_usage(usage: object):
    assert answer.usage_of_body(orjson.dumps({"usage": usage})) is None


@pytest.mark.parametrize("body", [b'{"usage":{"a":{"b":{}}}', b'{"usage":{x}}', b'"usage"', b"", b'["usage"]'])
def test_a_body_that_is_no_answer_has_no_usage(body: bytes):
    assert answer.usage_of_body(body) is None


def test_a_chunk_tells_its_usage_or_none():
    told = [
        answer.usage_of_chunk(c)
        for c in (answers.usage_chunk(), answers.chat_chunk("a"), b'"usage":null', b'"usage":{x}')
    ]
    assert told == [SPENT, None, None, None]


@given(st.data())
def test_the_usage_of_a_stream_is_found_however_it_is_cut(data: st.DataObject):
    stream = answers.chat_chunk("a") * 100 + answers.usage_chunk() + answers.DONE
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=30)))
    tail = UsageTail()
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        tail.feed(stream[start:end])
    assert tail.usage() == SPENT


def test_a_stream_that_told_no_usage_has_none():
    tail = UsageTail()
    tail.feed(answers.chat_chunk("a") + answers.DONE)
    assert tail.usage() is None
