"""What an engine's answer says, whole or from a stream, as one value.

Stands after the relay and before quality, cost and review, which see answers of all operations alike. Text is that of
the first choice, bounded. Where only tokens are counted nothing is parsed but the usage, which engines write last.

    AnswerError
    ├── MalformedAnswer    what came is not an answer of this API
    └── EngineFailure      the engine says itself, in what should be an answer, that it failed
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, ClassVar, Final, NamedTuple

import orjson

from heterofleet.router.openai import Operation

LONGEST_TEXT: Final = 262_144
"""Characters of an answer's text that are looked at."""

_TAIL: Final = 400
# An object with objects of one more level inside, as the usage with its details is.
_USAGE: Final = re.compile(rb'"usage"[ \t\r\n]*:[ \t\r\n]*(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})').match


class AnswerError(Exception):
    """No answer can be made of what an engine sent; says why in a sentence."""


class MalformedAnswer(AnswerError):
    """Not JSON, or not the JSON of this API."""


class EngineFailure(AnswerError):
    """An error under a status of success: in a stream there is no other place for it."""


class Flaw(StrEnum):
    """What is wrong with an answer, from what is least to what is most; the value is the label of metrics and logs."""

    IMPROBABLE = "improbable"
    TRUNCATED = "truncated"
    NOT_JSON = "not_json"
    REFUSAL = "refusal"
    EMPTY = "empty"
    MALFORMED = "malformed"


class Usage(NamedTuple):
    """Tokens, as the engine counted them."""

    prompt: int
    completion: int


class Answer(NamedTuple):
    """One answer. What its engine did not say is None; `whole` is whether all of its text is in `text`."""

    operation: Operation
    text: str = ""
    finish_reason: str | None = None
    refusal: str | None = None
    tool_calls: bool = False
    usage: Usage | None = None
    mean_logprob: float | None = None
    choices: int = 1
    whole: bool = True

    @property
    def truncated(self) -> bool:
        """It ended because no more tokens were allowed."""
        return self.finish_reason == "length"


def from_body(operation: Operation, body: bytes) -> Answer:
    """The answer that a whole body is. Raises AnswerError."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise MalformedAnswer("the engine's answer is not valid JSON") from exc
    if not isinstance(fields, dict):
        raise MalformedAnswer("the engine's answer is not a JSON object")
    if fields.get("error"):
        raise EngineFailure("the engine answered with an error under a status of success")
    return _READERS[operation](operation, fields)


def usage_of(usage: object) -> Usage | None:
    """The tokens of a usage object, by either of OpenAI's two sets of names."""
    if not isinstance(usage, dict):
        return None
    prompt = usage.get("prompt_tokens")
    if prompt is None:
        prompt, completion = usage.get("input_tokens"), usage.get("output_tokens", 0)
    else:
        completion = usage.get("completion_tokens", 0)  # Embeddings have none.
    if type(prompt) is int and type(completion) is int and prompt >= 0 and completion >= 0:
        return Usage(prompt, completion)
    return None


def usage_of_body(body: bytes) -> Usage | None:
    """The usage of a whole body; only the object itself is parsed where it stands in the last bytes, as it does."""
    at = body.rfind(b'"usage"', -_TAIL)
    usage = _usage_at(body, at)
    if usage is not None or (at < 0 and b'"usage"' not in body):
        return usage
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return usage_of(fields.get("usage")) if isinstance(fields, dict) else None


def usage_of_chunk(chunk: bytes) -> Usage | None:
    """The usage that a piece of a stream tells last; None if it tells none, or null."""
    return _usage_at(chunk, chunk.rfind(b'"usage"'))


def _usage_at(data: bytes, at: int) -> Usage | None:
    if at < 0:
        return None
    found = _USAGE(data, at)
    try:
        return usage_of(orjson.loads(found[1])) if found is not None else None
    except orjson.JSONDecodeError:
        return None


class UsageTail:
    """The usage of a stream that nobody else reads: its last bytes are kept, wherever it is cut."""

    __slots__ = ("_parts", "_size")

    KEPT: ClassVar = 4096

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size > 2 * self.KEPT:
            self._parts = [b"".join(self._parts)[-self.KEPT :]]
            self._size = self.KEPT

    def usage(self) -> Usage | None:
        """What was said last; None if nothing was."""
        return usage_of_chunk(b"".join(self._parts))


