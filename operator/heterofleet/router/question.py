"""The question of a request: the text of its last user message, which is what two askers word differently.

The caches take requests for the same when all but the question is equal, to the letter, and the questions are alike:
in white space and letter case (`cache`, normalised), or in meaning (`semantic`). Earlier turns belong to what must be
equal: "and in winter?" means nothing without them.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from heterofleet.router.openai import Operation, Request

Change = Callable[[str], str]

_FIELDS: Final = {Operation.CHAT: "messages", Operation.COMPLETIONS: "prompt", Operation.RESPONSES: "input"}


def text(request: Request) -> str:
    """The question, its text parts joined; empty where there is none, such as for a prompt of tokens."""
    found: list[str] = []

    def note(part: str) -> str:
        found.append(part)
        return part

    replaced(request, note)
    return "\n".join(found)


def replaced(request: Request, change: Change) -> Mapping[str, Any]:
    """The one field of the body that holds the question, with its texts changed; empty where there is none."""
    name = _FIELDS.get(request.operation)
    if name is None:
        return {}
    value = request.fields.get(name)
    if isinstance(value, str):
        return {name: change(value)}
    if not isinstance(value, list):
        return {}
    for number in range(len(value) - 1, -1, -1):
        item = value[number]
        if isinstance(item, dict) and item.get("role") == "user":
            changed = {**item, "content": _content(item.get("content"), change)}
            return {name: [*value[:number], changed, *value[number + 1 :]]}
    return {}


def _content(content: object, change: Change) -> object:
    if isinstance(content, str):
        return change(content)
    if not isinstance(content, list):
        return content
    return [_part(part, change) for part in content]


def _part(part: object, change: Change) -> object:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return {**part, "text": change(part["text"])}
    return part
