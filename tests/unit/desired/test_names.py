"""Names of children: fixed, within Kubernetes' limits, and different from each other."""

import pytest

from heterofleet.api.labels import Tier
from heterofleet.desired import names
from heterofleet.desired.revision import Role

LONGEST = "f" * 40
REVISION = "0123abcd"


def test_the_names_of_children_are_those_of_the_contract() -> None:
    scripts = {"supervisor.py": "text"}
    assert [
        names.large("chat", 3),
        names.small("chat"),
        names.small_deployment("chat", REVISION),
        names.router("chat"),
        names.engines("chat"),
        names.tier("chat", Tier.LARGE),
        names.tier("chat", Tier.SMALL),
        names.template("chat", Role.ROUTER, REVISION),
        names.supervisor("chat", scripts),
        names.endpoint("chat", "ai", 8080),
    ] == [
        "chat-large-3",
        "chat-small",
        "chat-small-default-0123abcd",
        "chat-router",
        "chat-engines",
        "chat-large",
        "chat-small",
        "chat-router-0123abcd",
        "chat-supervisor-96ed23a3",
        "http://chat-router.ai.svc:8080/v1",
    ]


def test_a_stateful_set_of_the_longest_fleet_name_still_makes_pods() -> None:
    # Beyond 52 the pods' label controller-revision-hash, `<name>-<10 characters>`, exceeds 63 and none is made.
    assert len(names.large(LONGEST, 9999)) <= 52


@pytest.mark.parametrize(
    "name",
    [
        names.large(LONGEST, 9999),
        f"{names.large(LONGEST, 9999)}-{9999}",
        names.small(LONGEST),
        names.small_deployment(LONGEST, REVISION),
        names.router(LONGEST),
        names.engines(LONGEST),
        names.template(LONGEST, Role.ROUTER, REVISION),
        names.supervisor(LONGEST, {"a": "b"}),
    ],
)
def test_every_name_is_a_dns_label(name: str) -> None:
    assert len(name) <= 63


def test_a_supervisor_is_named_by_its_texts() -> None:
    one, other = {"a": "x", "b": "y"}, {"a": "xy", "b": ""}
    assert names.supervisor("chat", one) != names.supervisor("chat", other)
    assert names.supervisor("chat", one) == names.supervisor("chat", dict(reversed(one.items())))


def test_selectors_hold_the_labels_that_stay_for_ever() -> None:
    assert names.engine_selector("chat", Tier.LARGE, 2) == {
        "heterofleet.io/fleet": "chat",
        "heterofleet.io/tier": "large",
        "heterofleet.io/pool": "default",
        "heterofleet.io/component": "engine",
        "heterofleet.io/instance": "2",
    }
    assert names.router_selector("chat") == {"heterofleet.io/fleet": "chat", "heterofleet.io/component": "router"}
