"""What a fleet's routers do with a request: one model a section, the same in the resource and in RouterConfig.

Sections are modules beside this one, by what they decide.

The resource refuses unknown fields; a RouterConfig of a newer operator loses them at the router's edge
(`routing.without_unknown`), so that one set of models serves both. Every default is the behaviour of a fleet that says
nothing, and never changes within an API version.
"""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from heterofleet.api.base import Model, Ratio, Rule
from heterofleet.api.caching import Cache
from heterofleet.api.comparison import Consistency, Shadow
from heterofleet.api.compliance import Compliance
from heterofleet.api.embeddings import Embeddings
from heterofleet.api.ladder import Adjustment, Escalation, Fallback, Quality, Retry, Review
from heterofleet.api.places import Affinity, BreakerPolicy, Queue
from heterofleet.api.store import Store
from heterofleet.api.tenancy import Auth, Tenants


class Profile(StrEnum):
    DEFAULT = "Default"
    LEAN = "Lean"


class Classification(Model):
    """How a request's class is found: plan, or act."""

    threshold: Ratio = Field(
        0.38,
        description="A request is of class plan when its score, the chance that the small model is enough, is below.",
    )
    hints: bool = Field(
        True, description="Heed the class that a client names: header x-heterofleet-class, or metadata."
    )


class Limits(Model):
    """What one client may ask of a router."""

    max_header_bytes: int = Field(32_768, ge=1024, le=1_048_576, description="Bytes of a request's head.")
    max_body_bytes: int = Field(16_777_216, ge=1024, le=1_073_741_824, description="Bytes of a request's body.")
    max_connections: int = Field(10_000, ge=1, le=1_000_000, description="Open connections of clients.")
    header_seconds: float = Field(10, ge=0.001, le=600, description="Time for a request's head, from its first byte.")
    body_seconds: float = Field(60, ge=0.001, le=3600, description="Time for a request's body.")
    idle_seconds: float = Field(75, ge=0.001, le=3600, description="How long an idle connection is kept.")
    connect_seconds: float = Field(2, ge=0.001, le=60, description="Time for a connection to an engine.")
    first_byte_seconds: float = Field(
        300, ge=0.001, le=86_400, description="Time from a request to the first byte of an engine's answer."
    )
    stall_seconds: float = Field(60, ge=0.001, le=3600, description="Longest silence within an engine's answer.")


class RouterPolicy(Model):
    """Everything that a router does with requests."""

    profile: Profile = Field(
        Profile.DEFAULT,
        description="Lean leaves out the access log, the judging of answers and all metrics but counts, for speed.",
    )
    classification: Classification = Classification()
    affinity: Affinity = Affinity()
    queue: Queue = Queue()
    retry: Retry = Retry()
    adjustment: Adjustment = Adjustment()
    escalation: Escalation = Escalation()
    breaker: BreakerPolicy = BreakerPolicy()
    cache: Cache = Cache()
    fallback: Fallback = Fallback()
    quality: Quality = Quality()
    consistency: Consistency = Consistency()
    shadow: Shadow = Shadow()
    review: Review = Review()
    compliance: Compliance = Compliance()
    auth: Auth = Auth()
    tenants: Tenants = Tenants()
    store: Store = Store()
    limits: Limits = Limits()
    embeddings: Embeddings | None = Field(
        None, description="Who answers /v1/embeddings; such requests get 404 unless given."
    )
    tenant_metrics: bool = Field(
        False, description="Count money and tokens by tenant too; at most 256 tenants are told apart."
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!self.review.enabled || (has(self.auth.keysSecret) && has(self.review.reviewers)"
            " && size(self.review.reviewers) > 0)",
            message="review.enabled needs auth.keysSecret and review.reviewers: whoever answers has a key of their own",
            holds=lambda p: not p.review.enabled or (p.auth.keys_secret is not None and bool(p.review.reviewers)),
        ),
        Rule(
            cel="!self.consistency.review || self.review.enabled",
            message="consistency.review needs review.enabled: true",
            holds=lambda p: not p.consistency.review or p.review.enabled,
        ),
        Rule(
            cel="!self.review.enabled || has(self.store.redis) || has(self.store.file)",
            message="review.enabled needs store.redis or store.file: what waits for a person outlives a router",
            holds=lambda p: not p.review.enabled or p.store.given,
        ),
        Rule(
            cel="has(self.store.redis) || has(self.store.file)"
            " || !(has(self.tenants.each.usdPerDay) || has(self.tenants.each.tokensPerDay)"
            " || (has(self.tenants.named)"
            " && self.tenants.named.exists(tenant, has(tenant.usdPerDay) || has(tenant.tokensPerDay))))",
            message="a tenant's budget needs store.redis or store.file: what was spent outlives a router",
            holds=lambda p: p.store.given or not p.tenants.bounded,
        ),
        Rule(
            cel="has(self.auth.keysSecret) || !has(self.tenants.named) || size(self.tenants.named) == 0",
            message="tenants.named needs auth.keysSecret: a tenant is known by its key",
            holds=lambda p: p.auth.keys_secret is not None or not p.tenants.named,
        ),
    )
