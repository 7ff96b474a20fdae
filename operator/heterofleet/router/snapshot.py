"""Everything that a request is decided by, compiled from RouterConfig and Plan into one immutable value.

A request takes the snapshot that is in force when it comes and keeps it to its end, so that a change never shows half.
A configuration that cannot be used is refused with a sentence and the former one stays; each says so by its digest.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from heterofleet.api import routing
from heterofleet.api.labels import Tier
from heterofleet.api.policy import Profile, RouterPolicy
from heterofleet.api.routing import ModelName, Plan, RouterConfig, TierEndpoints
from heterofleet.router.budget import Price
from heterofleet.router.classify import Classifier, Weights
from heterofleet.router.compliance import InvalidRule, Rules
from heterofleet.router.policy import EMBED, Where


class Rejected(Exception):
    """A configuration that cannot be used; its text says what to write instead."""


@dataclass(frozen=True, slots=True)
class TierSettings:
    """What is known of a tier beside its endpoints."""

    served_name: str
    max_in_flight: int
    price: Price | None

    @classmethod
    def of(cls, told: TierEndpoints) -> "TierSettings":
        price = Price(told.price.prompt, told.price.completion) if told.price is not None else None
        return cls(told.served_name, told.max_in_flight, price)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is in force. `plan` may change without the rest."""

    config: RouterConfig
    digest: str
    policy: RouterPolicy
    models: Mapping[str, ModelName]
    tiers: Mapping[Tier, TierSettings]
    prices: Mapping[Where, Price | None]
    classifier: Classifier
    rules: Rules | None
    lean: bool
    bounded: bool
    """Whether any tenant has a budget; asked of every request."""
    compares_first: bool
    """Whether answers are compared before they are sent."""
    copies: bool
    """Whether requests are copied after they were answered."""
    unknown: tuple[str, ...] = ()
    plan: Plan = field(default_factory=Plan)
    plan_digest: str = ""


def compile_config(text: str, weights: Weights) -> Snapshot:
    """Raises Rejected."""
    try:
        config, unknown = routing.read(text)
        rules = Rules.compile(config.policy.compliance) if config.policy.compliance.rules else None
    except (routing.Unreadable, InvalidRule) as exc:
        raise Rejected(str(exc)) from exc
    _refuse_unpriced_budgets(config)
    policy = config.policy
    classification = policy.classification
    return Snapshot(
        config=config,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        policy=policy,
        models={model.name: model for model in config.models},
        tiers=(tiers := {Tier.LARGE: TierSettings.of(config.large), Tier.SMALL: TierSettings.of(config.small)}),
        prices={**{tier: settings.price for tier, settings in tiers.items()}, EMBED: _embedding_price(policy)},
        classifier=Classifier(weights, classification.threshold, classification.hints),
        rules=rules,
        lean=policy.profile is Profile.LEAN,
        bounded=policy.tenants.bounded,
        compares_first=policy.consistency.blocking and policy.consistency.share > 0,
        copies=policy.shadow.share > 0 or (policy.consistency.share > 0 and not policy.consistency.blocking),
        unknown=tuple(unknown),
    )


def _embedding_price(policy: RouterPolicy) -> Price | None:
    posted = policy.embeddings.usd_per_million_tokens if policy.embeddings is not None else None
    return None if posted is None else Price(posted, 0.0)


def _refuse_unpriced_budgets(config: RouterConfig) -> None:
    """Where tokens have no price a budget in money would never be used up."""
    tenants = config.policy.tenants
    in_money = any(tenant.usd_per_day is not None for tenant in (tenants.each, *tenants.named))
    unpriced = [tier for tier, told in ((Tier.LARGE, config.large), (Tier.SMALL, config.small)) if told.price is None]
    if in_money and unpriced:
        raise Rejected(f"tenants' usdPerDay needs prices: post what a million tokens of the {unpriced[0]} tier cost")
