"""What follows from an attempt: the ladder, as a pure function of the policy and of all attempts so far.

Stands after each attempt (and quality's verdict on its answer), before the next:

    an answer that is bad    adjust -> escalate -> review -> the best attempt's answer
    an engine that failed    retry elsewhere -> the other tier -> a cached answer -> an honest failure

One budget bounds both: `retry.max_attempts` attempts, and the request's deadline. Once the first byte of an answer has
left nothing can be taken back, so only the end of the stream is decided then. An engine's refusal of the request (4xx)
is the client's to read, unless an earlier attempt has brought an answer. Where no engine may be asked any more, an
answer that was judged bad is still better than none: a request that brought one never ends with an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final, Literal, NamedTuple, Protocol

from heterofleet.api.labels import Tier
from heterofleet.api.policy import RouterPolicy
from heterofleet.api.routing import RequestClass
from heterofleet.router.answer import Flaw


class Outcome(StrEnum):
    """How an attempt ended; the value is the label of metrics and logs."""

    GOOD = "good"
    BAD = "bad"
    CLIENT_ERROR = "client_error"
    CLIENT_GONE = "client_gone"
    UNAVAILABLE = "unavailable"
    CONNECT_FAILED = "connect_failed"
    ENGINE_BUSY = "engine_busy"
    ENGINE_ERROR = "engine_error"
    TIMEOUT = "timeout"
    STALLED = "stalled"
    CLOSED_EARLY = "closed_early"
    MALFORMED = "malformed"

    @property
    def fault(self) -> bool:
        """Whether it speaks against the endpoint: a breaker counts these alone."""
        return self in _FAULTS


_FAULTS: Final = frozenset(
    {
        Outcome.CONNECT_FAILED,
        Outcome.ENGINE_ERROR,
        Outcome.TIMEOUT,
        Outcome.STALLED,
        Outcome.CLOSED_EARLY,
        Outcome.MALFORMED,
    }
)
_LATE: Final = frozenset({Outcome.TIMEOUT, Outcome.STALLED})
_ABSENT: Final = frozenset({Outcome.UNAVAILABLE, Outcome.CONNECT_FAILED, Outcome.ENGINE_BUSY})


EMBED: Final = "embed"
"""The pool of embedding engines, as metrics and logs call it where they name a tier."""

Where = Tier | Literal["embed"]
"""Who is asked: a tier, or the pool beside them."""


class Attempt(NamedTuple):
    """One try: where, and how it ended. UNAVAILABLE, where the tier had nobody to ask, has no endpoint.

    `flaw` and `truncated` are quality's verdict on an answer.
    """

    tier: Where
    outcome: Outcome
    endpoint: str | None = None
    flaw: Flaw | None = None
    truncated: bool = False


class Traits(NamedTuple):
    """What of a request the ladder heeds. `deadline` is on the clock of `now`.

    `pinned`: its client named the tier, so no other may answer. `cached`: a cached answer may still be looked for;
    `reviewed`: no person is to be asked (any more).
    """

    request_class: RequestClass
    deadline: float
    max_tokens: int | None = None
    pinned: bool = False
    cached: bool = True
    reviewed: bool = False


class Step(StrEnum):
    """The kinds of action; the value is the label of metrics and logs."""

    DONE = "done"
    RETRY = "retry"
    ADJUST = "adjust"
    ESCALATE = "escalate"
    COMPARE = "compare"
    FALLBACK = "fallback"
    REVIEW = "review"
    CACHED = "cached"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Done:
    """Give the answer of the attempt of this number; what an engine refused is passed through likewise."""

    attempt: int
    step = Step.DONE


@dataclass(frozen=True, slots=True)
class Retry:
    """Ask the same tier again after a pause; `exclude` are endpoints that failed, to be taken only if none other is."""

    after_seconds: float
    exclude: frozenset[str]
    step = Step.RETRY


@dataclass(frozen=True, slots=True)
class Adjust:
    """Ask the same tier again with these parameters; None leaves one as it was asked."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    step = Step.ADJUST

    def changes(self, fields: Mapping[str, object]) -> dict[str, object]:
        """The keys of a body that change, by the names that its client used."""
        told = next((name for name in ("max_completion_tokens", "max_output_tokens") if name in fields), "max_tokens")
        values = {"temperature": self.temperature, "top_p": self.top_p, told: self.max_tokens}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Escalate:
    """Ask this tier, since the other's answer was bad."""

    tier: Tier
    step = Step.ESCALATE


