"""Answers as engines send them, whole and as streams, in the order of keys that vLLM writes."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

USAGE = {"prompt_tokens": 12, "total_tokens": 20, "completion_tokens": 8, "prompt_tokens_details": None}
RESPONSE_USAGE = {"input_tokens": 12, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 8}


def chat(content: str | None, *, finish: str = "stop", logprobs: Iterable[float] = (), **message: object) -> bytes:
    """A whole answer of /v1/chat/completions."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, "refusal": None, "tool_calls": [], **message},
        "logprobs": token_list(logprobs),
        "finish_reason": finish,
    }
    return orjson.dumps(
        {"id": "chatcmpl-1", "model": "m", "choices": [choice], "usage": USAGE, "prompt_logprobs": None}
    )


def completion(*texts: str, finish: str = "stop", logprobs: Iterable[float] = ()) -> bytes:
    """A whole answer of /v1/completions, a choice a text."""
    values = list(logprobs)
    told = {"tokens": ["t"] * len(values), "token_logprobs": [None, *values]} if values else None
    choices = [{"index": n, "text": t, "logprobs": told, "finish_reason": finish} for n, t in enumerate(texts)]
    return orjson.dumps({"id": "cmpl-1", "model": "m", "choices": choices, "usage": USAGE})


def response(
    *output: Mapping[str, Any], status: str = "completed", reason: str | None = None, usage: bool = True
) -> dict[str, Any]:
    """An answer of /v1/responses, as an object: its stream ends with the same."""
    return {
        "id": "resp_1",
        "status": status,
        "incomplete_details": {"reason": reason} if reason else None,
        "output": list(output),
        "usage": RESPONSE_USAGE if usage else None,
        "user": None,
    }


def output_text(text: str, logprobs: Iterable[float] = ()) -> dict[str, Any]:
    """A message in the output of a response."""
    told = token_list(logprobs)
    part = {"type": "output_text", "text": text, "logprobs": told["content"] if told else None}
    return {"type": "message", "role": "assistant", "content": [part]}


def token_list(logprobs: Iterable[float]) -> dict[str, Any] | None:
    """The log-probabilities of chat."""
    tokens = [{"token": "t", "logprob": value, "bytes": [116], "top_logprobs": []} for value in logprobs]
    return {"content": tokens} if tokens else None


def chat_chunk(content: str | None = None, *, index: int = 0, finish: str | None = None, **delta: object) -> bytes:
    """An event of a chat's stream."""
    said = {"content": content, **delta} if content is not None else delta
    choice = {"index": index, "delta": said, "logprobs": None, "finish_reason": finish}
    return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]})


def usage_chunk() -> bytes:
    """The last event but one of a stream that was asked for its usage."""
    return event({"id": "chatcmpl-1", "choices": [], "usage": USAGE})


def event(payload: object, name: str | None = None) -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + orjson.dumps(payload) + b"\n\n"


DONE = b"data: [DONE]\n\n"
