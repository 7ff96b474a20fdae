"""Compliance rules held against a streamed answer, event by event.

Stands between the engine's stream and the client, where there are rules for answers. Every text that grows by pieces
(content, reasoning, a call's arguments, of each choice) has a filter of its own, which holds back as much as a match
may be long; the rest of it leaves with the event that ends it. Once a rule denies, nothing leaves any more: whoever
feeds this ends the stream with an error.
"""

from typing import Any, Final

import orjson

from heterofleet.router import screening, sse
from heterofleet.router.answer import MalformedAnswer
from heterofleet.router.compliance import Filter, Redaction, StreamFilter, added
from heterofleet.router.openai import Operation

_CALL: Final = "tool_calls"
_TEXT: Final = "text"
_GROWING: Final = ("content", "reasoning_content", "reasoning", "refusal")
_WHOLE: Final = ("text", "refusal", "arguments", "part", "item")
"""What the events of /v1/responses tell again when a part is done."""
_PLACE: Final = ("item_id", "output_index", "content_index", "summary_index")


class StreamScreen:
    """Screens one stream. `denied` is the rule that ended it."""

    __slots__ = ("_ended", "_envelope", "_filters", "_operation", "_rules", "_splitter", "_templates", "denied")

    def __init__(self, operation: Operation, rules: Filter) -> None:
        self._operation = operation
        self._rules = rules
        self._splitter = sse.Splitter()
        self._filters: dict[tuple[Any, ...], StreamFilter] = {}
        self._ended: list[Redaction] = []
        self._envelope: dict[str, Any] = {}
        self._templates: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.denied: str | None = None

    @property
    def redactions(self) -> tuple[Redaction, ...]:
        """What was replaced so far."""
        return added([*self._ended, *(found for filter_ in self._filters.values() for found in filter_.redactions)])

    def feed(self, data: bytes) -> bytes:
        """What may leave now. Raises MalformedAnswer."""
        leaving = b""
        for event in self._splitter.feed(data):
            screened = self._event(event) if self.denied is None else b""
            if self._passes:
                leaving += screened
        return leaving

    @property
    def _passes(self) -> bool:
        return self.denied is None

    def _event(self, event: bytes) -> bytes:
        data = sse.payload(event)
        if not data:
            return event
        if data == b"[DONE]":
            return self._rest() + event
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError as exc:
            raise MalformedAnswer("an event of the engine's stream is not valid JSON") from exc
        if not isinstance(chunk, dict):
            raise MalformedAnswer("an event of the engine's stream is not a JSON object")
        before = b""
        if self._operation is Operation.RESPONSES:
            before = self._response(chunk)
        else:
            self._chunk(chunk)
        return before + sse.with_payload(event, orjson.dumps(chunk))

    def _chunk(self, chunk: dict[str, Any]) -> None:
        """Screens a chunk of chat or completions, in place."""
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            return
        if not self._envelope:
            self._envelope = {key: value for key, value in chunk.items() if key not in ("choices", "usage")}
        for choice in choices:
            if isinstance(choice, dict):
                self._choice(choice)
                if choice.get("finish_reason") is not None:
                    self._finish(choice)
                screening.silence(choice)

    def _choice(self, choice: dict[str, Any]) -> None:
        index = _index(choice)
        if isinstance(choice.get(_TEXT), str):
            choice[_TEXT] = self._grow((index, _TEXT), choice[_TEXT])
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return
        for name in _GROWING:
            if isinstance(delta.get(name), str):
                delta[name] = self._grow((index, name), delta[name])
        for call in delta.get(_CALL) or ():
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict) and isinstance(function.get("arguments"), str):
                function["arguments"] = self._grow((index, _CALL, _index(call)), function["arguments"])

    def _finish(self, choice: dict[str, Any]) -> None:
        """Lets the rest of a choice's texts leave with the chunk that ends it."""
        index = _index(choice)
        for key in [key for key in self._filters if key[0] == index]:
            rest = self._end(key)
            if not rest:
                continue
            if key[1] == _TEXT:
                choice[_TEXT] = (choice.get(_TEXT) or "") + rest
                continue
            delta = choice["delta"] = choice.get("delta") or {}
            if key[1] == _CALL:
                delta[_CALL] = [*(delta.get(_CALL) or ()), {"index": key[2], "function": {"arguments": rest}}]
            else:
                delta[key[1]] = (delta.get(key[1]) or "") + rest

    def _rest(self) -> bytes:
        """A chunk of what is left of choices that no chunk has ended."""
        choices = []
        for index in dict.fromkeys(key[0] for key in self._filters):
            choice: dict[str, Any] = {"index": index, "finish_reason": None}
            self._finish(choice)
            choices.append(choice)
        told = [choice for choice in choices if _TEXT in choice or "delta" in choice]
        return sse.with_payload(b"", orjson.dumps({**self._envelope, "choices": told})) if told else b""

    def _response(self, event: dict[str, Any]) -> bytes:
        """Screens an event of /v1/responses, in place; gives an event that is to leave before it, if any."""
        kind = event.get("type")
        screening.silence(event)
        before = b""
        if isinstance(kind, str) and isinstance(event.get("delta"), str):
            key = _place(kind.removesuffix(".delta"), event)
            event["delta"] = self._grow(key, event["delta"])
            self._templates[key] = event
            return before
        if isinstance(kind, str) and kind.endswith(".done"):
            key = _place(kind.removesuffix(".done"), event)
            rest = self._end(key) if key in self._filters else ""
            template = self._templates.pop(key, {})
            if rest:
                before = sse.with_payload(
                    f"event: {template['type']}\n".encode(), orjson.dumps({**template, "delta": rest})
                )
        self._repeat(event)
        return before

    def _repeat(self, event: dict[str, Any]) -> None:
        """Screens what an event tells whole, most of which has left by pieces; it is not counted again."""
        told: dict[str, Any] = {name: event[name] for name in _WHOLE if name in event}
        denied, _ = screening.redact(self._rules, told)
        event.update(told)
        response = event.get("response")
        if denied is None and isinstance(response, dict):
            denied, _ = screening.redact(self._rules, {"output": response.get("output")})
        self.denied = self.denied or denied

    def _grow(self, key: tuple[Any, ...], piece: str) -> str:
        found = self._filters.get(key)
        if found is None:
            found = self._filters[key] = StreamFilter(self._rules)
        leaving = found.feed(piece)
        self.denied = self.denied or found.denied
        return leaving

    def _end(self, key: tuple[Any, ...]) -> str:
        ended = self._filters.pop(key)
        rest = ended.flush()
        self._ended += ended.redactions
        self.denied = self.denied or ended.denied
        return rest


def _index(value: dict[str, Any]) -> int:
    index = value.get("index", 0)
    if not isinstance(index, int):
        raise MalformedAnswer("an event of the engine's stream has an index that is no number")
    return index


def _place(kind: str, event: dict[str, Any]) -> tuple[str, ...]:
    """Which text of a response an event is about."""
    return kind, *(str(event.get(name)) for name in _PLACE)
