"""What follows from an answer that is bad, and from an engine that failed."""

from typing import Annotated, ClassVar

from pydantic import Field

from heterofleet.api.base import Model, Ratio, Rule
from heterofleet.api.tenancy import TenantName


class Retry(Model):
    """Another try at the same tier, before the first byte of an answer has left."""

    attempts: int = Field(3, ge=0, le=10, description="Further attempts at other instances of the tier.")
    backoff_seconds: float = Field(
        0.05, ge=0, le=60, description="Mean pause before the first further attempt; it doubles, with jitter."
    )
    max_backoff_seconds: float = Field(2.0, ge=0, le=300, description="Longest pause between two attempts.")
    max_attempts: int = Field(
        8, ge=1, le=32, description="Attempts of one request in all: retries, adjustments and escalations together."
    )
    max_seconds: float = Field(
        600, ge=0.001, le=86_400, description="Time of one request in all, its waiting included."
    )

    RULES: ClassVar = (
        Rule(
            cel="self.backoffSeconds <= self.maxBackoffSeconds",
            message="retry.backoffSeconds must not be above retry.maxBackoffSeconds: lower the one or raise the other",
            holds=lambda r: r.backoff_seconds <= r.max_backoff_seconds,
        ),
    )


class Adjustment(Model):
    """A further attempt with changed parameters, when the answer was judged bad."""

    enabled: bool = Field(False, description="Adjust before escalating.")
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        0.2, description="Temperature of the further attempt."
    )
    top_p: Annotated[float, Field(ge=0.001, le=1)] | None = Field(
        None, description="top_p of the further attempt; as asked unless given."
    )
    max_tokens_factor: float = Field(
        2.0, ge=1, le=16, description="How many times the asked max_tokens it gets, when the answer was cut off."
    )


class Escalation(Model):
    """The next tier answers when the small one did not answer well."""

    enabled: bool = Field(True, description="Escalate.")
    threshold: Ratio = Field(
        0.7,
        description="Act requests go to the large tier at once while fewer than this share of the small tier's answers"
        " of the window were good.",
    )
    window_seconds: float = Field(300, ge=0.001, le=86_400, description="The window over which that share is taken.")
    min_samples: int = Field(20, ge=1, le=100_000, description="Answers in the window below which it is not heeded.")


class Fallback(Model):
    """What answers when a tier has no instance that works."""

    large_for_small: bool = Field(
        True,
        description="The large tier answers act requests. Without it they wait for the small tier, however idle the"
        " large one is.",
    )
    small_for_large: bool = Field(True, description="The small tier answers plan requests; the response says so.")
    cached: bool = Field(
        True, description="When no tier works, a cached answer is given although it may be old; the response says so."
    )


class Quality(Model):
    """How an answer is judged. What fails goes up the ladder: adjust, escalate, review."""

    enabled: bool = Field(True, description="Judge answers that are not streamed.")
    refusals: bool = Field(True, description="Take a refusal to answer for a bad answer.")
    json_schema: bool = Field(
        True, description="Hold an answer to the JSON schema that the request asked for (response_format)."
    )
    min_mean_logprob: Annotated[float, Field(ge=-100, le=0)] | None = Field(
        None, description="Mean log-probability a token below which an answer is bad; not asked for unless given."
    )
    truncated: bool = Field(
        False, description="Take an answer that ended at max_tokens for a bad one; an empty one always is."
    )
    hold_stream_characters: int = Field(
        0,
        ge=0,
        le=65_536,
        description="Characters of a streamed answer that are held back and judged before the first leaves; 0 lets"
        " streams pass unjudged.",
    )


class Review(Model):
    """Answers that only a person can settle are held until one has."""

    enabled: bool = Field(False, description="Hold them; needs auth, reviewers, and a store.")
    reviewers: Annotated[list[TenantName], Field(max_length=64)] = Field(
        default_factory=list, description="Tenants whose keys may list and answer reviews."
    )
    timeout_seconds: float = Field(
        600, ge=0.001, le=86_400, description="How long an answer is held; then the best attempt is given."
    )
    max_waiting: int = Field(100, ge=1, le=10_000, description="Reviews that may wait at once.")
