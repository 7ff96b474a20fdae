"""Answers that a person settles: what is shown of one, what a reviewer may say, and what then holds.

Last rung of the ladder, when no tier answered well enough. A review waits until one outcome is set:

    Waiting -> Accepted (an attempt as it is) | Edited (the reviewer's text) | Rejected (a sentence why)
            -> TimedOut (its deadline came; the best attempt is given)
    NotHeld (no room, too large, no store; the best attempt is given at once)

The first outcome stands: the same reviewer may say the same again, anybody else is told who was first. `desk` holds the
requests that wait, and `stores` the reviews.

    ReviewError
    ├── InvalidAnswer   the reviewer's words cannot be followed (400)
    ├── NoSuchReview    nothing of that id is held (404)
    └── Conflict        it was settled before; `outcome` is what stands (409)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson

from heterofleet.api.labels import Tier
from heterofleet.api.routing import RequestClass

MAX_TEXT_CHARACTERS: Final = 1_000_000
MAX_DETAIL_BYTES: Final = 1_048_576
"""A larger request is not held: `max_waiting` of them must not fill the router or the store."""


class State(StrEnum):
    WAITING = "Waiting"
    ACCEPTED = "Accepted"
    EDITED = "Edited"
    REJECTED = "Rejected"
    TIMED_OUT = "TimedOut"
    NOT_HELD = "NotHeld"


class ReviewError(Exception):
    """A reviewer's request cannot be done."""


class InvalidAnswer(ReviewError):
    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.message, self.param = message, param


class NoSuchReview(ReviewError):
    pass


class Attempt(NamedTuple):
    """An answer that an engine gave, and why it was not good enough."""

    tier: str
    text: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Review:
    """A request whose attempts were not good enough; times are Unix wall times."""

    id: str
    created: float
    deadline: float
    tenant: str
    request_class: RequestClass
    reason: str
    body: bytes
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a review ended: by whom, and with which attempt, text or reason."""

    state: State
    at: float
    reviewer: str | None = None
    attempt: int | None = None
    text: str | None = None
    reason: str | None = None

    def says_the_same(self, other: "Outcome") -> bool:
        """Whether both are one reviewer's one decision, said at whatever times."""
        return _said(self) == _said(other)


def _said(outcome: Outcome) -> tuple[object, ...]:
    return (outcome.state, outcome.reviewer, outcome.attempt, outcome.text, outcome.reason)


class Conflict(ReviewError):
    def __init__(self, outcome: Outcome) -> None:
        by = f" by {outcome.reviewer}" if outcome.reviewer is not None else ""
        super().__init__(f"the review was settled before{by}: {outcome.state}")
        self.outcome = outcome


class Shown(NamedTuple):
    """A review as reviewers see it, with its outcome once there is one."""

    review: Review
    outcome: Outcome | None


def parse_answer(body: bytes, *, reviewer: str, now: float) -> Outcome:
    """What a reviewer decided: {"action": "accept"|"edit"|"reject", "attempt": 0, "text": "…", "reason": "…"}.

    Raises InvalidAnswer with the sentence that mends it.
    """
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidAnswer(f"the body is not valid JSON: {exc}", "body") from exc
    if not isinstance(fields, dict):
        raise InvalidAnswer("the body must be a JSON object", "body")
    match fields.get("action"):
        case "accept":
            return Outcome(State.ACCEPTED, now, reviewer, attempt=_attempt(fields))
        case "edit":
            return Outcome(State.EDITED, now, reviewer, text=_text(fields, "text"))
        case "reject":
            return Outcome(State.REJECTED, now, reviewer, reason=_text(fields, "reason"))
        case _:
            raise InvalidAnswer("action must be accept, edit or reject", "action")


def _attempt(fields: Mapping[str, Any]) -> int:
    value = fields.get("attempt", 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidAnswer("attempt must be the number of an attempt, from 0", "attempt")
    return value


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InvalidAnswer(f"{name} must be a text that is not empty", name)
    if len(value) > MAX_TEXT_CHARACTERS:
        raise InvalidAnswer(f"{name} must have at most {MAX_TEXT_CHARACTERS} characters", name)
    return value


def check(review: Review, outcome: Outcome) -> None:
    """Raises InvalidAnswer where the accepted attempt does not exist."""
    if outcome.attempt is not None and outcome.attempt >= len(review.attempts):
        raise InvalidAnswer(f"there is no attempt {outcome.attempt}: there are {len(review.attempts)}", "attempt")


def state(shown: Shown, now: float) -> State:
    """Where a review stands; one whose router died with it is out of time all the same."""
    if shown.outcome is not None:
        return shown.outcome.state
    return State.TIMED_OUT if now >= shown.review.deadline else State.WAITING


def summary(review: Review) -> bytes:
    """What a list shows of a review, as JSON."""
    return orjson.dumps(_summary(review))


def _summary(review: Review) -> dict[str, Any]:
    return {
        "id": review.id,
        "created": review.created,
        "deadline": review.deadline,
        "tenant": review.tenant,
        "class": review.request_class,
        "reason": review.reason,
        "attempts": len(review.attempts),
    }


def list_to_json(summaries: Sequence[bytes]) -> bytes:
    """The body of GET /v1/review."""
    return orjson.dumps({"object": "list", "data": [orjson.Fragment(summary) for summary in summaries]})


def to_json(shown: Shown, now: float) -> bytes:
    """The body of GET /v1/review/{id}, and of the answer to a POST."""
    review, outcome = shown
    return orjson.dumps(
        {
            "object": "review",
            **_summary(review),
            "state": state(shown, now),
            "request": orjson.Fragment(review.body),
            "attempts": [attempt._asdict() for attempt in review.attempts],
            "outcome": None if outcome is None else _outcome(outcome),
        }
    )


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {name: getattr(outcome, name) for name in Outcome.__slots__}


def pack(review: Review) -> bytes:
    """All of a review, for the store; the body of a request is the JSON that it was parsed from."""
    attempts = [attempt._asdict() for attempt in review.attempts]
    return orjson.dumps({**_summary(review), "attempts": attempts, "body": review.body.decode()})


def unpack(packed: bytes) -> Review:
    fields = orjson.loads(packed)
    return Review(
        id=fields["id"],
        created=fields["created"],
        deadline=fields["deadline"],
        tenant=fields["tenant"],
        request_class=RequestClass(fields["class"]),
        reason=fields["reason"],
        body=fields["body"].encode(),
        attempts=tuple(Attempt(Tier(a["tier"]), a["text"], a["verdict"]) for a in fields["attempts"]),
    )


def pack_outcome(outcome: Outcome) -> bytes:
    return orjson.dumps(_outcome(outcome))


def unpack_outcome(packed: bytes) -> Outcome:
    fields = orjson.loads(packed)
    return Outcome(**{**fields, "state": State(fields["state"])})
