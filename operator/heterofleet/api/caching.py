"""Which answers are given again."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from heterofleet.api.base import Model, Ratio, Rule


class CacheUse(StrEnum):
    """Which answers may be kept: none, those of requests that say temperature 0, or also of those that ask for it."""

    OFF = "Off"
    DETERMINISTIC = "Deterministic"
    ALLOWED = "Allowed"


class ExactCache(Model):
    """Answers of the small tier by the whole request; the large tier's are kept for when no tier works."""

    use: CacheUse = Field(
        CacheUse.OFF,
        description="Off; Deterministic: requests with temperature 0; Allowed: also those with the header"
        " x-heterofleet-cache: allow.",
    )
    normalised: bool = Field(
        False, description="Take requests for the same that differ in white space and letter case of the last message."
    )
    ttl_seconds: int = Field(3600, ge=1, le=2_592_000, description="How long an answer is kept.")
    max_bytes: int = Field(67_108_864, ge=0, le=1_099_511_627_776, description="Bytes of answers kept at most.")

    RULES: ClassVar = (
        Rule(
            cel="self.use == 'Off' || self.maxBytes > 0",
            message="an exact cache of 0 bytes keeps nothing: raise cache.exact.maxBytes, or set use: Off",
            holds=lambda c: c.use is CacheUse.OFF or c.max_bytes > 0,
        ),
    )


class SemanticCache(Model):
    """Answers of the large tier by the meaning of the request."""

    endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[!-?A-~]+$", max_length=512)] | None = Field(
        None,
        description="URL of an OpenAI-compatible /v1/embeddings, without credentials; the cache is off unless given.",
    )
    model: Annotated[str, StringConstraints(min_length=1, max_length=253)] = Field(
        "embedding", description="Model name sent to it."
    )
    threshold: Ratio = Field(0.97, description="Cosine similarity from which two requests are taken for the same.")
    verify_share: Ratio = Field(
        0.05, description="Share of hits that are answered anew all the same, to measure how many were false."
    )
    ttl_seconds: int = Field(86_400, ge=1, le=2_592_000, description="How long an answer is kept.")
    max_bytes: int = Field(268_435_456, ge=0, le=1_099_511_627_776, description="Bytes of answers kept at most.")

    RULES: ClassVar = (
        Rule(
            cel="!has(self.endpoint) || self.maxBytes > 0",
            message="a semantic cache of 0 bytes keeps nothing: raise cache.semantic.maxBytes, or remove endpoint",
            holds=lambda c: c.endpoint is None or c.max_bytes > 0,
        ),
    )


class Cache(Model):
    """Answers that are given again; each tenant has its own."""

    exact: ExactCache = ExactCache()
    semantic: SemanticCache = SemanticCache()
