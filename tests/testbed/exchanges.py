"""What engines are asked so that the forms of their answers can be compared, and what a form is.

A form is what is left of an answer without its values: status, content type and, of its JSON, keys and kinds. Of a
stream it is the order of the forms of its events, of which equal neighbours count once. The forms of vLLM are recorded
in `tests/data/vllm-forms.json`: real engines are held to them (tests/engine), and so are simulated ones
(tests/simulate), so that what is tested against these holds for those.
"""

import http.client
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

RECORD: Final = Path(__file__).parents[1] / "data" / "vllm-forms.json"
FAMILIES: Final = RECORD.with_name("vllm-metrics.json")
_SECONDS: Final = 120
_CHAT: Final = "/v1/chat/completions"
_COMPLETION: Final = "/v1/completions"
_RESPONSE: Final = "/v1/responses"
_UNREAD: Final = {"permission"}
"""What nobody reads of a model and simulated engines leave empty."""

_HI: Final = [{"role": "user", "content": "Hi"}]
_USAGE: Final = {"stream": True, "stream_options": {"include_usage": True}}
_SCHEMA: Final = {"type": "object", "properties": {"go": {"enum": ["yes", "no"]}}, "required": ["go"]}
_FORMAT: Final = {"type": "json_schema", "json_schema": {"name": "go", "schema": _SCHEMA, "strict": True}}


class Exchange(NamedTuple):
    """One request: with a body it is a POST; a text is sent as it stands."""

    path: str
    body: Mapping[str, Any] | str | None = None


def _chat(**fields: Any) -> Exchange:
    return Exchange(_CHAT, {"model": "act", "messages": _HI, "max_tokens": 16, "temperature": 0, **fields})


def _completion(**fields: Any) -> Exchange:
    return Exchange(_COMPLETION, {"model": "act", "prompt": "Hi", "max_tokens": 16, "temperature": 0, **fields})


def _response(**fields: Any) -> Exchange:
    return Exchange(_RESPONSE, {"model": "act", "input": "Hi", "max_output_tokens": 16, "temperature": 0, **fields})


EXCHANGES: Final[Mapping[str, Exchange]] = {
    "models": Exchange("/v1/models"),
    "chat": _chat(),
    "chat of two choices": _chat(n=2, temperature=1),
    "chat with logprobs": _chat(logprobs=True),
    "chat with the likeliest tokens": _chat(logprobs=True, top_logprobs=2),
    "chat by a schema": _chat(response_format=_FORMAT, max_tokens=40),
    "chat stream": _chat(stream=True),
    "chat stream with usage": _chat(**_USAGE),
    "chat stream with logprobs": _chat(**_USAGE, logprobs=True),
    "completion": _completion(),
    "completion with logprobs": _completion(logprobs=1),
    "completion of two prompts": _completion(prompt=["Hi", "Ho"]),
    "completion stream": _completion(stream=True),
    "completion stream with usage": _completion(**_USAGE),
    "completion stream with logprobs": _completion(**_USAGE, logprobs=1),
    "response": _response(),
    "response stream": _response(stream=True),
    "unknown model": _chat(model="nobody"),
    "no messages": Exchange(_CHAT, {"model": "act"}),
    "messages of a wrong type": _chat(messages="Hi"),
    "too long a prompt": _completion(prompt="Hi " * 4000),
    "temperature below zero": _chat(temperature=-1),
    "no JSON": Exchange(_CHAT, "{"),
    "unknown path": Exchange("/v1/nothing"),
    "wrong method": Exchange("/v1/models", {}),
}


def recorded() -> dict[str, Any]:
    """The forms of vLLM's answers, by the names of EXCHANGES."""
    found: dict[str, Any] = json.loads(RECORD.read_text())
    return found


def recorded_families() -> dict[str, str]:
    """vLLM's families of metrics with their kinds."""
    found: dict[str, str] = json.loads(FAMILIES.read_text())
    return found


def families(text: str) -> dict[str, str]:
    """The engine's own families in an exposition, but for the times at which they began, with their kinds."""
    lines = (line.split() for line in text.splitlines() if line.startswith("# TYPE vllm:"))
    return {name: kind for _, _, name, kind in sorted(lines) if not name.endswith("_created")}


class Answer(NamedTuple):
    """What came, as it came."""

    status: int
    content_type: str
    body: bytes


def ask(port: int, exchange: Exchange, headers: Mapping[str, str] | None = None) -> Answer:
    """Asks what listens on a port of loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    body = exchange.body if isinstance(exchange.body, str | None) else json.dumps(exchange.body)
    try:
        method = "GET" if body is None else "POST"
        connection.request(method, exchange.path, body, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        return Answer(response.status, response.headers.get("content-type", ""), response.read())
    finally:
        connection.close()


def form(answer: Answer) -> dict[str, Any]:
    """The form of an answer, as JSON has it."""
    head = {"status": answer.status, "type": answer.content_type.lower()}
    if not answer.content_type.startswith("text/event-stream"):
        return {**head, "body": _form(json.loads(answer.body))}
    forms: list[Any] = []
    for found in _events(answer.body.decode()):
        if not forms or forms[-1] != found:
            forms.append(found)
    return {**head, "events": forms}


def _events(stream: str) -> Iterator[Any]:
    assert stream.endswith("\n\n"), f"the stream ends in the middle of an event: {stream[-100:]!r}"
    for event in stream.removesuffix("\n\n").split("\n\n"):
        name, _, data = event.rpartition("data: ")
        found = _form(json.loads(data)) if data.startswith("{") else data
        yield {name.strip(): found} if name else found


def _form(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        if key == "top_logprobs" and "token" not in value:
            return "by token"  # Completions name a token's likeliest by the tokens themselves.
        return {name: _form(value[name], name) for name in sorted(value) if name not in _UNREAD}
    if isinstance(value, list):
        return [_form(value[0], key)] if value else []
    kinds = {str: "text", bool: "truth", int: "number", float: "number", type(None): None}
    return kinds[type(value)]
