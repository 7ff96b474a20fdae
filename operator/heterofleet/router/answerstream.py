"""An answer while it comes: server-sent events in, the answer so far out.

Stands beside the relay where a stream must be understood: held back and judged, filtered, kept or compared. Data may be
cut anywhere; comments, several lines of data and all three line ends are read as the standard has them. An event that
is no JSON, or none of its API, raises, since what follows cannot be trusted either.
"""

from collections.abc import Callable
from typing import Any, Final

import orjson

from heterofleet.router import answer, sse
from heterofleet.router.answer import LONGEST_TEXT, Answer, EngineFailure, MalformedAnswer, Usage
from heterofleet.router.openai import Operation

LONGEST_REFUSAL: Final = 4096


class StreamReader:
    """Reads one stream. `ended` is whether it came to its end, and did not only stop."""

    __slots__ = (
        "_choices", "_data", "_finish", "_logprob", "_operation", "_parts", "_pending", "_pending_bytes", "_read",
        "_refusal", "_tokens", "_tool_calls", "_usage", "_whole", "characters", "ended",
    )  # fmt: skip

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._read: Callable[[dict[str, Any]], None] = {
            Operation.CHAT: self._chat,
            Operation.COMPLETIONS: self._completion,
            Operation.RESPONSES: self._response,
            Operation.EMBEDDINGS: _unasked,
        }[operation]
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._data: list[bytes] = []
        self._parts: list[str] = []
        self._refusal = ""
        self._logprob = 0.0
        self._tokens = 0
        self._finish: str | None = None
        self._usage: Usage | None = None
        self._tool_calls = False
        self._choices = 1
        self._whole = True
        self.characters = 0
        self.ended = False

    @property
    def text(self) -> str:
        """The text so far, of the first choice."""
        return "".join(self._parts)

    def answer(self) -> Answer:
        """The answer so far."""
        return Answer(
            self._operation,
            self.text,
            self._finish,
            self._refusal or None,
            self._tool_calls,
            self._usage,
            self._logprob / self._tokens if self._tokens else None,
            self._choices,
            self._whole,
        )

    def feed(self, data: bytes) -> None:
        """Reads on. Raises AnswerError."""
        self._pending.append(data)
        self._pending_bytes += len(data)
        if b"\n" not in data and b"\r" not in data:
            if self._pending_bytes > sse.LONGEST_EVENT:
                raise MalformedAnswer(f"an event of the engine's stream is longer than {sse.LONGEST_EVENT} bytes")
            return
        lines = b"".join(self._pending).splitlines(keepends=True)
        # A line that ends with \r may be one that ends with \r\n, cut between the two.
        rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
        self._pending, self._pending_bytes = [rest], len(rest)
        for line in lines:
            self._line(line.rstrip(b"\r\n"))

    def _line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            if self._data == [b"[DONE]"]:
                self._data, self.ended = [], True
        elif not line and self._data:
            payload = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            self._data = []
            self._event(payload)

    def _event(self, payload: bytes) -> None:
        try:
            chunk = orjson.loads(payload)
        except orjson.JSONDecodeError as exc:
            raise MalformedAnswer("an event of the engine's stream is not valid JSON") from exc
        if not isinstance(chunk, dict):
            raise MalformedAnswer("an event of the engine's stream is not a JSON object")
        if chunk.get("error"):
            raise EngineFailure("the engine broke its stream off with an error")
        self._read(chunk)

    def _chat(self, chunk: dict[str, Any]) -> None:
        choice = self._choice(chunk)
        if choice is None:
            return
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return
        self._say(delta.get("content"))
        if delta.get("refusal"):
            self._refuse(delta["refusal"])
        if delta.get("tool_calls") or delta.get("function_call"):
            self._tool_calls = True
        if choice.get("logprobs"):
            self._weigh(answer.chat_logprobs(choice["logprobs"]))

    def _completion(self, chunk: dict[str, Any]) -> None:
        choice = self._choice(chunk)
        if choice is None:
            return
        self._say(choice.get("text"))
        if choice.get("logprobs"):
            self._weigh(answer.completion_logprobs(choice["logprobs"]))

    def _choice(self, chunk: dict[str, Any]) -> dict[str, Any] | None:
        """The first choice's share of a chunk; what is common to chat and completions is taken from it."""
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            raise MalformedAnswer("an event of the engine's stream has no choices")
        if chunk.get("usage"):
            self._usage = answer.usage_of(chunk["usage"])
        first = None
        for choice in choices:
            index = choice.get("index", 0) if isinstance(choice, dict) else None
            if not isinstance(index, int):
                raise MalformedAnswer("an event of the engine's stream has a choice without an index")
            self._choices = max(self._choices, index + 1)
            if index == 0:
                first = choice
        if first is not None and isinstance(first.get("finish_reason"), str):
            self._finish = first["finish_reason"]
        return first

    def _response(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if kind == "response.output_text.delta":
            self._say(event.get("delta"))
            self._weigh(answer.token_logprobs(event.get("logprobs")))
        elif kind == "response.refusal.delta":
            self._refuse(event.get("delta"))
        elif kind == "response.output_item.added":
            item = event.get("item")
            self._tool_calls |= isinstance(item, dict) and answer.is_call(item)
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            self._end(event.get("response"))
        elif kind == "error":
            raise EngineFailure("the engine broke its stream off with an error")
        elif not isinstance(kind, str):
            raise MalformedAnswer("an event of the engine's stream has no type")

    def _end(self, response: object) -> None:
        if not isinstance(response, dict):
            raise MalformedAnswer("the last event of the engine's stream has no response")
        self._finish = answer.finish_of_response(response)
        self._usage = answer.usage_of(response.get("usage"))
        self.ended = True

    def _say(self, text: object) -> None:
        if not isinstance(text, str) or not text:
            return
        room = LONGEST_TEXT - self.characters
        if len(text) > room:
            text, self._whole = text[:room], False
        self._parts.append(text)
        self.characters += len(text)

    def _refuse(self, text: object) -> None:
        if isinstance(text, str):
            self._refusal = (self._refusal + text)[:LONGEST_REFUSAL]

    def _weigh(self, logprobs: list[float]) -> None:
        self._logprob += sum(logprobs)
        self._tokens += len(logprobs)


def _unasked(chunk: dict[str, Any]) -> None:
    raise MalformedAnswer("an engine streamed an answer that has no stream")
