"""Fills the RouterConfig of a fleet from its spec.

The model names are exactly those that both tiers' engines answer to (`engine.served_names`), so that a router
forwards a body as it came; a test holds the two together.

Prices are told where money is spoken of at all: by a tier's price, a tenant's budget in USD, or tenantMetrics. What is
not posted is

    USD per million tokens = relative cost of a token x USD_PER_MILLION_TOKENS

with the relative cost as stated, or from the model's size (planning.catalogue); a model of unknown size has no price.
"""

from typing import Final

from heterofleet.api import labels, routing
from heterofleet.api.labels import Tier
from heterofleet.api.policy import RouterPolicy
from heterofleet.api.price import Price, TokenPrice
from heterofleet.api.routing import RouterConfig, TierEndpoints
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import names
from heterofleet.planning.catalogue import Catalogue

USD_PER_MILLION_TOKENS: Final = 0.05
"""Of a 4B model, whose relative cost is 1: about what such models are offered at, prompts and answers alike."""


def config(fleet: HeterogeneousDeployment, catalogue: Catalogue) -> RouterConfig:
    """What the fleet's routers must know."""
    name = fleet.metadata.name
    # The leader of a group takes its requests; the other ranks have no API.
    leaders = {**names.engine_selector(name, Tier.LARGE), labels.POD_INDEX: "0"}
    return RouterConfig(
        namespace=fleet.metadata.namespace,
        fleet=name,
        port=labels.ROUTER_PORT,
        metrics_port=labels.METRICS_PORT,
        state_label=labels.STATE,
        large=_endpoints(fleet, Tier.LARGE, leaders, catalogue),
        small=_endpoints(fleet, Tier.SMALL, names.engine_selector(name, Tier.SMALL), catalogue),
        policy=_policy(fleet),
    )


def _policy(fleet: HeterogeneousDeployment) -> RouterPolicy:
    """What the spec says of requests, without what it says of pods."""
    return RouterPolicy(**{name: getattr(fleet.spec.router, name) for name in RouterPolicy.model_fields})


def _endpoints(
    fleet: HeterogeneousDeployment, tier: Tier, selector: dict[str, str], catalogue: Catalogue
) -> TierEndpoints:
    spec = fleet.spec.tier(tier)
    return TierEndpoints(
        served_name=fleet.served_name(tier),
        selector=selector,
        port=labels.ENGINE_PORT,
        price=_posted(fleet, tier, catalogue) if _speaks_of_money(fleet) else None,
        max_in_flight=spec.engine.max_num_seqs or routing.MAX_IN_FLIGHT,
    )


def _speaks_of_money(fleet: HeterogeneousDeployment) -> bool:
    router = fleet.spec.router
    budgets = (router.tenants.each, *router.tenants.named)
    return (
        any(fleet.spec.tier(tier).price is not None for tier in Tier)
        or any(budget.usd_per_day is not None for budget in budgets)
        or router.tenant_metrics
    )


def _posted(fleet: HeterogeneousDeployment, tier: Tier, catalogue: Catalogue) -> TokenPrice | None:
    """What the tier's tokens are sold for; None where neither the spec nor the catalogue tells."""
    spec = fleet.spec.tier(tier)
    price = spec.price or Price()
    if price.usd_per_million_tokens is not None:
        return price.usd_per_million_tokens
    relative = price.relative_token_cost
    if relative is None:
        facts = catalogue.facts(spec.model)
        if facts is None or facts.parameters is None:
            return None
        relative = catalogue.size_prior(facts.parameters).relative_token_cost
    usd = round(relative * USD_PER_MILLION_TOKENS, 4)
    return TokenPrice(prompt=usd, completion=usd)
