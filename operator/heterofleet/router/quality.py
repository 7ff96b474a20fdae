"""Whether an answer is good: what an engine says, held against what its client asked for.

Stands after the relay and before the ladder, which tries again what fails here. Judged are only things that no client
wants: nothing, a refusal, something other than the JSON that was asked for, and, where the policy says so, an answer
that was cut off or of which its model was not sure. A call of tools is an answer of its own kind: it is never empty,
no refusal, and its form is the tool's matter.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from heterofleet.api.ladder import Quality
from heterofleet.router import refusals, schemas
from heterofleet.router.answer import Answer, AnswerError, Flaw
from heterofleet.router.openai import Operation, Request

_LOGPROBS_OF_RESPONSES: Final = "message.output_text.logprobs"


class Verdict(NamedTuple):
    """Good, or why not. `truncated`, also of a good one: it ended because no more tokens were allowed."""

    good: bool
    reason: Flaw | None = None
    sentence: str = ""
    truncated: bool = False


_GOOD: Final = Verdict(True)
_GOOD_TRUNCATED: Final = Verdict(True, truncated=True)


def judge(answer: Answer, request: Request, config: Quality) -> Verdict:
    """The verdict on a whole answer, or on the beginning of one that is held back (whose form is not judged)."""
    if answer.operation is Operation.EMBEDDINGS:
        return _GOOD
    if not answer.tool_calls:
        text = answer.text
        if (not text or text.isspace()) and not answer.refusal and request.max_tokens != 0:
            return _bad(answer, Flaw.EMPTY, "the answer is empty")
        if config.refusals and (answer.refusal or refusals.refuses(text)):
            return _bad(answer, Flaw.REFUSAL, "the answer is a refusal")
        if config.json_schema:
            breach = _breach(answer, request)
            if breach is not None:
                return _bad(answer, Flaw.NOT_JSON, breach)
    if answer.truncated and config.truncated:
        return _bad(answer, Flaw.TRUNCATED, "the answer was cut off at its greatest length")
    least = config.min_mean_logprob
    if least is not None and answer.mean_logprob is not None and answer.mean_logprob < least:
        sentence = f"the mean log-probability of its tokens is {answer.mean_logprob:.2f}, below {least:g}"
        return _bad(answer, Flaw.IMPROBABLE, sentence)
    return _GOOD_TRUNCATED if answer.truncated else _GOOD


def malformed(error: AnswerError) -> Verdict:
    """The verdict where no answer could be made of what came."""
    return Verdict(False, Flaw.MALFORMED, str(error))


def needed(request: Request, config: Quality) -> dict[str, object]:
    """Top-level keys that a request lacks for its answer to be judged; what they add must leave the answer again."""
    if config.min_mean_logprob is None or (request.stream and not config.hold_stream_characters):
        return {}
    fields = request.fields
    if request.operation is Operation.CHAT:
        return {} if fields.get("logprobs") is True else {"logprobs": True}
    if request.operation is Operation.COMPLETIONS:
        return {} if fields.get("logprobs") is not None else {"logprobs": 0}
    if request.operation is Operation.RESPONSES:
        include = fields.get("include")
        asked = include if isinstance(include, list) else []
        return {} if _LOGPROBS_OF_RESPONSES in asked else {"include": [*asked, _LOGPROBS_OF_RESPONSES]}
    return {}


def _bad(answer: Answer, reason: Flaw, sentence: str) -> Verdict:
    return Verdict(False, reason, sentence, answer.truncated)


def _breach(answer: Answer, request: Request) -> str | None:
    """How an answer is not the JSON that was asked for; None if it is, or if none was."""
    wanted = _format(request)
    if wanted is None or not answer.whole or answer.finish_reason is None:
        return None  # A beginning cannot be told from what is no JSON.
    kind = wanted.get("type")
    if kind not in ("json_object", "json_schema"):
        return None
    try:
        value = orjson.loads(answer.text)
    except orjson.JSONDecodeError:
        return "the answer is not valid JSON, which was asked for"
    if kind == "json_object":
        return None if isinstance(value, dict) else "the answer is not a JSON object, which was asked for"
    named = wanted.get("json_schema", wanted)
    schema = named.get("schema") if isinstance(named, dict) else None
    breach = schemas.breach(schema, value, len(answer.text)) if schema is not None else None
    return f"the answer is JSON, but {breach}" if breach else None


def _format(request: Request) -> Mapping[str, Any] | None:
    """The form of the answer that was asked for, where each API has it."""
    if request.operation is Operation.RESPONSES:
        text = request.fields.get("text")
        wanted = text.get("format") if isinstance(text, dict) else None
    else:
        wanted = request.fields.get("response_format")
    return wanted if isinstance(wanted, dict) else None