@dataclass(frozen=True, slots=True)
class Fallback:
    """Ask this tier, since the other has no engine that works; `degraded` is to be said in the response."""

    tier: Tier
    degraded: bool
    step = Step.FALLBACK


@dataclass(frozen=True, slots=True)
class Review:
    """Hold the answer of the attempt of this number for a person; it is given when nobody settles it in time."""

    attempt: int
    step = Step.REVIEW


@dataclass(frozen=True, slots=True)
class Cached:
    """Give a cached answer, however old; if there is none, ask on with `cached` False."""

    step = Step.CACHED


@dataclass(frozen=True, slots=True)
class Fail:
    """Answer with this status and sentence; in a stream that has begun, end it with an event that says it."""

    status: int
    sentence: str
    step = Step.FAIL


Action = Done | Retry | Adjust | Escalate | Fallback | Review | Cached | Fail


class Chance(Protocol):
    """Where jitter comes from, as random.Random has it."""

    def random(self) -> float: ...


def decide(
    policy: RouterPolicy,
    traits: Traits,
    attempts: Sequence[Attempt],
    now: float,
    chance: Chance,
    *,
    first_byte_sent: bool = False,
) -> Action:
    """The next action after the last of `attempts`, of which there is at least one."""
    last = attempts[-1]
    if last.outcome is Outcome.GOOD:
        return Done(len(attempts) - 1)
    if last.outcome is Outcome.CLIENT_GONE:
        return Fail(499, "the client left before its answer was there")
    if first_byte_sent:
        # An answer that is all there has been given, whatever is thought of it since.
        given = last.outcome in (Outcome.BAD, Outcome.CLIENT_ERROR)
        return Done(len(attempts) - 1) if given else _failure(attempts, late=False)
    if last.outcome is Outcome.CLIENT_ERROR:
        best = _best(attempts)
        return Done(len(attempts) - 1) if best is None else _settle(policy, traits, best)
    spent = len(attempts) >= policy.retry.max_attempts or now >= traits.deadline
    if last.outcome is Outcome.BAD:
        return _after_bad(policy, traits, attempts, spent=spent)
    return _after_failure(policy, traits, attempts, now, chance, spent=spent)


def stands_in(policy: RouterPolicy, traits: Traits, tier: Where) -> Tier | None:
    """The tier that may answer where no engine of `tier` works; None where none may."""
    if traits.pinned:
        return None
    if tier is Tier.SMALL:
        return Tier.LARGE if policy.fallback.large_for_small else None
    return Tier.SMALL if tier is Tier.LARGE and policy.fallback.small_for_large else None


def backoff_seconds(policy: RouterPolicy, failures: int, chance: Chance) -> float:
    """The pause before the retry after so many failures: full jitter, the mean doubling from backoff_seconds."""
    retry = policy.retry
    # 2.0 ** 40 times any backoff is beyond every cap; more would only overflow.
    mean = retry.backoff_seconds * 2.0 ** min(failures - 1, 40)
    return float(min(retry.max_backoff_seconds, 2 * mean) * chance.random())


def _after_bad(policy: RouterPolicy, traits: Traits, attempts: Sequence[Attempt], *, spent: bool) -> Action:
    last = attempts[-1]
    if not spent:
        adjusted = _adjustment(policy, traits, last)
        if adjusted is not None and not _adjusted(attempts):
            return adjusted
        if policy.escalation.enabled and not traits.pinned and not _tried(attempts, Tier.LARGE):
            return Escalate(Tier.LARGE)
    best = _best(attempts)
    return _settle(policy, traits, len(attempts) - 1 if best is None else best)


