"""What a fleet's routers do with a request: one model a section, the same in the resource and in RouterConfig.

The resource refuses unknown fields; a RouterConfig of a newer operator loses them at the router's edge
(`routing.without_unknown`), so that one set of models serves both. Every default is the behaviour of a fleet that says
nothing, and never changes within an API version.
"""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from heterofleet.api.base import KeyedBy, Model, ObjectName, Rule, SecretKey
from heterofleet.api.labels import Tier

TenantName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$", max_length=63)]
Ratio = Annotated[float, Field(ge=0, le=1)]


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


class Affinity(Model):
    """How a conversation finds the large instance that has its beginning in its prefix cache."""

    min_prompt_characters: int = Field(
        512, ge=0, le=1_000_000, description="Prompts that are shorter go to the instance with the least load."
    )
    block_characters: int = Field(
        512, ge=64, le=65_536, description="Length of the blocks of a prompt by which conversations are told apart."
    )
    load_bound: float = Field(
        1.25,
        ge=1.0,
        le=10,
        description="An instance takes no more than this times the mean load for the sake of its cache.",
    )


class PlanOverflow(StrEnum):
    WAIT = "Wait"
    DEGRADE = "Degrade"
    REFUSE = "Refuse"


class Queue(Model):
    """Where requests wait when every instance of their tier is full, or none is ready yet."""

    max_requests: int = Field(
        1000, ge=0, le=100_000, description="Requests that may wait for a tier at once, in each router."
    )
    plan_deadline_seconds: float = Field(60, ge=0.001, le=3600, description="Longest wait of a plan request.")
    act_deadline_seconds: float = Field(30, ge=0.001, le=3600, description="Longest wait of an act request.")
    when_plan_overflows: PlanOverflow = Field(
        PlanOverflow.WAIT,
        description="What becomes of a plan request that finds the large tier full: Wait, Degrade (the small tier"
        " answers, and the response says so) or Refuse.",
    )
    spill_over: bool = Field(
        True,
        description="Let idle instances of the large tier answer act requests for which the small tier is full. Where"
        " no instance of it works, fallback.largeForSmall decides.",
    )


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


class BreakerPolicy(Model):
    """When an instance gets no more requests for a while."""

    failures: int = Field(5, ge=1, le=1000, description="Failures in a row that open the breaker of an instance.")
    open_seconds: float = Field(
        60, ge=0.001, le=3600, description="How long it stays open before one request tries again."
    )
    probe_idle_seconds: float = Field(
        60,
        ge=0,
        le=86_400,
        description="An instance that has had no request for so long is asked for one token; 0 switches it off.",
    )


class CacheUse(StrEnum):
    """Which answers may be kept: none, those of requests that say temperature 0, or also of those that ask for it."""

    OFF = "Off"
    DETERMINISTIC = "Deterministic"
    ALLOWED = "Allowed"


class ExactCache(Model):
    """Answers of the small tier by the whole request."""

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


class Consistency(Model):
    """Some answers of the small tier are compared with the large tier's."""

    share: Ratio = Field(0.0, description="Share of the small tier's answers that are compared.")
    blocking: bool = Field(
        False, description="Compare before answering, and give the large tier's answer where they differ."
    )
    threshold: Ratio = Field(0.5, description="Similarity of two answers below which they differ.")
    review: bool = Field(
        False, description="Hold answers that differ for a person's review; needs review and blocking."
    )

    RULES: ClassVar = (
        Rule(
            cel="!self.review || self.blocking",
            message="consistency.review holds an answer back, which needs consistency.blocking: true",
            holds=lambda c: not c.review or c.blocking,
        ),
    )


class Shadow(Model):
    """Copies of requests to a tier that is being tried; its answers are measured and thrown away."""

    share: Ratio = Field(0.0, description="Share of the other tier's requests that are copied.")
    tier: Tier = Field(Tier.SMALL, description="The tier that is tried.")


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


