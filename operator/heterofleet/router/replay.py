"""A kept answer as the stream that an engine would have sent: one chunk with all of its text, then how it ended.

Stands beside `cache`, which keeps whole answers as JSON: whether a client streams does not shape an answer, so one
that was kept for either serves both. `id`, `created` and `model` stay as they were kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from heterofleet.router.openai import Operation

_DONE: Final = b"data: [DONE]\n\n"
_CARRIED: Final = ("id", "created", "model", "system_fingerprint", "service_tier")


class NotReplayable(ValueError):
    """The kept bytes are not an answer of the operation."""


def as_stream(body: bytes, operation: Operation, include_usage: bool) -> list[bytes]:
    """The events of the answer `body`. `include_usage` is the client's stream_options; responses always tell theirs.

    Raises NotReplayable.
    """
    try:
        answer = orjson.loads(body)
        return list(_STREAMS[operation](answer, include_usage))
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise NotReplayable(f"the kept bytes are no answer of {operation}") from exc


def _event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _chat(answer: Mapping[str, Any], include_usage: bool) -> Iterator[bytes]:
    head = _head(answer, "chat.completion.chunk", include_usage)
    choices = answer["choices"]
    texts = [
        {
            "index": choice["index"],
            "delta": _delta(choice["message"]),
            "logprobs": choice.get("logprobs"),
            "finish_reason": None,
        }
        for choice in choices
    ]
    ends = [
        {"index": choice["index"], "delta": {}, "logprobs": None, "finish_reason": choice["finish_reason"]}
        for choice in choices
    ]
    yield _event({**head, "choices": texts})
    yield _event({**head, "choices": ends})
    yield from _ending(answer, head, include_usage)


def _delta(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message as one delta: without what is null or empty, tool calls numbered as streams have them."""
    delta = {name: value for name, value in message.items() if value is not None and value != []}
    if "tool_calls" in delta:
        delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(delta["tool_calls"])]
    return delta


def _completion(answer: Mapping[str, Any], include_usage: bool) -> Iterator[bytes]:
    head = _head(answer, "text_completion", include_usage)
    yield _event({**head, "choices": answer["choices"]})
    yield from _ending(answer, head, include_usage)


def _head(answer: Mapping[str, Any], kind: str, include_usage: bool) -> dict[str, Any]:
    head = {name: answer[name] for name in _CARRIED if name in answer}
    return {**head, "object": kind, **({"usage": None} if include_usage else {})}


def _ending(answer: Mapping[str, Any], head: Mapping[str, Any], include_usage: bool) -> Iterator[bytes]:
    if include_usage:
        yield _event({**head, "choices": [], "usage": answer.get("usage")})
    yield _DONE


def _response(answer: Mapping[str, Any], _include_usage: bool) -> Iterator[bytes]:
    """The events of a response, named and numbered; its items come whole, a message with its parts."""
    begun = {**answer, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(answer["output"]):
        events += _item(index, item)
    events.append({"type": f"response.{answer['status']}", "response": answer})
    for number, event in enumerate(events):
        yield b"event: " + event["type"].encode() + b"\n" + _event({**event, "sequence_number": number})


def _item(index: int, item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    message = item["type"] == "message"
    opened = {**item, "content": [], "status": "in_progress"} if message else item
    yield {"type": "response.output_item.added", "output_index": index, "item": opened}
    if message:
        for number, part in enumerate(item["content"]):
            yield from _part({"item_id": item["id"], "output_index": index, "content_index": number}, part)
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _part(where: Mapping[str, Any], part: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    if part["type"] != "output_text":
        return (
            {"type": "response.content_part.added", **where, "part": part},
            {"type": "response.content_part.done", **where, "part": part},
        )
    text, logprobs = part["text"], part.get("logprobs") or []
    opened = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    return (
        {"type": "response.content_part.added", **where, "part": opened},
        {"type": "response.output_text.delta", **where, "delta": text, "logprobs": logprobs},
        {"type": "response.output_text.done", **where, "text": text, "logprobs": logprobs},
        {"type": "response.content_part.done", **where, "part": part},
    )


_STREAMS: Final = {Operation.CHAT: _chat, Operation.COMPLETIONS: _completion, Operation.RESPONSES: _response}
