"""Keys that policy needs: put into the raw bytes of a request, and what they caused taken out of the answer.

Stands between the decisions and the wire. Bodies are forwarded as they came, since what is parsed and written again
loses what the parser does not keep (number forms, order, duplicates), so only the spans of the keys in question are
touched. A body is walked at its top level alone: the standard library's C scanner says where each value ends, on a
text of one character a byte, so that its positions are those of the bytes. That is exact for every JSON, takes well
under a millisecond for 64 KB, and no nesting makes it slow; the deepest that orjson reads is too deep for it, and is
refused.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from heterofleet.router import sse
from heterofleet.router.openai import Operation

_SCAN: Final[Callable[[str, int], tuple[Any, int]]] = json.JSONDecoder(strict=False).scan_once  # type: ignore[attr-defined]  # typeshed leaves it out
_SPACE: Final = re.compile(r"[ \t\n\r]*+(?=.)", re.DOTALL).match
_UNREADABLE: Final = (StopIteration, ValueError, IndexError, AttributeError, RecursionError)
"""What the scanner and the walk raise where there is no JSON, or where it is nested too deep."""
_USAGE: Final = re.compile(rb'"usage"[ \t\r\n]*:[ \t\r\n]*\{').search

_Path = tuple[str | None, ...]
"""Where a value is: the key of an object, or None for each element of a list."""

_OF_EVENTS: Final[_Path] = ("logprobs",)
"""Where an event of /v1/responses has a list of them always, which is empty where none were asked for."""

_LOGPROBS: Final[Mapping[Operation, tuple[_Path, ...]]] = {
    Operation.CHAT: (("choices", None, "logprobs"),),
    Operation.COMPLETIONS: (("choices", None, "logprobs"),),
    Operation.RESPONSES: (
        ("output", None, "content", None, "logprobs"),
        _OF_EVENTS,
        ("part", "logprobs"),
        ("item", "content", None, "logprobs"),
        ("response", "output", None, "content", None, "logprobs"),
    ),
    Operation.EMBEDDINGS: (),
}
"""Answers and the events of streams alike; those of /v1/responses repeat their parts when each is done."""


class Unspliceable(Exception):
    """A body that cannot be walked: nested too deep, or (an engine's) no JSON."""


class _Member(NamedTuple):
    """One `"key": value` of an object: where it begins, where its value begins and ends."""

    key: str
    start: int
    value: int
    end: int


def put(body: bytes, fields: Mapping[str, Any], changes: Mapping[str, object]) -> bytes:
    """`body` with `changes` at its top level; `fields` is the same body parsed.

    A new key comes first; of one that is there the value is replaced, and its repeats go. Raises Unspliceable.
    """
    present = {key: value for key, value in changes.items() if key in fields}
    absent = {key: value for key, value in changes.items() if key not in fields}
    if present:
        body = _rewritten(body, present, frozenset())
    if absent:
        start = body.index(b"{") + 1
        separator = b"," if fields else b""
        body = b"".join((body[:start], orjson.dumps(absent)[1:-1], separator, body[start:]))
    return body


def remove(body: bytes, keys: Iterable[str]) -> bytes:
    """`body` without those keys of its top level. Raises Unspliceable."""
    return _rewritten(body, {}, frozenset(keys))


def without_logprobs(operation: Operation, body: bytes) -> bytes:
    """An answer, or an event of one, without its log-probabilities, which its client did not ask for.

    In their place is what an engine says that was not asked: null, or nothing in a list. Raises Unspliceable.
    """
    if b'"logprobs"' not in body:
        return body
    text = body.decode("latin-1")
    try:
        at = text.index("{")
        spans = sorted((*span, path) for path in _LOGPROBS[operation] for span in _find(text, at, path))
    except _UNREADABLE as exc:
        raise Unspliceable("an answer could not be walked as JSON") from exc
    for start, end, path in reversed(spans):
        if body[start:end] != b"[]":
            body = body[:start] + (b"[]" if path is _OF_EVENTS else b"null") + body[end:]
    return body


def is_usage_chunk(event: bytes) -> bool:
    """Whether an event of a stream says nothing but the usage, as those do that stream_options.include_usage adds."""
    if b'"usage"' not in event or not _USAGE(event):
        return False
    try:
        chunk = orjson.loads(sse.payload(event))
    except orjson.JSONDecodeError:
        return False
    return isinstance(chunk, dict) and chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)