class ComplianceAction(StrEnum):
    DENY = "Deny"
    REDACT = "Redact"


class ComplianceScope(StrEnum):
    PROMPT = "Prompt"
    ANSWER = "Answer"
    BOTH = "Both"


class ComplianceRule(Model):
    """What may not pass."""

    name: TenantName = Field(description="Name of the rule, as the audit log gives it.")
    pattern: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(
        description="Regular expression in RE2's syntax. Routers compile it, and what they refuse shows in the"
        " condition RouterConfigured."
    )
    action: ComplianceAction = Field(
        ComplianceAction.DENY, description="Deny: the request fails. Redact: what matches is replaced."
    )
    scope: ComplianceScope = Field(ComplianceScope.BOTH, description="Where it is looked for.")
    replacement: Annotated[str, StringConstraints(max_length=256)] = Field(
        "[redacted]", description="What stands instead, where the action is Redact."
    )


class Compliance(Model):
    """Rules that prompts and answers of every tier are held to."""

    rules: Annotated[list[ComplianceRule], Field(max_length=64), KeyedBy("name")] = Field(
        default_factory=list, description="The rules, applied in this order."
    )
    max_match_characters: int = Field(
        256,
        ge=16,
        le=8192,
        description="Longest match that is found in a streamed answer: so many characters of it are held back.",
    )


class Auth(Model):
    """Who may ask."""

    keys_secret: ObjectName | None = Field(
        None,
        description="Secret of the clients' keys: each of its entries is called like a tenant and holds one SHA-256 in"
        " hex a line. Anyone may ask unless given.",
    )


class TenantBudget(Model):
    """What tenants may spend in 24 hours."""

    usd_per_day: Annotated[float, Field(ge=0, le=10_000_000)] | None = Field(
        None, description="USD at the tiers' posted prices."
    )
    tokens_per_day: Annotated[int, Field(ge=0, le=1_000_000_000_000)] | None = Field(
        None, description="Tokens of prompts and answers together."
    )


class NamedTenant(TenantBudget):
    """One tenant, where it differs from the others."""

    name: TenantName = Field(description="The tenant, as auth.keysSecret names it.")
    weight: float = Field(1.0, ge=0.001, le=1000, description="Its share when tenants wait for the same capacity.")


class Tenants(Model):
    """What tenants may spend, and how they share what is scarce."""

    each: TenantBudget = TenantBudget()
    named: Annotated[list[NamedTenant], Field(max_length=256), KeyedBy("name")] = Field(
        default_factory=list, description="Tenants with a budget or weight of their own."
    )
    soft_fraction: Ratio = Field(
        0.8,
        description="Share of a budget from which the small tier is preferred; at the whole of it requests get 429.",
    )

    @property
    def bounded(self) -> bool:
        """Whether any tenant has a budget."""
        return any(t.usd_per_day is not None or t.tokens_per_day is not None for t in (self.each, *self.named))


class RedisStore(Model):
    """A server of the Redis protocol."""

    address: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.\[\]:-]+:[0-9]{1,5}$", max_length=300)] = Field(
        description="host:port."
    )
    tls: bool = Field(False, description="Connect with TLS.")
    password_secret: SecretKey | None = Field(None, description="Where its password is; none unless given.")


class FileStore(Model):
    """A file on a volume, for one router."""

    persistent_volume_claim: ObjectName = Field(description="Claim of the volume.")


class Store(Model):
    """Where spend, reviews and shared cached answers are kept."""

    redis: RedisStore | None = Field(None, description="A server that all routers share.")
    file: FileStore | None = Field(
        None, description="A volume of the only router; while that is replaced, nobody answers."
    )

    RULES: ClassVar = (
        Rule(
            cel="!(has(self.redis) && has(self.file))",
            message="a store is redis or file, not both: remove one",
            holds=lambda s: s.redis is None or s.file is None,
        ),
    )

    @property
    def given(self) -> bool:
        return self.redis is not None or self.file is not None


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
