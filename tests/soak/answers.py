"""Reads what a client was answered, whole or as a stream of events, and refuses what is not whole."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import orjson

from soak import asks
from soak.asks import Ask

DONE: Final = b"[DONE]"
_LAST_OF_RESPONSES: Final = ("response.completed", "response.incomplete")


class Unreadable(Exception):
    """What came is no answer of this API; the text says where."""


class Answer(NamedTuple):
    """What was said. `usage` is prompt and completion tokens, None where it was not told.

    `error` is the sentence of the event that ended a stream before its end; `garbled` is whether an event before it
    was no JSON.
    """

    text: str
    usage: tuple[int, int] | None
    finish: str | None = None
    error: str | None = None
    garbled: bool = False


def read(ask: Ask, body: bytes) -> Answer:
    """The answer in `body`. Raises Unreadable."""
    try:
        return _streamed(ask, body) if ask.stream else _whole(ask, _object(body))
    except (KeyError, IndexError, TypeError, AttributeError) as exc:
        raise Unreadable(f"a field is missing or of another type: {exc!r} in {body[:200]!r}") from exc


def error_of(body: bytes) -> str:
    """The sentence of an error in OpenAI's envelope. Raises Unreadable."""
    error = _object(body).get("error")
    if not isinstance(error, dict) or not isinstance(error.get("message"), str) or "type" not in error:
        raise Unreadable(f"the error is not in OpenAI's envelope: {body[:200]!r}")
    return str(error["message"])


def _whole(ask: Ask, said: dict[str, Any]) -> Answer:
    if ask.path == asks.RESPONSES:
        return _response(said)
    choice = said["choices"][0]
    text = choice["text"] if ask.path == asks.COMPLETIONS else choice["message"]["content"]
    return Answer(text, _usage(said["usage"]), choice["finish_reason"])


def _response(said: dict[str, Any]) -> Answer:
    parts = [part["text"] for item in said["output"] for part in item["content"]]
    usage = said["usage"]
    return Answer("".join(parts), (usage["input_tokens"], usage["output_tokens"]), said["status"])


def _streamed(ask: Ask, body: bytes) -> Answer:
    events = list(_events(body))
    if not events:
        raise Unreadable("the stream has no event")
    last = events[-1]
    if last.startswith(b'{"error"'):
        return _cut(ask, events[:-1], error_of(last))
    if ask.path == asks.RESPONSES:
        return _response_events([_object(event) for event in events])
    if last != DONE:
        raise Unreadable(f"the stream does not end with [DONE]: {last[:200]!r}")
    return _pieces(ask, [_object(event) for event in events[:-1]])


def _cut(ask: Ask, events: list[bytes], error: str) -> Answer:
    """What came of a stream before the event that says why it goes no further."""
    texts, garbled = [], False
    for event in events:
        try:
            texts.append(_piece(ask, _object(event)))
        except (Unreadable, KeyError, IndexError, TypeError):
            garbled = True
    return Answer("".join(texts), None, error=error, garbled=garbled)


def _pieces(ask: Ask, chunks: list[dict[str, Any]]) -> Answer:
    usage, finish = None, None
    for number, chunk in enumerate(chunks):
        if chunk["choices"]:
            finish = chunk["choices"][0]["finish_reason"] or finish
        elif number + 1 == len(chunks):
            usage = _usage(chunk["usage"])
        else:
            raise Unreadable("the usage is not in the last event")
    return Answer("".join(_piece(ask, chunk) for chunk in chunks), usage, finish)


def _piece(ask: Ask, chunk: dict[str, Any]) -> str:
    if ask.path == asks.RESPONSES:
        return str(chunk["delta"]) if chunk["type"] == "response.output_text.delta" else ""
    if not chunk["choices"]:
        return ""
    choice = chunk["choices"][0]
    return str(choice["text"] if ask.path == asks.COMPLETIONS else choice["delta"].get("content", ""))


def _response_events(events: list[dict[str, Any]]) -> Answer:
    numbers = [event["sequence_number"] for event in events]
    if numbers != list(range(len(events))):
        raise Unreadable(f"events are missing: {numbers}")
    if events[-1]["type"] not in _LAST_OF_RESPONSES:
        raise Unreadable(f"the stream does not end with a response: {events[-1]['type']}")
    said = _response(events[-1]["response"])
    deltas = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    if deltas != said.text:
        raise Unreadable(f"the deltas {deltas!r} are not the response's text {said.text!r}")
    return said


def _events(body: bytes) -> Iterator[bytes]:
    """The data of each event. Raises Unreadable for what is not one, or is cut off."""
    if not body.endswith(b"\n\n"):
        raise Unreadable(f"the last event is cut off: {body[-200:]!r}")
    for event in body[:-2].split(b"\n\n"):
        lines = [line.removeprefix(b"data: ") for line in event.split(b"\n") if line.startswith(b"data: ")]
        others = [line for line in event.split(b"\n") if not line.startswith((b"data: ", b"event: "))]
        if others or len(lines) != 1:
            raise Unreadable(f"no event of this API: {event[:200]!r}")
        yield lines[0]


def _usage(said: dict[str, Any]) -> tuple[int, int]:
    return said["prompt_tokens"], said["completion_tokens"]


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise Unreadable(f"not JSON: {exc}: {body[:200]!r}") from exc
    if not isinstance(said, dict):
        raise Unreadable(f"not an object: {body[:200]!r}")
    return said