class StreamScrubber:
    """Takes out of a stream what its client did not ask for: the usage chunk, log-probabilities, or both.

    Data may be cut anywhere. What comes in whole events without either, as nearly all of it, passes untouched.
    """

    __slots__ = ("_drop_logprobs", "_drop_usage", "_operation", "_splitter")

    def __init__(self, operation: Operation, *, drop_usage: bool, drop_logprobs: bool) -> None:
        self._operation = operation
        self._drop_usage = drop_usage
        self._drop_logprobs = drop_logprobs
        self._splitter = sse.Splitter()

    @property
    def marks(self) -> tuple[bytes, ...]:
        """Without any of these whole events leave as they are."""
        return (b'"usage"',) * self._drop_usage + (b'"logprobs"',) * self._drop_logprobs

    def feed(self, data: bytes) -> bytes:
        """What may leave now; the beginning of an event waits for its end."""
        if not self._splitter.held and data.endswith(b"\n\n") and not self._concerns(data):
            return data
        return b"".join([self._scrubbed(event) for event in self._splitter.feed(data)])

    def flush(self) -> bytes:
        """What is held when the stream ends."""
        return self._scrubbed(self._splitter.flush())

    def _concerns(self, data: bytes) -> bool:
        usage = self._drop_usage and b'"usage"' in data and _USAGE(data) is not None
        return usage or (self._drop_logprobs and b'"logprobs"' in data)

    def _scrubbed(self, event: bytes) -> bytes:
        if self._drop_usage and is_usage_chunk(event):
            return b""
        if not self._drop_logprobs or b'"logprobs"' not in event:
            return event
        payload = sse.payload(event)
        try:
            scrubbed = without_logprobs(self._operation, payload)
        except Unspliceable:
            return event
        return event.replace(payload, scrubbed, 1) if payload in event else sse.with_payload(event, scrubbed)


def _rewritten(body: bytes, present: Mapping[str, object], removed: frozenset[str]) -> bytes:
    """`body` with the last of each key of `present` replaced, its repeats and `removed` taken out."""
    text = body.decode("latin-1")
    try:
        members = _members(text, text.index("{"))
    except _UNREADABLE as exc:
        raise Unspliceable("the body is nested too deep") from exc
    last = {member.key: number for number, member in enumerate(members)}
    kept: list[bytes] = []
    for number, member in enumerate(members):
        if member.key in removed or (member.key in present and last[member.key] != number):
            continue
        if kept:
            kept.append(body[members[number - 1].end : member.start])
        if member.key in present:
            kept += (body[member.start : member.value], orjson.dumps(present[member.key]))
        else:
            kept.append(body[member.start : member.end])
    if not members:
        return body
    return b"".join((body[: members[0].start], *kept, body[members[-1].end :]))


def _find(text: str, at: int, path: _Path) -> list[tuple[int, int]]:
    """The spans of the values at `path` in the object or list that begins at `at`, but for those that are null."""
    step, rest = path[0], path[1:]
    if text[at] != ("[" if step is None else "{"):
        return []
    if step is None:
        values = _elements(text, at)
    else:
        values = [(member.value, member.end) for member in _members(text, at) if member.key == step]
    if rest:
        return [span for start, _ in values for span in _find(text, start, rest)]
    return [(start, end) for start, end in values if text[start] != "n"]


def _members(text: str, at: int) -> list[_Member]:
    """The members of the object that begins at `at`; raises one of _UNREADABLE."""
    members = []
    at = _next(text, at + 1)
    while text[at] != "}":
        key, colon = _SCAN(text, at)
        if not key.isascii():
            key = orjson.loads(text[at:colon].encode("latin-1"))
        value = _after(text, colon, ":")
        _, end = _SCAN(text, value)
        members.append(_Member(key, at, value, end))
        at = _next(text, end)
        if text[at] != "}":
            at = _after(text, at, ",")
    return members


def _elements(text: str, at: int) -> list[tuple[int, int]]:
    """The spans of the elements of the list that begins at `at`; raises one of _UNREADABLE."""
    elements = []
    at = _next(text, at + 1)
    while text[at] != "]":
        _, end = _SCAN(text, at)
        elements.append((at, end))
        at = _next(text, end)
        if text[at] != "]":
            at = _after(text, at, ",")
    return elements


def _next(text: str, at: int) -> int:
    """The position of the next sign at or after `at` that is no white space."""
    if text[at] not in " \t\n\r":
        return at
    space = _SPACE(text, at)
    if space is None:
        raise IndexError("white space to the end")
    return space.end()


def _after(text: str, at: int, sign: str) -> int:
    """The position of what follows `sign`, which is the next but for white space."""
    at = _next(text, at)
    if text[at] != sign:
        raise ValueError(f"{sign} expected at {at}")
    return _next(text, at + 1)
