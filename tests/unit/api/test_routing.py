"""What a router makes of a document: unknown versions are refused with a sentence, unknown fields are left out."""

import json
from typing import Any

import pytest

from heterofleet.api import routing
from heterofleet.api.labels import Tier
from heterofleet.api.policy import RouterPolicy
from heterofleet.api.routing import Degrade, ModelName, Plan, RequestClass, RouterConfig

SMALLEST: dict[str, Any] = {"fleet": "chat", "large": {"servedName": "planner"}, "small": {"servedName": "worker"}}


def read(**more: Any) -> tuple[RouterConfig, tuple[str, ...]]:
    return routing.read(json.dumps(SMALLEST | more))


def sentence(text: str) -> str:
    with pytest.raises(routing.Unreadable) as refused:
        routing.read(text)
    return str(refused.value)


def test_a_file_needs_to_say_no_more_than_the_fleet_and_its_tiers() -> None:
    told, unknown = read()
    assert (told.port, told.metrics_port, told.large.port, told.policy) == (8080, 9090, 8000, RouterPolicy())
    assert told.models == [
        ModelName(name="planner", tier=Tier.LARGE),
        ModelName(name="worker", tier=Tier.SMALL),
        ModelName(name="chat"),
        ModelName(name="auto"),
        ModelName(name="plan", request_class=RequestClass.PLAN),
        ModelName(name="act", request_class=RequestClass.ACT),
    ]
    assert unknown == ()


def test_what_a_newer_operator_adds_is_left_out_at_any_depth_and_named() -> None:
    told, unknown = read(
        later=1,
        small={"servedName": "worker", "price": {"prompt": 1, "completion": 2, "cached": 0.1}},
        policy={
            "queue": {"maxRequests": 7, "colour": {"a": 1}},
            "tenants": {"named": [{"name": "a"}, {"name": "b", "tint": 1}]},
            "auth": {"keysSecret": "keys"},
        },
    )
    assert unknown == (
        "small.price.cached",
        "later",
        "policy.queue.colour",
        "policy.tenants.named[1].tint",
    )
    assert told.policy.queue.max_requests == 7
    assert [tenant.name for tenant in told.policy.tenants.named] == ["a", "b"]


def test_labels_are_not_fields() -> None:
    told, unknown = read(large={"servedName": "planner", "selector": {"any": "label"}})
    assert (told.large.selector, unknown) == ({"any": "label"}, ())


def test_a_null_that_means_something_survives_the_writing() -> None:
    told, _ = read(policy={"adjustment": {"temperature": None}})
    assert told.policy.adjustment.temperature is None
    assert routing.read(told.canonical()) == (told, ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON: "),
        ("[]", "a RouterConfig is a JSON object"),
        (
            json.dumps(SMALLEST | {"apiVersion": "router.heterofleet.io/v2"}),
            "apiVersion 'router.heterofleet.io/v2' is not known here: this router reads router.heterofleet.io/v1alpha1",
        ),
        ('{"fleet": 1}', "fleet: Input should be a valid string; large: Field required; small: Field required"),
        (
            json.dumps(SMALLEST | {"policy": {"retry": {"backoffSeconds": 9}}}),
            "policy.retry: retry.backoffSeconds must not be above retry.maxBackoffSeconds",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence(text: str, said: str) -> None:
    assert sentence(text).startswith(said)


def test_a_plan_is_read_in_the_same_way() -> None:
    told, unknown = routing.read_plan('{"degrade": "Throttle", "bias": 0.5, "mood": "good", "arrivals": []}')
    assert (told, unknown) == (Plan(bias=0.5, degrade=Degrade.THROTTLE), ("mood",))
    with pytest.raises(routing.Unreadable, match="apiVersion 'v9' is not known here"):
        routing.read_plan('{"apiVersion": "v9"}')
