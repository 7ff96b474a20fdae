"""OpenAI's API as the router sees it: which paths there are, what of a body matters, and how errors are written.

Stands first in the flow: bytes -> `parse` -> `Request`. A body is read once and kept as it came, since what the router
does not know must reach the engine untouched; only what decisions need is looked at here, and only that is refused
here: an engine answers for the rest in its own words.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson


class Operation(StrEnum):
    """What is asked for; the value is the label of metrics and logs."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"

    __hash__ = str.__hash__  # As that of Tier, for the same reason.


PATHS: Final[Mapping[str, Operation]] = {
    "/v1/chat/completions": Operation.CHAT,
    "/v1/completions": Operation.COMPLETIONS,
    "/v1/responses": Operation.RESPONSES,
    "/v1/embeddings": Operation.EMBEDDINGS,
}
"""The paths that are forwarded to engines; nothing else of an engine can be reached (contracts.md)."""


class InvalidRequest(Exception):
    """A request that is answered here: `status` and the fields of OpenAI's error envelope."""

    def __init__(
        self, message: str, *, status: int = 400, kind: str = "invalid_request_error", param: str | None = None,
        code: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.message, self.kind, self.param, self.code = status, message, kind, param, code


def error_body(message: str, kind: str, *, param: str | None = None, code: str | None = None) -> bytes:
    """OpenAI's error envelope."""
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


class Message(NamedTuple):
    """One turn of a conversation: its role, and all of its text parts joined."""

    role: str
    text: str


class Request:
    """One request. `body` is what came; `fields` is the same parsed, and is never changed."""

    __slots__ = (
        "body", "fields", "max_tokens", "messages", "model", "operation", "prompt_characters", "stream",
    )  # fmt: skip

    def __init__(self, operation: Operation, body: bytes, fields: dict[str, Any], model: str, stream: bool,
                 messages: tuple[Message, ...]) -> None:  # fmt: skip
        self.operation = operation
        self.body = body
        self.fields = fields
        self.model = model
        self.stream = stream
        self.messages = messages
        self.prompt_characters = sum([len(message.text) for message in messages])
        self.max_tokens = _max_tokens(fields)
        """The longest answer that was asked for, in tokens."""

    @property
    def wants_usage(self) -> bool:
        """Whether a stream is to end with its usage."""
        options = self.fields.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    @property
    def metadata(self) -> Mapping[str, Any]:
        value = self.fields.get("metadata")
        return value if isinstance(value, dict) else {}


def parse(operation: Operation, body: bytes) -> Request:
    """What a body asks for. Raises InvalidRequest with the sentence that mends it."""
    fields = _object(body)
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("model is missing: name the model as a text", param="model")
    stream = fields.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise InvalidRequest("stream must be true or false", param="stream")
    if operation is Operation.RESPONSES:
        _refuse_state(fields)
    return Request(operation, body, fields, model, stream is True, tuple(_MESSAGES[operation](fields)))


def _max_tokens(fields: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_output_tokens", "max_tokens"):
        value = fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


def _object(body: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest(f"the body is not valid JSON: {exc}", code="invalid_json") from exc
    if not isinstance(fields, dict):
        raise InvalidRequest("the body must be a JSON object")
    return fields


def _refuse_state(fields: Mapping[str, Any]) -> None:
    if fields.get("previous_response_id") is not None:
        raise InvalidRequest(
            "previous_response_id is not supported, since nothing is stored: send the whole conversation as input",
            param="previous_response_id",
        )
    if fields.get("background"):
        raise InvalidRequest(
            "background is not supported, since nothing is stored: leave it out and wait for the answer, or stream it",
            param="background",
        )


def _chat(fields: Mapping[str, Any]) -> Iterator[Message]:
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("messages must be a list with at least one message", param="messages")
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidRequest(
                f"messages[{number}] must be an object with a role and its content", param=f"messages[{number}]"
            )
        yield Message(message["role"], _text(message.get("content"), f"messages[{number}].content"))


def _completion(fields: Mapping[str, Any]) -> Iterator[Message]:
    yield Message("user", _plain(fields, "prompt"))


def _embedding(fields: Mapping[str, Any]) -> Iterator[Message]:
    yield Message("user", _plain(fields, "input"))


def _response(fields: Mapping[str, Any]) -> Iterator[Message]:
    instructions = fields.get("instructions")
    if isinstance(instructions, str):
        yield Message("system", instructions)
    given = fields.get("input")
    if isinstance(given, str):
        yield Message("user", given)
        return
    if not isinstance(given, list) or not given:
        raise InvalidRequest("input must be a text, or a list with at least one item", param="input")
    for number, item in enumerate(given):
        if not isinstance(item, dict):
            raise InvalidRequest(f"input[{number}] must be an object", param=f"input[{number}]")
        role = item.get("role")
        content = item.get("content", item.get("output"))
        yield Message(role if isinstance(role, str) else "tool", _text(content, f"input[{number}].content"))


_MESSAGES: Final = {
    Operation.CHAT: _chat,
    Operation.COMPLETIONS: _completion,
    Operation.RESPONSES: _response,
    Operation.EMBEDDINGS: _embedding,
}


def _plain(fields: Mapping[str, Any], name: str) -> str:
    """A text, a list of texts, or tokens, of which there is no text to look at."""
    value = fields.get(name)
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value:
        raise InvalidRequest(f"{name} must be a text, or a list that is not empty", param=name)
    return "\n".join(item for item in value if isinstance(item, str))


def _text(content: object, where: str) -> str:
    """The text of a message; parts of other kinds (images, tool calls) have none."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, Sequence):
        raise InvalidRequest(f"{where} must be a text or a list of parts", param=where)
    return "\n".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
