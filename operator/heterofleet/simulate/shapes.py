"""How answers are written: OpenAI's JSON for chat and completions, whole or as a stream, byte for byte as vLLM has it.

A `Shape` is made for one request when its answers are known and the engine has begun; it writes the whole answer at the
end, or an opening, then the tokens from `start` to `end` of a choice as they come, then a closing. What is the same in
all chunks of a stream is encoded once, since a stream has thousands of them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import orjson

from heterofleet.simulate import text
from heterofleet.simulate.question import Question
from heterofleet.simulate.text import Answer

DONE = b"data: [DONE]\n\n"


class Identity(NamedTuple):
    """What all parts of one reply carry."""

    id: str
    created: int
    model: str


class Usage(NamedTuple):
    """Tokens of one request, over all its choices."""

    prompt: int
    completion: int
    cached: int

    def fields(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt,
            "total_tokens": self.prompt + self.completion,
            "completion_tokens": self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }


class Shape(Protocol):
    """Writes one reply."""

    def whole(self, usage: Usage) -> bytes: ...

    def opening(self) -> bytes: ...

    def piece(self, choice: int, start: int, end: int) -> bytes: ...

    def closing(self, usage: Usage) -> bytes: ...


class Chat:
    """chat.completion and chat.completion.chunk."""

    def __init__(self, question: Question, identity: Identity, answers: Sequence[Answer]) -> None:
        self._question, self._identity, self._answers = question, identity, answers
        self._logprobs = None if question.logprobs is None else [_chat_logprobs(a, question.logprobs) for a in answers]
        head = {"id": identity.id, "object": "chat.completion.chunk", "created": identity.created}
        opened = orjson.dumps({**head, "model": identity.model})[:-1]
        self._head = b"data: " + opened + b',"choices":[{"index":'
        self._bare = b"data: " + opened + b',"choices":[]'

    def whole(self, usage: Usage) -> bytes:
        choices: list[dict[str, Any]] = [
            {
                "index": index,
                "message": {"role": "assistant", "content": answer.text, "refusal": None, "tool_calls": []},
                "logprobs": None if self._logprobs is None else {"content": self._logprobs[index]},
                "finish_reason": answer.finish,
                "stop_reason": answer.stopped_by,
            }
            for index, answer in enumerate(self._answers)
        ]
        head = {"id": self._identity.id, "object": "chat.completion", "created": self._identity.created}
        return orjson.dumps({**head, "model": self._identity.model, "choices": choices, "usage": usage.fields()})

    def opening(self) -> bytes:
        role = b',"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}\n\n'
        return b"".join(self._head + b"%d" % index + role for index in range(len(self._answers)))

    def piece(self, choice: int, start: int, end: int) -> bytes:
        answer = self._answers[choice]
        content = orjson.dumps("".join(answer.tokens[start:end]))
        logprobs = b"null"
        if self._logprobs is not None:
            logprobs = orjson.dumps({"content": self._logprobs[choice][start:end]})
        return b'%b%d,"delta":{"content":%b},"logprobs":%b,%b}]}\n\n' % (
            self._head, choice, content, logprobs, _finish(answer, end),
        )  # fmt: skip

    def closing(self, usage: Usage) -> bytes:
        if not self._question.include_usage:
            return DONE
        return self._bare + b',"usage":' + orjson.dumps(usage.fields()) + b"}\n\n" + DONE


class Completion:
    """text_completion, whose chunks have the same name."""

    def __init__(self, question: Question, identity: Identity, answers: Sequence[Answer]) -> None:
        self._question, self._identity, self._answers = question, identity, answers
        head = {"id": identity.id, "object": "text_completion", "created": identity.created}
        self._opened = orjson.dumps({**head, "model": identity.model})[:-1]
        self._head = b"data: " + self._opened + b',"choices":[{"index":'

    def whole(self, usage: Usage) -> bytes:
        choices = [
            {
                "index": index,
                "text": answer.text,
                "logprobs": self._logprobs(answer, 0, len(answer.tokens)),
                "finish_reason": answer.finish,
                "stop_reason": answer.stopped_by,
            }
            for index, answer in enumerate(self._answers)
        ]
        rest = orjson.dumps({"choices": choices, "usage": usage.fields()})
        return self._opened + b"," + rest[1:]

    def opening(self) -> bytes:
        return b""

    def piece(self, choice: int, start: int, end: int) -> bytes:
        answer = self._answers[choice]
        said = orjson.dumps("".join(answer.tokens[start:end]))
        logprobs = orjson.dumps(self._logprobs(answer, start, end))
        return b'%b%d,"text":%b,"logprobs":%b,%b}]}\n\n' % (self._head, choice, said, logprobs, _finish(answer, end))

    def closing(self, usage: Usage) -> bytes:
        if not self._question.include_usage:
            return DONE
        bare = b"data: " + self._opened + b',"choices":[],"usage":'
        return bare + orjson.dumps(usage.fields()) + b"}\n\n" + DONE

    def _logprobs(self, answer: Answer, start: int, end: int) -> dict[str, Any] | None:
        if self._question.logprobs is None:
            return None
        tokens, values = answer.tokens[start:end], text.logprobs(answer)[start:end]
        return {
            "text_offset": [number * text.TOKEN_CHARACTERS for number in range(start, end)],
            "token_logprobs": values,
            "tokens": list(tokens),
            "top_logprobs": [{token: value} for token, value in zip(tokens, values, strict=True)],
        }


def _finish(answer: Answer, end: int) -> bytes:
    """The end of a choice in a chunk: why it ends here, if it does."""
    if end < len(answer.tokens):
        return b'"finish_reason":null'
    return b'"finish_reason":%b,"stop_reason":%b' % (orjson.dumps(answer.finish), orjson.dumps(answer.stopped_by))


def _chat_logprobs(answer: Answer, alternatives: int) -> list[dict[str, Any]]:
    return [
        {
            "token": token,
            "logprob": value,
            "bytes": list(token.encode(errors="surrogatepass")),
            "top_logprobs": [
                # A made-up second choice is less likely by one, a third by two.
                {"token": token if rank == 0 else f"{rank}", "logprob": value - rank, "bytes": None}
                for rank in range(alternatives)
            ],
        }
        for token, value in zip(answer.tokens, text.logprobs(answer), strict=True)
    ]
