"""What routers are told: from the spec alone, with a digest that is that of the stored text."""

import hashlib
import json

import pytest
from pydantic import ValidationError

from heterofleet.api import routing as api
from heterofleet.api.routing import ModelName, Plan, RequestClass, RouterConfig, TierEndpoints
from heterofleet.desired import routing
from unit.desired import fleets


def test_the_config_is_made_of_the_spec() -> None:
    engines = {"heterofleet.io/fleet": "chat", "heterofleet.io/pool": "default", "heterofleet.io/component": "engine"}
    assert routing.config(fleets.fleet(large={"model": {"servedName": "planner"}})) == RouterConfig(
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
    config = routing.config(fleets.fleet())
    assert config.digest() == hashlib.sha256(config.canonical().encode()).hexdigest()
    assert RouterConfig.model_validate_json(config.canonical()) == config
    assert ": " not in config.canonical()


def test_counts_never_move_the_config() -> None:
    scaled = fleets.fleet(large={"instances": {"min": 5}}, scaling={"gpuBudget": 400})
    assert routing.config(scaled).digest() == routing.config(fleets.fleet()).digest()


def test_an_unknown_version_is_refused_and_an_unknown_field_is_not() -> None:
    told = json.loads(routing.config(fleets.fleet()).canonical())
    assert RouterConfig.model_validate({**told, "later": 1}) == routing.config(fleets.fleet())
    with pytest.raises(ValidationError):
        RouterConfig.model_validate({**told, "apiVersion": "router.heterofleet.io/v2"})


def test_the_plan_until_there_is_a_planner_asks_for_nothing() -> None:
    assert json.loads(routing.plan().canonical()) == {
        "apiVersion": api.API_VERSION,
        "kind": "Plan",
        "bias": 0.0,
        "degrade": "None",
        "arrivals": [],
    }
    assert Plan.model_validate_json(routing.plan().canonical()) == Plan()
