"""What a router without Kubernetes reads in its file."""

import json
from typing import Any

import pytest

from heterofleet.api.labels import Tier
from heterofleet.api.routing import RouterConfig
from heterofleet.router import files
from heterofleet.router.endpoints import Address, Sighting


def config(*endpoints: dict[str, Any]) -> RouterConfig:
    return RouterConfig.model_validate(
        {
            "fleet": "chat",
            "large": {"servedName": "big"},
            "small": {"servedName": "little"},
            "endpoints": list(endpoints),
        }
    )


def test_a_file_holds_the_configuration_and_the_plan_beside_it() -> None:
    found = files.documents("fleet: chat\nplan:\n  bias: 0.5\n")
    assert [json.loads(part) for part in found] == [{"fleet": "chat"}, {"bias": 0.5}]


def test_a_file_without_a_plan_plans_nothing() -> None:
    assert files.documents("fleet: chat\nplan:\n") == files.documents("fleet: chat\n") == ('{"fleet":"chat"}', "{}")


@pytest.mark.parametrize("text", ["fleet: [", "fleet: !!python/object:os.system {}", "1: {2: 3}"])
def test_what_is_not_yaml_that_json_can_say_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not "):
        files.documents(text)


def test_an_engine_that_drains_is_seen_as_one() -> None:
    found = files.sightings(
        config(
            {"address": "127.0.0.1:8000", "tier": "large", "draining": True},
            {"address": "[::1]:8001", "tier": "small", "model": "own"},
        )
    )
    assert found == [
        Sighting(Address("127.0.0.1", 8000), Tier.LARGE, draining=True),
        Sighting(Address("::1", 8001), Tier.SMALL, model="own"),
    ]


@pytest.mark.parametrize("address", ["8000", ":8000", "engine:", "engine:0", "engine:65536", "engine:http"])
def test_an_address_without_host_or_port_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="is not host:port"):
        files.sightings(config({"address": address, "tier": "large"}))
