"""Streams: the same answer however they are cut, and no patience with what is no stream of this API."""

import contextlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.router import sse
from heterofleet.router.answer import LONGEST_TEXT, Answer, AnswerError, EngineFailure, MalformedAnswer, Usage
from heterofleet.router.answerstream import StreamReader
from heterofleet.router.openai import Operation
from router import answers

SPENT = Usage(12, 8)
CHAT = (
    b": ping\n\n",
    answers.chat_chunk("", role="assistant"),
    answers.chat_chunk("Par", index=0),
    answers.chat_chunk("other", index=1),
    b'event: message\nid: 7\nretry: 9\ndata: {"choices":[{"index":0,"delta":{"content":\ndata: "is \xe2\x82\xac"},\n'
    b'data:"logprobs":{"content":[{"logprob":-1},{"logprob":-2}]}}]}\n\n',
    answers.chat_chunk(finish="stop"),
    answers.usage_chunk(),
    answers.DONE,
)
CHAT_SAYS = Answer(Operation.CHAT, "Paris €", "stop", usage=SPENT, mean_logprob=-1.5, choices=2)
FULL = answers.response(answers.output_text("Paris", [-1.0]))
RESPONSES = (
    answers.event({"type": "response.created", "response": {}}, "response.created"),
    answers.event({"type": "response.output_item.added", "item": {"type": "message"}}),
    answers.event({"type": "response.output_text.delta", "delta": "Par", "logprobs": [{"logprob": -1.0}]}),
    answers.event({"type": "response.output_text.delta", "delta": "is", "logprobs": []}),
    answers.event({"type": "response.completed", "response": FULL}, "response.completed"),
)


def read(operation: Operation, parts: Sequence[bytes]) -> StreamReader:
    reader = StreamReader(operation)
    for part in parts:
        reader.feed(part)
    return reader


@given(st.data(), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_a_stream_says_the_same_however_it_is_cut(data: st.DataObject, line_end: bytes):
    stream = b"".join(CHAT).replace(b"\n", line_end) + b"\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    reader = read(Operation.CHAT, [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)])
    assert (reader.answer(), reader.ended, reader.characters) == (CHAT_SAYS, True, 7)


def test_a_stream_is_known_as_far_as_it_came():
    reader = read(Operation.CHAT, [*CHAT[:3], CHAT[3][:-1]])
    assert (reader.answer(), reader.ended) == (Answer(Operation.CHAT, "Par"), False)


def test_a_stream_of_completions():
    chunk = {"choices": [{"index": 0, "text": "a", "logprobs": {"token_logprobs": [-2.0]}, "finish_reason": "length"}]}
    reader = read(Operation.COMPLETIONS, [answers.event(chunk), answers.usage_chunk(), answers.DONE])
    assert reader.answer() == Answer(Operation.COMPLETIONS, "a", "length", usage=SPENT, mean_logprob=-2.0)


def test_a_stream_of_responses_says_what_the_whole_one_would():
    reader = read(Operation.RESPONSES, RESPONSES)
    assert (reader.answer(), reader.ended) == (
        Answer(Operation.RESPONSES, "Paris", "stop", usage=SPENT, mean_logprob=-1.0),
        True,
    )


def test_refusals_and_calls_are_seen():
    chat = read(Operation.CHAT, [answers.chat_chunk(refusal="N"), answers.chat_chunk(refusal="o", tool_calls=[{}])])
    call = {"type": "response.output_item.added", "item": {"type": "function_call"}}
    responses = read(
        Operation.RESPONSES, [answers.event(call), answers.event({"type": "response.refusal.delta", "delta": "No"})]
    )
    assert [chat.answer(), responses.answer()] == [
        Answer(Operation.CHAT, refusal="No", tool_calls=True),
        Answer(Operation.RESPONSES, refusal="No", tool_calls=True),
    ]


def test_only_so_much_of_a_text_is_kept():
    piece = "x" * (LONGEST_TEXT - 1)
    reader = read(Operation.CHAT, [answers.chat_chunk(piece), answers.chat_chunk("yyy")])
    assert (reader.text, reader.answer().whole, reader.characters) == (piece + "y", False, LONGEST_TEXT)


@pytest.mark.parametrize(
    ("operation", "event"),
    [
        (Operation.CHAT, b"data: {\n\n"),
        (Operation.CHAT, b"data: []\n\n"),
        (Operation.CHAT, b"data: {}\n\n"),
        (Operation.CHAT, b'data: {"choices":[5]}\n\n'),
        (Operation.CHAT, b'data: {"choices":[{"index":"0"}]}\n\n'),
        (Operation.CHAT, b"data: " + b"x" * sse.LONGEST_EVENT),
        (Operation.COMPLETIONS, b'data: {"choices":null}\n\n'),
        (Operation.RESPONSES, b'data: {"choices":[]}\n\n'),
        (Operation.RESPONSES, b'data: {"type":"response.completed"}\n\n'),
        (Operation.EMBEDDINGS, b'data: {"data":[]}\n\n'),
    ],
)
def test_what_is_no_stream_of_the_api_is_malformed(operation: Operation, event: bytes):
    with pytest.raises(MalformedAnswer):
        read(operation, [event])


@pytest.mark.parametrize(
    ("operation", "payload"),
    [
        (Operation.CHAT, {"error": {"message": "out of memory", "code": 500}}),
        (Operation.RESPONSES, {"type": "error", "message": "out of memory"}),
        (Operation.RESPONSES, {"type": "response.failed", "response": answers.response(status="failed")}),
    ],
)
def test_an_engine_may_say_in_a_stream_that_it_failed(operation: Operation, payload: object):
    with pytest.raises(EngineFailure):
        read(operation, [answers.event(payload)])


@given(st.sampled_from(Operation), st.lists(st.binary(max_size=40) | st.sampled_from(CHAT + RESPONSES), max_size=8))
def test_whatever_an_engine_sends_is_read_or_malformed(operation: Operation, parts: list[bytes]):
    with contextlib.suppress(AnswerError):
        assert isinstance(read(operation, parts).answer(), Answer)
