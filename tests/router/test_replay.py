"""A kept answer, streamed: to the official client it is the answer that was kept."""

from typing import Any

import httpx2
import openai
import orjson
import pytest

from heterofleet.router import replay
from heterofleet.router.openai import Operation

CHAT_ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1_764_000_000, "model": "small",
    "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, "message": {
        "role": "assistant", "content": "In Norway – 挪威", "refusal": None, "reasoning_content": "hm",
        "tool_calls": []}}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
}  # fmt: skip
RESPONSE_ANSWER = {
    "id": "resp_1", "object": "response", "created_at": 1_764_000_000, "model": "small", "status": "completed",
    "error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "parallel_tool_calls": True,
    "temperature": 0.0, "tool_choice": "auto", "tools": [], "top_p": 1.0,
    "output": [
        {"id": "rs_1", "type": "reasoning", "summary": []},
        {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "In Norway", "annotations": []}]},
    ],
    "usage": {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8,
              "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}},
}  # fmt: skip
TEXT_ANSWER = {
    "id": "cmpl-1", "object": "text_completion", "created": 1_764_000_000, "model": "small",
    "choices": [{"index": 0, "text": "in Norway", "finish_reason": "stop", "logprobs": None}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
}  # fmt: skip


def client(answer: dict[str, Any], operation: Operation, include_usage: bool) -> openai.OpenAI:
    """The official client, before a server that replays `answer`."""
    stream = b"".join(replay.as_stream(orjson.dumps(answer), operation, include_usage))
    transport = httpx2.MockTransport(
        lambda _: httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    )
    return openai.OpenAI(api_key="none", base_url="http://router/v1", http_client=httpx2.Client(transport=transport))


@pytest.mark.parametrize("include_usage", [False, True])
def test_a_replayed_chat_is_the_kept_answer_to_the_official_client(include_usage):
    with client(CHAT_ANSWER, Operation.CHAT, include_usage) as server:
        chunks = list(
            server.chat.completions.create(model="auto", messages=[{"role": "user", "content": "x"}], stream=True)
        )
    assert {(chunk.id, chunk.created, chunk.model) for chunk in chunks} == {("chatcmpl-1", 1_764_000_000, "small")}
    said = [choice for chunk in chunks for choice in chunk.choices]
    assert "".join(choice.delta.content or "" for choice in said) == "In Norway – 挪威"
    assert said[0].delta.role == "assistant"
    assert [choice.finish_reason for choice in said] == [None, "stop"]
    usage = [chunk.usage.total_tokens for chunk in chunks if chunk.usage is not None]
    assert usage == ([8] if include_usage else [])


def test_replayed_tool_calls_are_numbered():
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    answer = {**CHAT_ANSWER, "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]}
    with client(answer, Operation.CHAT, False) as server:
        chunks = list(
            server.chat.completions.create(model="auto", messages=[{"role": "user", "content": "x"}], stream=True)
        )
    assert [call.index for call in chunks[0].choices[0].delta.tool_calls or []] == [0]


@pytest.mark.parametrize("include_usage", [False, True])
def test_a_replayed_completion_is_the_kept_answer_to_the_official_client(include_usage):
    with client(TEXT_ANSWER, Operation.COMPLETIONS, include_usage) as server:
        chunks = list(server.completions.create(model="auto", prompt="Oslo is", stream=True))
    assert [(c.text, c.finish_reason) for chunk in chunks for c in chunk.choices] == [("in Norway", "stop")]
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == ([8] if include_usage else [])


def test_a_replayed_response_is_the_kept_answer_to_the_official_client():
    with client(RESPONSE_ANSWER, Operation.RESPONSES, False) as server:
        events = list(server.responses.create(model="auto", input="x", stream=True))
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(11))
    last = events[-1]
    assert last.type == "response.completed"
    assert (last.response.id, last.response.output_text) == ("resp_1", "In Norway")


def test_a_replayed_response_that_was_cut_off_is_not_yet_cut_off_when_it_begins():
    cut = {**RESPONSE_ANSWER, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    with client(cut, Operation.RESPONSES, False) as server:
        events = list(server.responses.create(model="auto", input="x", stream=True))
    told = [event.response for event in events if hasattr(event, "response")]
    details = [response.incomplete_details and response.incomplete_details.reason for response in told]
    assert (events[-1].type, details) == ("response.incomplete", [None, None, "max_output_tokens"])


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"choices":[{}]}', b'{"choices":5}', b'"text"'])
@pytest.mark.parametrize(
    "operation", [Operation.CHAT, Operation.COMPLETIONS, Operation.RESPONSES, Operation.EMBEDDINGS]
)
def test_what_is_no_answer_is_not_replayed(body, operation):
    if operation is Operation.COMPLETIONS and b"choices" in body:
        body = b'{"choice":5}'
    with pytest.raises(replay.NotReplayable):
        replay.as_stream(body, operation, True)