def _after_failure(
    policy: RouterPolicy, traits: Traits, attempts: Sequence[Attempt], now: float, chance: Chance, *, spent: bool
) -> Action:
    last = attempts[-1]
    failed = [attempt for attempt in attempts if attempt.tier is last.tier and attempt.outcome is not Outcome.BAD]
    if not spent and last.outcome is not Outcome.UNAVAILABLE and len(failed) <= policy.retry.attempts:
        pause = backoff_seconds(policy, len(failed), chance)
        if now + pause < traits.deadline:
            return Retry(pause, frozenset(attempt.endpoint for attempt in failed if attempt.endpoint is not None))
    best = _best(attempts)
    if best is not None:
        return _settle(policy, traits, best)
    other = stands_in(policy, traits, last.tier)
    if other is not None and not spent and not _tried(attempts, other):
        return Fallback(other, degraded=other is Tier.SMALL and traits.request_class is RequestClass.PLAN)
    if policy.fallback.cached and traits.cached:
        return Cached()
    return _failure(attempts, late=now >= traits.deadline)


def _adjustment(policy: RouterPolicy, traits: Traits, last: Attempt) -> Adjust | None:
    """The changed parameters of a further attempt; None where nothing would change."""
    adjustment = policy.adjustment
    if not adjustment.enabled:
        return None
    if last.truncated:
        # What was cut off is asked for at greater length; an engine's own limit cannot be raised.
        wanted = int((traits.max_tokens or 0) * adjustment.max_tokens_factor)
        return Adjust(max_tokens=wanted) if wanted > (traits.max_tokens or 0) else None
    if adjustment.temperature is None and adjustment.top_p is None:
        return None
    return Adjust(temperature=adjustment.temperature, top_p=adjustment.top_p)


def _adjusted(attempts: Sequence[Attempt]) -> bool:
    """Whether parameters were changed: after a bad answer the same tier is asked again for nothing else."""
    return any(bad.outcome is Outcome.BAD and bad.tier is then.tier for bad, then in pairwise(attempts))


def _tried(attempts: Sequence[Attempt], tier: Tier) -> bool:
    return any(attempt.tier is tier for attempt in attempts)


_SEVERITY: Final = {flaw: severity for severity, flaw in enumerate(Flaw)}


def _best(attempts: Sequence[Attempt]) -> int | None:
    """The attempt with the least bad answer: by its flaw, then the large tier's, then the latest."""
    answered = [number for number, attempt in enumerate(attempts) if attempt.outcome is Outcome.BAD]
    if not answered:
        return None
    return min(answered, key=lambda n: (_severity(attempts[n]), attempts[n].tier is Tier.SMALL, -n))


def _severity(attempt: Attempt) -> int:
    return _SEVERITY[attempt.flaw] if attempt.flaw is not None else len(_SEVERITY)


def _settle(policy: RouterPolicy, traits: Traits, best: int) -> Review | Done:
    """No engine is asked again: a person decides on the best answer, or it is given."""
    return Review(best) if policy.review.enabled and not traits.reviewed else Done(best)


def _failure(attempts: Sequence[Attempt], *, late: bool) -> Fail:
    """The honest status: 504 when time was up, 503 when nobody could be asked, 502 when engines answered badly.

    Where engines were asked, theirs is what counts: that another tier had nobody to ask is no answer of its own.
    """
    asked = [attempt for attempt in attempts if attempt.outcome is not Outcome.UNAVAILABLE]
    last = asked[-1] if asked else attempts[-1]
    tries = f"after {len(asked)} attempts" if len(asked) > 1 else "at the only attempt" if asked else "as none works"
    if late or last.outcome in _LATE:
        return Fail(504, f"no engine answered in time, {tries}: send it again, with a shorter prompt or max_tokens")
    if last.outcome in _ABSENT:
        return Fail(503, f"no engine of this fleet could take the request, {tries}: send it again in a moment")
    return Fail(502, f"the engines gave no answer that can be passed on, {tries} ({_PLAINLY[last.outcome]})")


_PLAINLY: Final[Mapping[Outcome, str]] = {
    Outcome.ENGINE_ERROR: "the last ended with an error of the engine",
    Outcome.CLOSED_EARLY: "the last ended with a connection that was closed early",
    Outcome.MALFORMED: "the last was not an answer of this API",
}
