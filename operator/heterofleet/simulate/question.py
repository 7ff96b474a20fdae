"""What a body asks of an engine: OpenAI's requests as vLLM reads them.

Stands first in a request's way: bytes -> `parse` -> `Question` -> text, which the engine then takes its time for. What
a played engine has no use for is ignored, as vLLM ignores what it does not know.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

from heterofleet.simulate import skeleton, text

_MOST_CHOICES: Final = 128
_ANY_OBJECT: Final = {"type": "object"}


class Operation(StrEnum):
    """What a path does."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"


class Refusal(Exception):
    """A request that is answered with an error: its status and the fields of the envelope, in vLLM's words."""

    def __init__(
        self, message: str, *, status: int = 400, kind: str = "BadRequestError", param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.param = status, message, kind, param

    def body(self) -> bytes:
        """OpenAI's envelope."""
        return envelope(self.message, self.kind, self.status, self.param)


class Unrouted(Refusal):
    """A path or method that no engine has; what answers then is not vLLM but its web framework, in its own envelope."""

    def body(self) -> bytes:
        return orjson.dumps({"detail": self.message})


def envelope(message: str, kind: str, status: int, param: str | None = None) -> bytes:
    """An error as vLLM writes it: `code` is the status."""
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": status}})


@dataclass(frozen=True, slots=True)
class Question:
    """One request that generates. `prompts` are as the model would see them; `last` is the last message alone."""

    operation: Operation
    model: str
    prompts: tuple[str, ...]
    last: str
    stream: bool
    include_usage: bool
    choices: int
    max_tokens: int | None
    min_tokens: int
    to_the_end: bool
    stops: tuple[str, ...]
    logprobs: int | None
    form: str | None
    priority: int
    fields: Mapping[str, Any]

    def wish(self, context_tokens: int, prompt_tokens: int) -> text.Wish:
        """What is asked of the answer to a prompt of this length. Raises Refusal if the context cannot hold both."""
        if prompt_tokens >= context_tokens or (self.max_tokens or 0) + prompt_tokens > context_tokens:
            wanted = self.max_tokens or 1
            raise Refusal(
                f"This model's maximum context length is {context_tokens} tokens. However, you requested {wanted} "
                f"output tokens and your prompt contains {prompt_tokens} input tokens, for a total of "
                f"{wanted + prompt_tokens} tokens. Please reduce the length of the input prompt or the number of "
                "requested output tokens.",
                param="input_tokens",
            )
        most = context_tokens - prompt_tokens if self.max_tokens is None else self.max_tokens
        return text.Wish(most, self.min_tokens, self.to_the_end and self.max_tokens is not None, self.stops, self.form)


def fields_of(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises Refusal."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise Refusal(f"[{{'type': 'json_invalid', 'msg': 'JSON decode error: {exc}'}}]", param="body") from exc
    if not isinstance(fields, dict):
        raise Refusal("Input should be a valid dictionary", param="body")
    return fields


def parse(operation: Operation, fields: Mapping[str, Any]) -> Question:
    """What a body asks. Raises Refusal in vLLM's words where it is wrong."""
    prompts, last = _PROMPTS[operation](fields)
    options = fields.get("stream_options")
    _check_temperature(fields.get("temperature"))
    limit = next((name for name in _LIMITS if fields.get(name) is not None), "max_tokens")
    form = _form(operation, fields)
    return Question(
        operation=operation,
        model=_typed(fields, "model", str, ""),
        prompts=prompts,
        last=last,
        stream=_typed(fields, "stream", bool, False),
        include_usage=isinstance(options, Mapping) and options.get("include_usage") is True,
        choices=_number(fields, "n", 1, least=1, most=_MOST_CHOICES),
        # vLLM's default of max_tokens for completions is 16; of the others the rest of the context.
        max_tokens=_limit(fields, limit, 16 if operation is Operation.COMPLETIONS else None),
        min_tokens=_number(fields, "min_tokens", 0, least=0),
        to_the_end=_typed(fields, "ignore_eos", bool, False),
        stops=_stops(fields.get("stop")),
        logprobs=_logprobs(operation, fields),
        form=None if form is None else orjson.dumps(skeleton.instance(form)).decode(),
        priority=_number(fields, "priority", 0),
        fields=fields,
    )


_LIMITS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")


def _limit(fields: Mapping[str, Any], name: str, default: int | None) -> int | None:
    return default if fields.get(name) is None else _number(fields, name, 0, least=1)


def _check_temperature(given: object) -> None:
    """It shapes nothing of a played answer, but a wrong one is refused."""
    if given is not None and (isinstance(given, bool) or not isinstance(given, int | float)):
        raise Refusal("temperature: Input should be a valid number", param="temperature")
    if given is not None and given < 0:
        raise Refusal(f"temperature must be non-negative, got {float(given)}.", param="temperature")


def _typed(fields: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        words = {str: "string", bool: "boolean", int: "integer"}[kind]
        raise Refusal(f"{name}: Input should be a valid {words}", param=name)
    return value


def _number(
    fields: Mapping[str, Any], name: str, default: int, *, least: int | None = None, most: int | None = None
) -> int:
    value: int = _typed(fields, name, int, default)
    if (least is not None and value < least) or (most is not None and value > most):
        bound = f"at least {least}" if least is not None and value < least else f"at most {most}"
        raise Refusal(f"{name} must be {bound}, got {value}.", param=name)
    return value


def _stops(given: object) -> tuple[str, ...]:
    if given is None:
        return ()
    stops = [given] if isinstance(given, str) else given
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise Refusal("stop: Input should be a valid string or a list of strings", param="stop")
    return tuple(stops)


def _logprobs(operation: Operation, fields: Mapping[str, Any]) -> int | None:
    """How many alternatives are asked for beside each token; None: no log-probabilities."""
    if operation is Operation.COMPLETIONS:
        return None if fields.get("logprobs") is None else _number(fields, "logprobs", 0, least=0, most=20)
    if not _typed(fields, "logprobs", bool, False):
        return None
    return _number(fields, "top_logprobs", 0, least=0, most=20)


def _form(operation: Operation, fields: Mapping[str, Any]) -> object:
    """The schema that the answer must follow; None: any text."""
    if operation is Operation.RESPONSES:
        given = fields.get("text")
        given = given.get("format") if isinstance(given, Mapping) else None
    else:
        given = fields.get("response_format")
    if not isinstance(given, Mapping) or given.get("type") not in ("json_object", "json_schema"):
        return None
    if given["type"] == "json_object":
        return {**_ANY_OBJECT, "properties": {"answer": {"type": "string"}}}
    named = given.get("json_schema", given)
    schema = named.get("schema") if isinstance(named, Mapping) else None
    return _ANY_OBJECT if schema is None else schema


def _chat(fields: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refusal("messages: List should have at least 1 item", param="messages")
    return _conversation(messages, "messages", _tools(fields))


def _responses(fields: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    given = fields.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not items:
        raise Refusal("input: Input should be a valid string or list", param="input")
    instructions = _typed(fields, "instructions", str, "")
    before = f"<system>{instructions}\n" if instructions else ""
    return _conversation(items, "input", _tools(fields) + before)


def _tools(fields: Mapping[str, Any]) -> str:
    """Tools stand before the conversation, as in the models' templates."""
    return f"<tools>{orjson.dumps(fields['tools']).decode()}\n" if fields.get("tools") else ""


def _conversation(messages: Sequence[Any], where: str, before: str) -> tuple[tuple[str, ...], str]:
    """All turns in one text; that of the next turn begins with this one and its answer."""
    parts, content = [before], ""
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise Refusal(f"{where}.{number}: Input should be a valid dictionary", param=where)
        content = _content(message.get("content", message.get("output")), f"{where}.{number}.content")
        parts.append(f"<{message.get('role', 'tool')}>{content}\n")
    parts.append("<assistant>")
    return ("".join(parts),), content


def _content(given: object, where: str) -> str:
    if given is None or isinstance(given, str):
        return given or ""
    if not isinstance(given, list):
        raise Refusal(f"{where}: Input should be a valid string or list", param=where)
    # An image or a sound is as many tokens as its description; no played model looks at it.
    return "".join(
        str(part.get("text", part.get("type", ""))) if isinstance(part, Mapping) else str(part) for part in given
    )


def _completions(fields: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    prompts = texts(fields.get("prompt"), "prompt")
    return prompts, prompts[-1]


_PROMPTS: Final = {
    Operation.CHAT: _chat,
    Operation.COMPLETIONS: _completions,
    Operation.RESPONSES: _responses,
}


def texts(given: object, name: str) -> tuple[str, ...]:
    """One text or several, or one list of token ids or several; a token is as long as every token is."""
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, list) or not given:
        raise Refusal(f"Either prompt or prompt_embeds must be provided and non-empty: {name}", param=name)
    if all(isinstance(item, int) for item in given):
        return (_spelled(given),)
    return tuple(item if isinstance(item, str) else _spelled(item) for item in given)


def _spelled(tokens: object) -> str:
    if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
        raise Refusal("prompt: Input should be a string, a list of strings, or a list of tokens", param="prompt")
    return "".join(f"{token:0{text.TOKEN_CHARACTERS}x}"[-text.TOKEN_CHARACTERS :] for token in tokens)
