"""How answers are written for /v1/responses: one response object, or its events in OpenAI's order.

created, in_progress, output_item.added, content_part.added, output_text.delta …, output_text.done,
content_part.done, output_item.done, completed
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from heterofleet.simulate.question import Question
from heterofleet.simulate.shapes import Identity, Usage
from heterofleet.simulate.text import Answer


class Response:
    """A response with one message; it has one choice."""

    def __init__(self, question: Question, identity: Identity, answers: Sequence[Answer]) -> None:
        self._question, self._identity, self._answer = question, identity, answers[0]
        self._item = f"msg_{identity.id.removeprefix('resp_')}"
        self._number = 0

    def whole(self, usage: Usage) -> bytes:
        return orjson.dumps(self._response(usage))

    def opening(self) -> bytes:
        begun = self._response(None)
        return b"".join(
            (
                self._event("response.created", response=begun),
                self._event("response.in_progress", response=begun),
                self._event("response.output_item.added", output_index=0, item=self._message("in_progress", [])),
                self._event("response.content_part.added", **self._place(), part={**_part(""), "logprobs": []}),
            )
        )

    def piece(self, choice: int, start: int, end: int) -> bytes:
        delta = "".join(self._answer.tokens[start:end])
        return self._event("response.output_text.delta", **self._place(), delta=delta, logprobs=[])

    def closing(self, usage: Usage) -> bytes:
        said = self._answer.text
        item = self._message("completed", [_part(said)])
        return b"".join(
            (
                self._event("response.output_text.done", **self._place(), text=said, logprobs=[]),
                self._event("response.content_part.done", **self._place(), part=_part(said)),
                self._event("response.output_item.done", output_index=0, item=item),
                # vLLM names it so whatever the status of the response is.
                self._event("response.completed", response=self._response(usage)),
            )
        )

    @property
    def _status(self) -> str:
        return "completed" if self._answer.finish == "stop" else "incomplete"

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._item, "output_index": 0, "content_index": 0}

    def _event(self, name: str, **fields: Any) -> bytes:
        data = orjson.dumps({"type": name, "sequence_number": self._number, **fields})
        self._number += 1
        return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"

    def _message(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        head = {"id": self._item, "type": "message", "role": "assistant", "phase": None}
        return {**head, "status": status, "content": content}

    def _response(self, usage: Usage | None) -> dict[str, Any]:
        """The response object; without usage as it stands at the beginning."""
        asked = self._question.fields
        status = "in_progress" if usage is None else self._status
        done: dict[str, Any] = {"output": [], "usage": None}
        if usage is not None:
            done = {"output": [self._message(status, [_part(self._answer.text)])], "usage": _usage(usage)}
        return {
            "id": self._identity.id,
            "object": "response",
            "created_at": self._identity.created,
            "status": status,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": asked.get("instructions"),
            "max_output_tokens": asked.get("max_output_tokens"),
            "metadata": asked.get("metadata"),
            "model": self._identity.model,
            "parallel_tool_calls": asked.get("parallel_tool_calls", True),
            "temperature": asked.get("temperature", 1.0),
            "tool_choice": asked.get("tool_choice", "auto"),
            "tools": asked.get("tools") or [],
            "top_p": asked.get("top_p", 1.0),
            **_OF_RESPONSES,
            **done,
        }


_OF_RESPONSES: Final[Mapping[str, Any]] = {
    "background": False,
    "ec_transfer_params": None,
    "frequency_penalty": 0.0,
    "input_messages": None,
    "kv_transfer_params": None,
    "max_tool_calls": None,
    "output_messages": None,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt": None,
    "reasoning": None,
    "service_tier": "auto",
    "text": None,
    "top_logprobs": None,
    "truncation": "disabled",
    "user": None,
}
"""What vLLM names in every response though nothing of it was asked."""


def _part(said: str) -> dict[str, Any]:
    return {"type": "output_text", "text": said, "annotations": [], "logprobs": None}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {
            "cached_tokens": usage.cached,
            "cache_write_tokens": 0,
            "input_tokens_per_turn": [],
            "cached_tokens_per_turn": [],
        },
        "output_tokens": usage.completion,
        "output_tokens_details": {
            "reasoning_tokens": 0,
            "tool_output_tokens": 0,
            "output_tokens_per_turn": [],
            "tool_output_tokens_per_turn": [],
        },
        "total_tokens": usage.prompt + usage.completion,
    }
