"""Fills the RouterConfig of a fleet from its spec.

The model names are exactly those that both tiers' engines answer to (`engine.served_names`), so that a router
forwards a body as it came; a test holds the two together.
"""

from heterofleet.api import labels, routing
from heterofleet.api.labels import Tier
from heterofleet.api.routing import ModelName, RequestClass, RouterConfig, TierEndpoints
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import names


def config(fleet: HeterogeneousDeployment) -> RouterConfig:
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
        large=_endpoints(fleet, Tier.LARGE, leaders),
        small=_endpoints(fleet, Tier.SMALL, names.engine_selector(name, Tier.SMALL)),
        models=list(_models(fleet)),
    )


def plan() -> routing.Plan:
    """The plan until a planner makes one: no bias, nothing given up, nothing announced."""
    return routing.Plan()


def _endpoints(fleet: HeterogeneousDeployment, tier: Tier, selector: dict[str, str]) -> TierEndpoints:
    return TierEndpoints(served_name=fleet.served_name(tier), selector=selector, port=labels.ENGINE_PORT)


def _models(fleet: HeterogeneousDeployment) -> tuple[ModelName, ...]:
    wanted = (
        ModelName(name=fleet.served_name(Tier.LARGE), tier=Tier.LARGE),
        ModelName(name=fleet.served_name(Tier.SMALL), tier=Tier.SMALL),
        ModelName(name=fleet.metadata.name),
        ModelName(name="auto"),
        ModelName(name="plan", request_class=RequestClass.PLAN),
        ModelName(name="act", request_class=RequestClass.ACT),
    )
    # A tier may be called like the fleet or `auto`; its own meaning stands first and wins.
    return tuple(
        {model.name: model for model in reversed(wanted)}[name] for name in dict.fromkeys(m.name for m in wanted)
    )
