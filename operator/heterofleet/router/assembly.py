"""A stream that was kept, as the whole answer that its engine would have given: `replay`, the other way round.

Stands beside the ladder, where a stream was held back to its end since it was judged bad, and may be given after all,
or be shown to a person. What a chunk says of a choice is added to what earlier ones said: texts and lists grow, calls
of tools by their index, and the last word on everything else stands.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from heterofleet.router import sse
from heterofleet.router.openai import Operation

_CARRIED: Final = ("id", "created", "model", "system_fingerprint", "service_tier")
_SAID_ONCE: Final = ("finish_reason", "stop_reason", "type", "id")
_OBJECTS: Final = {Operation.CHAT: "chat.completion", Operation.COMPLETIONS: "text_completion"}


class NotWhole(ValueError):
    """The bytes are not a whole stream of the operation."""


def whole(operation: Operation, stream: bytes) -> bytes:
    """The body of the answer. Raises NotWhole."""
    try:
        chunks = list(_chunks(stream))
        answer = chunks[-1]["response"] if operation is Operation.RESPONSES else _merged(operation, chunks)
        return orjson.dumps(answer)
    except (ValueError, LookupError, TypeError, AttributeError) as exc:
        raise NotWhole(f"the kept stream is no answer of {operation}") from exc


def _chunks(stream: bytes) -> Iterator[dict[str, Any]]:
    splitter = sse.Splitter()
    for event in (*splitter.feed(stream), splitter.flush()):
        data = sse.payload(event)
        if data and data != b"[DONE]":
            yield orjson.loads(data)


def _merged(operation: Operation, chunks: list[dict[str, Any]]) -> dict[str, Any]:
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for said in chunk["choices"]:
            index = said.get("index", 0)
            _add(choices.setdefault(index, _begun(operation, index)), _as_in_whole(said))
    # vLLM names its fingerprint at the end alone.
    ends = (chunks[0], chunks[-1])
    head: dict[str, Any] = {name: chunk[name] for chunk in ends for name in _CARRIED if name in chunk}
    usage = next((chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage")), None)
    return {**head, "object": _OBJECTS[operation], "choices": [choices[n] for n in sorted(choices)], "usage": usage}


def _begun(operation: Operation, index: int) -> dict[str, Any]:
    told: dict[str, Any] = {"message": {"role": "assistant", "content": None}}
    return {"index": index, **(told if operation is Operation.CHAT else {"text": ""}), "finish_reason": None}


def _as_in_whole(choice: Mapping[str, Any]) -> dict[str, Any]:
    """What a chunk says of a choice, by the names of a whole answer."""
    told = {name: value for name, value in choice.items() if name not in ("delta", "index")}
    delta = choice.get("delta")
    if isinstance(delta, Mapping):
        told["message"] = {name: value for name, value in delta.items() if name != "role"}
    return told


def _add(known: dict[str, Any], said: Mapping[str, Any]) -> None:
    for name, value in said.items():
        former: Any = known.get(name)
        if name == "tool_calls" and value:
            _add_calls(known.setdefault(name, []), value)
        elif isinstance(value, Mapping) and isinstance(former, dict):
            _add(former, value)
        elif name not in _SAID_ONCE and isinstance(value, str) and isinstance(former, str):
            known[name] = former + value
        elif name not in _SAID_ONCE and isinstance(value, list) and isinstance(former, list):
            known[name] = [*former, *value]
        elif value is not None or name not in known:
            known[name] = value


def _add_calls(calls: list[dict[str, Any]], said: list[dict[str, Any]]) -> None:
    for call in said:
        while len(calls) <= call["index"]:
            calls.append({})
        _add(calls[call["index"]], {name: value for name, value in call.items() if name != "index"})
