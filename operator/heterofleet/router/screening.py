"""Compliance rules held against what this API carries: the texts of requests, and those of whole answers.

Looked at are all texts of the conversation and of the answer, those of tools' calls included; not what is no text for
anybody (roles, types, identifiers, images). Bytes stay as they came unless something was replaced. Then the tokens and
log-probabilities go, which would spell out what was just taken away.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import orjson

from heterofleet.router.answer import MalformedAnswer
from heterofleet.router.compliance import Filter, Redaction, added
from heterofleet.router.openai import Request

_ASKED: Final = ("messages", "prompt", "input", "instructions", "suffix")
_ANSWERED: Final = ("choices", "output")
_NO_TEXT: Final = frozenset(
    {"role", "type", "id", "item_id", "call_id", "tool_call_id", "finish_reason", "status", "object", "model",
     "image_url", "url", "video_url", "audio_url", "input_audio", "file_data", "encrypted_content", "embedding"}
)  # fmt: skip
_SPELLED: Final = frozenset({"logprobs", "token_ids", "prompt_token_ids", "prompt_logprobs"})


class Screened(NamedTuple):
    """What may pass of a body. `denied` is the rule that forbids all of it."""

    body: bytes
    denied: str | None = None
    redactions: tuple[Redaction, ...] = ()


def request(rules: Filter, asked: Request) -> Screened:
    """What may pass of a request."""
    return _screened(rules, asked.body, asked.fields, _ASKED)


def answer(rules: Filter, body: bytes) -> Screened:
    """What may pass of a whole answer. Raises MalformedAnswer."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise MalformedAnswer("the engine's answer is not valid JSON") from exc
    return _screened(rules, body, fields, _ANSWERED)


def redact(rules: Filter, root: Any) -> tuple[str | None, list[Redaction]]:
    """Replaces in place what may not pass of any text below `root`; the rule that denies it, and what was replaced."""
    redactions: list[Redaction] = []
    for container, key, text in list(_texts([root])):
        result = rules.check(text)
        if result.denied is not None:
            return result.denied, []
        if result.redactions:
            container[key] = result.text
            redactions += result.redactions
    return None, redactions


def silence(root: Any) -> None:
    """Puts null in place of everything below `root` that spells a text token by token."""
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for key in _SPELLED & value.keys():
                value[key] = None
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _screened(rules: Filter, body: bytes, fields: Any, keys: Iterable[str]) -> Screened:
    if not isinstance(fields, dict):
        return Screened(body)
    parts = [{key: fields[key]} for key in keys if key in fields]
    touched = False
    for _, _, text in _texts(parts):
        result = rules.check(text)
        if result.denied is not None:
            return Screened(body, result.denied)
        touched = touched or bool(result.redactions)
    if not touched:
        return Screened(body)
    fresh = orjson.loads(body)  # What is parsed already belongs to others, and is never changed.
    redactions: list[Redaction] = []
    for key in keys:
        if key in fresh:
            holder = {key: fresh[key]}
            redactions += redact(rules, holder)[1]
            silence(holder)
            fresh[key] = holder[key]
    try:
        return Screened(orjson.dumps(fresh), None, added(redactions))
    except orjson.JSONEncodeError:
        # It is nested deeper than can be written, and must not pass as it is.
        return Screened(body, redactions[0].rule)


def _texts(roots: Iterable[Any]) -> Iterator[tuple[Any, Any, str]]:
    """Every text below the roots, with where it stands; without recursion, however deep a stranger nests."""
    waiting = list(roots)
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            items: Iterable[tuple[Any, Any]] = [
                (key, child) for key, child in value.items() if key not in _NO_TEXT and key not in _SPELLED
            ]
        else:
            items = enumerate(value)
        for key, child in items:
            if isinstance(child, str):
                yield value, key, child
            elif isinstance(child, dict | list):
                waiting.append(child)
