"""What routers are told: from the spec alone, with a digest that is that of the stored text."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from heterofleet.api import routing as api
from heterofleet.api.labels import Manifest, Tier
from heterofleet.api.price import TokenPrice
from heterofleet.api.routing import Arrival, ModelName, Plan, RequestClass, RouterConfig, TierEndpoints
from heterofleet.desired import routing
from unit.desired import fleets


def config(**spec: Any) -> RouterConfig:
    return routing.config(fleets.fleet(**spec), fleets.PLATFORM.catalogue)


def test_the_config_is_made_of_the_spec() -> None:
    engines = {"heterofleet.io/fleet": "chat", "heterofleet.io/pool": "default", "heterofleet.io/component": "engine"}
    assert config(large={"model": {"servedName": "planner"}}) == RouterConfig(
        namespace="ai",
        fleet="chat",
        port=8080,
        metrics_port=9090,
        state_label="heterofleet.io/state",
        large=TierEndpoints(
            served_name="planner",
            selector={**engines, "heterofleet.io/tier": "large", "apps.kubernetes.io/pod-index": "0"},
            port=8000,
        ),
        small=TierEndpoints(served_name="chat-small", selector={**engines, "heterofleet.io/tier": "small"}, port=8000),
        models=[
            ModelName.model_validate({"name": "planner", "tier": "large"}),
            ModelName.model_validate({"name": "chat-small", "tier": "small"}),
            ModelName(name="chat"),
            ModelName(name="auto"),
            ModelName(name="plan", request_class=RequestClass.PLAN),
            ModelName(name="act", request_class=RequestClass.ACT),
        ],
    )


def test_the_digest_is_that_of_the_stored_text() -> None:
    told = config()
    assert told.digest() == hashlib.sha256(told.canonical().encode()).hexdigest()
    assert api.read(told.canonical()) == (told, ())
    assert ": " not in told.canonical()


def test_counts_and_pods_never_move_the_config() -> None:
    scaled = config(
        large={"instances": {"min": 5}},
        scaling={"gpuBudget": 400},
        router={"instances": {"min": 3}, "image": "router:2", "service": {"port": 80}},
    )
    assert scaled.digest() == config().digest()


def test_of_the_policy_only_what_the_spec_says_is_written() -> None:
    told = config(router={"queue": {"maxRequests": 5, "spillOver": True}, "image": "router:2"})
    assert json.loads(told.canonical())["policy"] == {"queue": {"maxRequests": 5}}
    assert api.read(told.canonical()) == (told, ())
    assert "policy" not in json.loads(config().canonical())


def test_an_engine_is_given_what_it_runs_at_once() -> None:
    told = config(small={"engine": {"maxNumSeqs": 64}})
    assert (told.large.max_in_flight, told.small.max_in_flight) == (256, 64)
    written = json.loads(told.canonical())
    assert ("maxInFlight" in written["large"], written["small"]["maxInFlight"]) == (False, 64)


def test_prices_are_posted_or_follow_the_models_size_and_stand_only_where_money_is_spoken_of() -> None:
    assert (config().large.price, config().small.price) == (None, None)
    posted = config(
        large={"price": {"usdPerMillionTokens": {"prompt": 1, "completion": 4}}},
        small={"price": {"relativeTokenCost": 3}},
    )
    assert posted.large.price == TokenPrice(prompt=1, completion=4)
    assert posted.small.price == TokenPrice(prompt=0.15, completion=0.15)
    sized = config(small={"price": {"usdPerGpuHour": 2}})
    assert sized.small.price == TokenPrice(prompt=0.05, completion=0.05)
    assert sized.large.price is not None
    assert 0.05 < sized.large.price.prompt < 8.5 * 0.05
    unknown = config(small={"model": {"source": "hf://a/b"}, "price": {"usdPerGpuHour": 2}})
    assert unknown.small.price is None


@pytest.mark.parametrize(
    "router",
    [
        {"tenantMetrics": True},
        {"tenants": {"each": {"usdPerDay": 5}}, "store": {"redis": {"address": "redis:6379"}}},
        {
            "tenants": {"named": [{"name": "a", "usdPerDay": 5}]},
            "store": {"redis": {"address": "redis:6379"}},
            "auth": {"keysSecret": "keys"},
        },
    ],
)
def test_tenants_money_needs_prices(router: Manifest) -> None:
    assert config(router=router).small.price == TokenPrice(prompt=0.05, completion=0.05)


def test_what_boots_is_told_with_its_time() -> None:
    arrival = Arrival(tier=Tier.SMALL, instances=2, at=datetime(2026, 1, 5, 10, 30, tzinfo=UTC))
    told = Plan(arrivals=[arrival])
    assert json.loads(told.canonical())["arrivals"] == [{"tier": "small", "instances": 2, "at": "2026-01-05T10:30:00Z"}]
    assert api.read_plan(told.canonical()) == (told, ())


def test_the_plan_until_there_is_a_planner_asks_for_nothing() -> None:
    assert json.loads(Plan().canonical()) == {
        "apiVersion": api.API_VERSION,
        "kind": "Plan",
        "bias": 0.0,
        "degrade": "None",
        "arrivals": [],
    }
    assert Plan.model_validate_json(Plan().canonical()) == Plan()
