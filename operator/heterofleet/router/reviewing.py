"""Holds a call's answer for a person: the step from the ladder to the desk, and back to what is sent.

A person's own text takes the place of the attempt's in its answer, so that the client reads it as any other.
"""

import uuid
from collections.abc import Callable
from typing import Any, Final

import orjson

from heterofleet.router import openai, review, rulings
from heterofleet.router.answer import AnswerError, from_body
from heterofleet.router.call import Call, Given
from heterofleet.router.desk import ReviewDesk
from heterofleet.router.openai import Operation
from heterofleet.router.policy import Outcome as Tried
from heterofleet.router.review import Outcome, Review, State

_JSON: Final = b"application/json"
DIFFERENT: Final = "different"
"""Why good answers are held: those of the two tiers do not say the same."""


class Reviewing:
    """`climb.Hold` over a desk. `clock` tells wall time."""

    def __init__(self, desk: Callable[[], ReviewDesk], clock: Callable[[], float]) -> None:
        self._desk, self._clock = desk, clock

    async def __call__(self, call: Call, number: int) -> tuple[Given, str]:
        """What is to be sent once a person has decided, or nobody has in time; and the word for what became of it."""
        policy = call.snapshot.policy.review
        outcome = await self._desk().hold(self._review(call, policy.timeout_seconds), max_waiting=policy.max_waiting)
        best = call.answers[number]
        assert best is not None, "the ladder holds only what was answered"  # noqa: S101  a defect of the ladder
        return self._given(call, outcome, best), str(outcome.state)

    def _review(self, call: Call, timeout_seconds: float) -> Review:
        now = self._clock()
        last = call.attempts[-1]
        return Review(
            id=uuid.uuid4().hex,
            created=now,
            deadline=now + timeout_seconds,
            tenant=call.tenant,
            request_class=call.need.request_class,
            reason=DIFFERENT if last.outcome is Tried.GOOD else str(last.flaw or last.outcome),
            body=call.asked.body,
            attempts=tuple(
                review.Attempt(attempt.tier, _text(call, given), str(attempt.flaw or attempt.outcome))
                for attempt, given in zip(call.attempts, call.answers, strict=True)
                if given is not None
            ),
        )

    def _given(self, call: Call, outcome: Outcome, best: Given) -> Given:
        answers = [given for given in call.answers if given is not None]
        match outcome.state:
            case State.ACCEPTED if outcome.attempt is not None:
                return answers[outcome.attempt]
            case State.EDITED if outcome.text is not None:
                return Given(200, _JSON, with_text(call.operation, best.body, outcome.text))
            case State.REJECTED:
                reason = outcome.reason or "a reviewer has rejected every answer to this request"
                return Given(422, _JSON, openai.error_body(reason, "review_rejected", code="review_rejected"))
        return best


def with_text(operation: Operation, body: bytes, text: str) -> bytes:
    """An answer with a person's text in place of the model's."""
    fields: dict[str, Any] = orjson.loads(body)
    match operation:
        case Operation.CHAT:
            choice = fields["choices"][0]
            fields["choices"] = [
                {**choice, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": None}
            ]
        case Operation.COMPLETIONS:
            fields["choices"] = [{**fields["choices"][0], "text": text, "finish_reason": "stop", "logprobs": None}]
        case Operation.RESPONSES:
            part = {"type": "output_text", "text": text, "annotations": []}
            message = {"id": "msg_review", "type": "message", "role": "assistant", "status": "completed"}
            fields["output"] = [{**message, "content": [part]}]
    return orjson.dumps(fields)


def _text(call: Call, given: Given) -> str:
    """What reviewers see of an answer: no more than may pass."""
    try:
        return rulings.text(call, from_body(call.operation, given.body).text)
    except AnswerError:
        return ""