def _chat(operation: Operation, fields: Mapping[str, Any]) -> Answer:
    choice, choices = _first(fields.get("choices"))
    message = choice.get("message")
    if not isinstance(message, dict):
        raise MalformedAnswer("the engine's answer has a choice without a message")
    text, whole = _bounded(message.get("content"))
    return Answer(
        operation,
        text,
        text_of(choice.get("finish_reason")),
        text_of(message.get("refusal")),
        bool(message.get("tool_calls") or message.get("function_call")),
        usage_of(fields.get("usage")),
        mean(chat_logprobs(choice.get("logprobs"))),
        choices,
        whole,
    )


def _completion(operation: Operation, fields: Mapping[str, Any]) -> Answer:
    choice, choices = _first(fields.get("choices"))
    text, whole = _bounded(choice.get("text"))
    return Answer(
        operation,
        text,
        text_of(choice.get("finish_reason")),
        usage=usage_of(fields.get("usage")),
        mean_logprob=mean(completion_logprobs(choice.get("logprobs"))),
        choices=choices,
        whole=whole,
    )


def _response(operation: Operation, fields: Mapping[str, Any]) -> Answer:
    output = fields.get("output")
    if not isinstance(output, list):
        raise MalformedAnswer("the engine's answer has no list of output")
    items = [item for item in output if isinstance(item, dict)]
    parts = [part for item in items for part in list_of(item.get("content")) if isinstance(part, dict)]
    said = [part for part in parts if part.get("type") == "output_text"]
    text, whole = _bounded("".join(part["text"] for part in said if isinstance(part.get("text"), str)))
    return Answer(
        operation,
        text,
        finish_of_response(fields),
        next((part["refusal"] for part in parts if isinstance(part.get("refusal"), str)), None),
        any(is_call(item) for item in items),
        usage_of(fields.get("usage")),
        mean([value for part in said for value in token_logprobs(part.get("logprobs"))]),
        whole=whole,
    )


def _embedding(operation: Operation, fields: Mapping[str, Any]) -> Answer:
    data = fields.get("data")
    if not isinstance(data, list) or not data:
        raise MalformedAnswer("the engine's answer has no embeddings")
    return Answer(operation, usage=usage_of(fields.get("usage")), choices=len(data))


_READERS: Final = {
    Operation.CHAT: _chat,
    Operation.COMPLETIONS: _completion,
    Operation.RESPONSES: _response,
    Operation.EMBEDDINGS: _embedding,
}
"""How an answer of each operation is read."""


def finish_of_response(response: Mapping[str, Any]) -> str | None:
    """The finish reason that the status of /v1/responses amounts to. Raises EngineFailure."""
    status = response.get("status")
    if status == "failed":
        raise EngineFailure("the engine says that its response failed")
    if status != "incomplete":
        return "stop" if status == "completed" else None
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    return "length" if reason in (None, "max_output_tokens") else text_of(reason)


def is_call(item: Mapping[str, Any]) -> bool:
    """Whether an item of a response's output is the call of a tool."""
    kind = item.get("type")
    return isinstance(kind, str) and kind.endswith("_call")


def chat_logprobs(logprobs: object) -> list[float]:
    """The log-probability of each token, as /v1/chat/completions writes them."""
    return token_logprobs(logprobs.get("content")) if isinstance(logprobs, dict) else []


def completion_logprobs(logprobs: object) -> list[float]:
    """The log-probability of each token, as /v1/completions writes them."""
    return _numbers(logprobs.get("token_logprobs")) if isinstance(logprobs, dict) else []


def token_logprobs(tokens: object) -> list[float]:
    """The log-probabilities of a list of tokens with theirs."""
    return _numbers([token.get("logprob") for token in list_of(tokens) if isinstance(token, dict)])


def list_of(value: object) -> list[Any]:
    """A list, which may be missing."""
    return value if isinstance(value, list) else []


def text_of(value: object) -> str | None:
    """A text, which may be missing."""
    return value if isinstance(value, str) else None


def mean(values: Iterable[float]) -> float | None:
    """The mean of what there is, None of nothing."""
    known = list(values)
    return sum(known) / len(known) if known else None


def _numbers(values: object) -> list[float]:
    return [value for value in list_of(values) if isinstance(value, int | float)]


def _first(choices: object) -> tuple[dict[str, Any], int]:
    """The first choice, and how many there are."""
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise MalformedAnswer("the engine's answer has no choices")
    return choices[0], len(choices)


def _bounded(content: object) -> tuple[str, bool]:
    if not isinstance(content, str):
        return "", True
    return (content, True) if len(content) <= LONGEST_TEXT else (content[:LONGEST_TEXT], False)
