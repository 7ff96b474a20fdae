"""How answers are written: OpenAI's JSON for chat and completions, whole or as a stream, with the keys that vLLM has.

An engine of `--enable-prompt-tokens-details` is played, which tells how much of a prompt its cache had.
A `Shape` is made for one request when its answers are known and the engine has begun; it writes the whole answer at the
end, or an opening, then the tokens from `start` to `end` of a choice as they come, then a closing. What is the same in
all chunks of a stream is encoded once, since a stream has thousands of them.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import orjson

from heterofleet.simulate import text
from heterofleet.simulate.question import Question
from heterofleet.simulate.text import Answer

DONE = b"data: [DONE]\n\n"
FINGERPRINT: Final = "engine-sim"
_UNSAID: Final = {"prompt_logprobs": None, "prompt_token_ids": None}
"""What vLLM names in answers though nobody asked; of chats in each whole answer, of completions in each choice."""

_OF_ANSWERS: Final = {"kv_transfer_params": None, "ec_transfer_params": None, "metrics": None}
_OF_CHOICES: Final = {"token_ids": None, "routed_experts": None}
_OF_MESSAGES: Final = {"refusal": None, "annotations": None, "audio": None, "function_call": None, "reasoning": None}


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
                "message": {"role": "assistant", "content": answer.text, **_OF_MESSAGES},
                "logprobs": None if self._logprobs is None else {"content": self._logprobs[index]},
                "finish_reason": answer.finish,
                "stop_reason": answer.stopped_by,
                **_OF_CHOICES,
            }
            for index, answer in enumerate(self._answers)
        ]
        head = {"id": self._identity.id, "object": "chat.completion", "created": self._identity.created}
        rest = {**_told(usage, _of_chat(usage)), **_UNSAID, "prompt_text": None, **_OF_ANSWERS}
        return orjson.dumps({**head, "model": self._identity.model, "choices": choices, **rest})

    def opening(self) -> bytes:
        role = b',"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]'
        role += b',"prompt_token_ids":null,"prompt_text":null}\n\n'
        return b"".join(self._head + b"%d" % index + role for index in range(len(self._answers)))

    def piece(self, choice: int, start: int, end: int) -> bytes:
        answer = self._answers[choice]
        content = orjson.dumps("".join(answer.tokens[start:end]))
        logprobs = b"null"
        if self._logprobs is not None:
            logprobs = orjson.dumps({"content": self._logprobs[choice][start:end]})
        return b'%b%d,"delta":{"content":%b},"logprobs":%b,%b,"token_ids":null}]%b}\n\n' % (
            self._head, choice, content, logprobs, _finish(answer, end), _last(self._question, answer, end),
        )  # fmt: skip

    def closing(self, usage: Usage) -> bytes:
        if not self._question.include_usage:
            return DONE
        used = usage.fields()
        used["prompt_tokens_details"] |= _of_chat(usage)
        return self._bare + b',"usage":' + orjson.dumps(used) + _FINGERPRINTED + b"}\n\n" + DONE


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
                **_UNSAID,
                **_OF_CHOICES,
            }
            for index, answer in enumerate(self._answers)
        ]
        rest = orjson.dumps({"choices": choices, **_told(usage, {"created_cache_tokens": None}), **_OF_ANSWERS})
        return self._opened + b"," + rest[1:]

    def opening(self) -> bytes:
        return b""

    def piece(self, choice: int, start: int, end: int) -> bytes:
        answer = self._answers[choice]
        said = orjson.dumps("".join(answer.tokens[start:end]))
        logprobs = orjson.dumps(self._logprobs(answer, start, end))
        ending = _finish(answer, end) + (b',"stop_reason":null' if end < len(answer.tokens) else b"")
        return b'%b%d,"text":%b,"logprobs":%b,%b,"prompt_token_ids":null,"token_ids":null}]%b}\n\n' % (
            self._head, choice, said, logprobs, ending, _last(self._question, answer, end),
        )  # fmt: skip

    def closing(self, usage: Usage) -> bytes:
        if not self._question.include_usage:
            return DONE
        bare = b"data: " + self._opened + b',"choices":[],"usage":'
        return bare + orjson.dumps(usage.fields()) + _FINGERPRINTED + b"}\n\n" + DONE

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


_FINGERPRINTED: Final = b',"system_fingerprint":"%b"' % FINGERPRINT.encode()


def _of_chat(usage: Usage) -> dict[str, Any]:
    return {"created_cache_tokens": usage.prompt - usage.cached}


def _told(usage: Usage, details: dict[str, Any]) -> dict[str, Any]:
    """What a whole answer tells of its making; `details` are those of its prompt beyond what streams tell."""
    used = {**usage.fields(), "completion_tokens_details": None}
    used["prompt_tokens_details"] |= {"multimodal_tokens": None, **details}
    return {"service_tier": None, "system_fingerprint": FINGERPRINT, "usage": used}


def _last(question: Question, answer: Answer, end: int) -> bytes:
    """What the last event of a stream carries beside its choice; an event with usage carries it instead."""
    return b"" if question.include_usage or end < len(answer.tokens) else _FINGERPRINTED


def _finish(answer: Answer, end: int) -> bytes:
    """The end of a choice in a chunk: why it ends here, if it does."""
    if end < len(answer.tokens):
        return b'"finish_reason":null'
    return b'"finish_reason":%b,"stop_reason":%b' % (orjson.dumps(answer.finish), orjson.dumps(answer.stopped_by))


def _chat_logprobs(answer: Answer, alternatives: int) -> list[dict[str, Any]]:
    return [
        {
            **_likely(token, value),
            "top_logprobs": [
                # A made-up second choice is less likely by one, a third by two.
                _likely(token if rank == 0 else f"{rank}", value - rank)
                for rank in range(alternatives)
            ],
        }
        for token, value in zip(answer.tokens, text.logprobs(answer), strict=True)
    ]


def _likely(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode(errors="surrogatepass"))}
