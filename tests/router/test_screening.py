"""Compliance in what the API carries: requests, whole answers and streams; all else stays as it came."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.api.compliance import Compliance, ComplianceAction, ComplianceRule
from heterofleet.router import openai, screening
from heterofleet.router.answer import MalformedAnswer
from heterofleet.router.answerstream import StreamReader
from heterofleet.router.compliance import Filter, Redaction, Rules
from heterofleet.router.openai import Operation
from heterofleet.router.screenedstream import StreamScreen
from heterofleet.router.screening import Screened
from router import answers


def rules() -> Filter:
    """Takes out `secret`, and forbids `bomb`."""
    return Rules.compile(
        Compliance(
            rules=[
                ComplianceRule(name="secret", pattern="(?i)secret", action=ComplianceAction.REDACT, replacement="***"),
                ComplianceRule(name="bomb", pattern="bomb"),
            ],
            max_match_characters=16,
        )
    ).answer


def message(content: object, **fields: object) -> dict[str, Any]:
    return {"messages": [{"role": "bomb", "content": content, **fields}]}


TEXT_PART = {"type": "text", "text": "secret"}
IMAGE_PART = {"type": "image_url", "image_url": {"url": "bomb"}}
CALL = {"id": "bomb", "type": "function", "function": {"name": "f", "arguments": '{"a":"secret"}'}}
TOOL_OUTPUT = {"type": "function_call_output", "call_id": "bomb", "output": "secret"}


@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        (Operation.CHAT, {**message("a secret"), "user": "bomb"}),
        (Operation.CHAT, message([TEXT_PART, IMAGE_PART])),
        (Operation.CHAT, message(None, tool_calls=[CALL])),
        (Operation.COMPLETIONS, {"prompt": "secret", "suffix": "secret"}),
        (Operation.COMPLETIONS, {"prompt": ["a", "secret"], "stop": "bomb"}),
        (Operation.EMBEDDINGS, {"input": "secret"}),
        (
            Operation.RESPONSES,
            {"input": [{"role": "user", "content": "secret"}, TOOL_OUTPUT], "instructions": "secret"},
        ),
    ],
)
def test_texts_of_a_request_are_redacted_and_nothing_else_is_looked_at(operation: Operation, fields: dict[str, Any]):
    body = orjson.dumps({"model": "bomb", **fields})
    screened = screening.request(rules(), openai.parse(operation, body))
    times = body.count(b"secret")
    assert screened == Screened(body.replace(b"secret", b"***"), None, (Redaction("secret", times),))


def test_a_request_that_breaks_no_rule_stays_as_it_came():
    body = b'{ "model":"m", "messages" : [ {"role":"user","content":"hi \\u0041", "x":1.0 } ], "messages_":"bomb" }'
    assert screening.request(rules(), openai.parse(Operation.CHAT, body)) == Screened(body)


def test_a_request_is_denied_as_a_whole():
    body = b'{"model":"m","messages":[{"role":"user","content":"a secret bo\\u006db"}]}'
    assert screening.request(rules(), openai.parse(Operation.CHAT, body)) == Screened(body, "bomb")


def test_a_request_is_denied_where_it_cannot_be_written_without_what_may_not_pass():
    body = b'{"model":"m","prompt":"secret","x":' + b"[" * 500 + b"]" * 500 + b"}"
    screened = screening.request(rules(), openai.parse(Operation.COMPLETIONS, body))
    assert screened == Screened(body, "secret")


def test_a_deeply_nested_request_is_screened_all_the_same():
    body = b'{"model":"m","prompt":["a"],"input":' + b"[" * 900 + b'"bomb"' + b"]" * 900 + b"}"
    assert screening.request(rules(), openai.parse(Operation.COMPLETIONS, body)).denied == "bomb"


def test_a_whole_answer_is_redacted_and_its_tokens_are_silenced():
    screened = screening.answer(rules(), answers.chat("the secret", logprobs=[-1.0]))
    assert screened == Screened(answers.chat("the ***"), None, (Redaction("secret", 1),))


def test_an_answer_that_breaks_no_rule_stays_as_it_came():
    body = answers.chat("nothing", logprobs=[-1.0])
    assert screening.answer(rules(), body) == Screened(body)


def test_a_whole_answer_is_denied():
    body = orjson.dumps(answers.response(answers.output_text("a bomb")))
    assert screening.answer(rules(), body) == Screened(body, "bomb")


def test_what_is_no_answer_cannot_be_screened():
    with pytest.raises(MalformedAnswer):
        screening.answer(rules(), b"<html>")


def call_chunk(arguments: str) -> bytes:
    return answers.chat_chunk(tool_calls=[{"index": 0, "function": {"arguments": arguments}}])


CHAT = (
    b": ping\n\n"
    + answers.chat_chunk("", role="assistant")
    + b"".join(
        answers.chat_chunk(piece) for piece in ["the s", "ecr", "et is ", "out, and more of it than is held back"]
    )
    + answers.chat_chunk("secret two", index=1)
    + call_chunk('{"a":"sec')
    + call_chunk('ret"}')
    + answers.chat_chunk(finish="stop")
    + answers.chat_chunk(index=1, finish="length")
    + answers.usage_chunk()
    + answers.DONE
)


def chunks(stream: bytes) -> list[dict[str, Any]]:
    datas = [event.removeprefix(b"data: ") for event in stream.split(b"\n\n") if event.startswith(b"data: {")]
    return [orjson.loads(data) for data in datas]


def said(stream: bytes, index: int) -> tuple[str, str]:
    """The content of a choice, and the arguments of its call."""
    deltas = [choice["delta"] for chunk in chunks(stream) for choice in chunk["choices"] if choice["index"] == index]
    calls = [call["function"]["arguments"] for delta in deltas for call in delta.get("tool_calls") or ()]
    return "".join(delta.get("content") or "" for delta in deltas), "".join(calls)


@given(st.lists(st.integers(0, len(CHAT)), max_size=12).map(sorted))
def test_a_streamed_chat_is_redacted_however_it_is_cut(cuts: list[int]):
    screen = StreamScreen(Operation.CHAT, rules())
    passed = b"".join(screen.feed(CHAT[a:b]) for a, b in zip([0, *cuts], [*cuts, len(CHAT)], strict=True))
    assert said(passed, 0) == ("the *** is out, and more of it than is held back", '{"a":"***"}')
    assert said(passed, 1) == ("*** two", "")
    assert (screen.denied, screen.redactions) == (None, (Redaction("secret", 3),))
    reader = StreamReader(Operation.CHAT)
    reader.feed(passed)
    assert (reader.ended, reader.answer().finish_reason, reader.answer().usage) == (True, "stop", (12, 8))
    assert passed.startswith(b": ping\n\n")


def test_the_rest_of_a_stream_that_was_not_ended_leaves_before_its_end():
    screen = StreamScreen(Operation.COMPLETIONS, rules())
    passed = screen.feed(answers.event({"id": "c", "choices": [{"index": 0, "text": "a secret"}]}) + answers.DONE)
    assert [chunk["choices"][0]["text"] for chunk in chunks(passed)] == ["", "a ***"]
    assert passed.endswith(answers.DONE)


def test_nothing_leaves_a_stream_after_a_denial():
    screen = StreamScreen(Operation.CHAT, rules())
    passed = screen.feed(answers.chat_chunk("x" * 30) + answers.chat_chunk(" a bo"))
    rest = [screen.feed(answers.chat_chunk(piece)) for piece in ["mb", "y" * 30, "more"]]
    assert (screen.denied, rest[1:], b"bo" in passed + b"".join(rest)) == ("bomb", [b"", b""], False)


def test_log_probabilities_do_not_spell_what_is_held_back():
    chunk = {"choices": [{"index": 0, "delta": {"content": "secret"}, "logprobs": {"content": [{"token": "secret"}]}}]}
    assert b"secret" not in StreamScreen(Operation.CHAT, rules()).feed(answers.event(chunk))


def test_a_streamed_response_is_redacted_in_its_pieces_and_where_it_is_told_again():
    place = {"item_id": "m", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "the secret"}
    stream = b"".join(
        answers.event(event, str(event["type"]))
        for event in (
            {"type": "response.output_text.delta", "delta": "the sec", **place},
            {"type": "response.output_text.delta", "delta": "ret", **place},
            {"type": "response.output_text.done", "text": "the secret", **place},
            {"type": "response.content_part.done", "part": part, **place},
            {"type": "response.output_item.done", "item": {"id": "secret", "content": [part]}},
            {"type": "response.completed", "response": answers.response(answers.output_text("the secret"))},
        )
    )
    screen = StreamScreen(Operation.RESPONSES, rules())
    passed = screen.feed(stream)
    assert b"secret" not in passed.replace(b'"id":"secret"', b"")
    reader = StreamReader(Operation.RESPONSES)
    reader.feed(passed)
    assert (reader.text, reader.ended, screen.redactions) == ("the ***", True, (Redaction("secret", 1),))
    assert passed.count(b"event: ") == passed.count(b"data: ") == 7


def test_a_response_that_is_told_whole_is_denied_too():
    screen = StreamScreen(Operation.RESPONSES, rules())
    event = {"type": "response.output_item.done", "item": {"content": [{"type": "output_text", "text": "bomb"}]}}
    assert (screen.feed(answers.event(event)), screen.denied) == (b"", "bomb")


@pytest.mark.parametrize("event", [b"data: {\n\n", b"data: []\n\n", b'data: {"choices":[{"index":[],"delta":{}}]}\n\n'])
def test_a_stream_of_something_else_is_malformed(event: bytes):
    with pytest.raises(MalformedAnswer):
        StreamScreen(Operation.CHAT, rules()).feed(event)
