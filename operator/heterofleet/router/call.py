"""One request on its way through the router: what was decided of it, what was tried, and how it ended.

Made by `pipeline`, filled by what it passes, and told to client, metrics and access log at its end.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from heterofleet.router.answer import Usage
from heterofleet.router.budget import NANO, NOTHING
from heterofleet.router.classify import Decision
from heterofleet.router.dispatch import Need
from heterofleet.router.exchange import Exchange
from heterofleet.router.openai import Operation, Request
from heterofleet.router.policy import Attempt, Outcome, Step, Traits, Where
from heterofleet.router.snapshot import Snapshot
from heterofleet.router.tiering import Choice

if TYPE_CHECKING:
    from heterofleet.router.keeping import Noted
    from heterofleet.router.rulings import Ruling

ANONYMOUS: Final = ""
"""The tenant of everyone, where no keys are asked for."""


class Ending(StrEnum):
    """How a request ended; the value is the label of metrics and logs."""

    OK = "ok"
    FLAWED = "flawed"
    CACHED = "cached"
    REVIEWED = "reviewed"
    CLIENT_ERROR = "client_error"
    UNAUTHORISED = "unauthorised"
    DENIED = "denied"
    BUDGET = "budget"
    REJECTED = "rejected"
    FAILED = "failed"
    CUT_OFF = "cut_off"
    CANCELLED = "cancelled"

    __hash__ = str.__hash__  # As that of Tier, for the same reason.


class Given(NamedTuple):
    """What an engine answered, whole."""

    status: int
    content_type: bytes
    body: bytes


class Sought(NamedTuple):
    """What was looked for by its meaning: everything but the question, the question's vector, and the answer to one
    like it, which is to be proved by the answer to come."""

    scope: bytes
    vector: Sequence[float]
    kept: bytes | None


class Call:
    """The state of one request. Times are the loop's."""

    __slots__ = (
        "answers", "attempts", "body", "cache", "cache_key", "choice", "decision", "degraded", "drops_logprobs",
        "ending", "endpoint", "exchange", "first_at", "first_byte_sent", "given", "head_tail", "need", "nobody",
        "noted", "operation", "request", "request_id", "review", "rulings", "sentence", "snapshot", "sought", "spent",
        "status", "steps", "tenant", "tier", "traits", "usages", "waited",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, operation: Operation, snapshot: Snapshot, request_id: bytes) -> None:
        self.exchange = exchange
        self.operation = operation
        self.snapshot = snapshot
        self.request_id = request_id
        self.tenant = ANONYMOUS
        self.request: Request | None = None
        self.decision: Decision | None = None
        self.choice: Choice | None = None
        self.need: Need
        self.traits: Traits
        self.body = exchange.body
        self.head_tail = b""
        self.attempts: list[Attempt] = []
        self.nobody = 0
        """Of the attempts those whose tier had nobody to ask."""
        self.steps: list[Step] = []
        """What followed from each of the attempts."""
        self.waited = 0.0
        """Seconds for which it had no place."""
        self.spent = NOTHING
        self.answers: list[Given | None] = []
        self.given: Given | None = None
        """What was sent to the client, where it was there whole."""
        self.noted: Noted | None = None
        """What is streamed to the client, where it may be kept."""
        self.rulings: list[Ruling] = []
        self.tier: Where | None = None
        self.endpoint: str | None = None
        self.usages: list[tuple[Where, Usage]] = []
        self.cache: str | None = None
        self.cache_key: bytes | None = None
        self.sought: Sought | None = None
        self.review: str | None = None
        self.degraded = False
        self.drops_logprobs = False
        """Whether log-probabilities were asked for on our own account, and are to be taken out of the answer."""
        self.first_byte_sent = False
        self.first_at = 0.0
        self.status = 0
        self.ending = Ending.CANCELLED
        self.sentence = ""

    @property
    def asked(self) -> Request:
        """The request, once it was read."""
        assert self.request is not None, "the request was not read yet"  # noqa: S101  a defect of the pipeline's order
        return self.request

    def used(self, tier: Where, usage: Usage | None) -> None:
        """What one attempt has used: an answer that was thrown away has cost as much as the one that was given."""
        if usage is not None:
            self.usages.append((tier, usage))

    def headers(self, content_type: bytes = b"application/json") -> bytes:
        """The head lines of the answer, which say what was decided."""
        lines = [b"content-type: ", content_type, b"\r\nx-request-id: ", self.request_id, b"\r\n"]
        if self.decision is not None:
            lines += (b"x-heterofleet-class: ", self.decision.request_class.encode(), b"\r\n")
        if self.tier is not None:
            lines += (b"x-heterofleet-tier: ", self.tier.encode(), b"\r\n")
        if self.endpoint is not None:
            lines += (b"x-heterofleet-endpoint: ", self.endpoint.encode(), b"\r\n")
        lines.append(b"x-heterofleet-attempts: %d\r\n" % (len(self.attempts) - self.nobody))
        if self.cache is not None:
            lines += (b"x-heterofleet-cache: ", self.cache.encode(), b"\r\n")
        if self.degraded:
            lines.append(b"x-heterofleet-degraded: true\r\n")
        if self.review is not None:
            lines += (b"x-heterofleet-review: ", self.review.encode(), b"\r\n")
        return b"".join(lines)

    def log_entry(self, at: float, seconds: float) -> Mapping[str, Any]:
        """One line of the access log. `at` is wall time."""
        decision, choice = self.decision, self.choice
        entry: dict[str, Any] = {
            "at": at,
            "id": self.request_id.decode("latin-1"),
            "operation": self.operation,
            "outcome": self.ending,
            "status": self.status,
            "seconds": seconds,
        }
        if self.request is not None:
            entry["model"], entry["stream"] = self.request.model, self.request.stream
        if self.tenant:
            entry["tenant"] = self.tenant
        if decision is not None:
            entry["class"], entry["score"] = decision.request_class, decision.score
            entry["classReason"] = decision.reason
        if choice is not None:
            entry["tier"], entry["tierReason"] = self.tier or choice.tier, choice.why
            if self.tier not in (None, choice.tier):
                entry["chosenTier"] = choice.tier
        elif self.tier is not None:
            entry["tier"] = self.tier
        if self.endpoint is not None:
            entry["endpoint"] = self.endpoint
        entry.update(self._tried())
        told = {"cache": self.cache, "review": self.review, "sentence": self.sentence or None}
        entry.update({name: value for name, value in told.items() if value is not None})
        if self.degraded:
            entry["degraded"] = True
        return entry

    def _tried(self) -> Mapping[str, Any]:
        """What the attempts were, where there was more to them than one good answer, and what they took."""
        told: dict[str, Any] = {}
        if len(self.attempts) != 1 or self.attempts[0].flaw is not None or self.attempts[0].outcome is not Outcome.GOOD:
            told["attempts"] = [
                {"tier": a.tier, "endpoint": a.endpoint, "outcome": a.outcome, "flaw": a.flaw, "then": step}
                for a, step in zip_longest(self.attempts, self.steps)
            ]
        if self.waited:
            told["waitedSeconds"] = self.waited
        if self.first_at:
            told["firstTokenSeconds"] = self.first_at - self.exchange.started
        if self.usages:
            told["promptTokens"] = sum(usage.prompt for _, usage in self.usages)
            told["completionTokens"] = sum(usage.completion for _, usage in self.usages)
        if self.spent.nano_usd:
            told["usd"] = self.spent.nano_usd / NANO
        return told
