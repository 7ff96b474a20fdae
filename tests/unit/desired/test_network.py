"""NetworkPolicies as data: who reaches which port of whose pods, by Kubernetes' own rules of evaluation."""

from dataclasses import dataclass, field

import pytest

from heterofleet.api.labels import Manifest, Tier
from heterofleet.desired import names, network
from unit.desired import fleets

OPERATORS = "operators"


@dataclass(frozen=True)
class Pod:
    """A pod as a policy sees it."""

    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = "ai"


LARGE_0 = Pod(names.engine_selector("chat", Tier.LARGE, 0))
LARGE_1 = Pod(names.engine_selector("chat", Tier.LARGE, 1))
SMALL = Pod(names.engine_selector("chat", Tier.SMALL))
ROUTER = Pod(names.router_selector("chat"))
OTHER_ROUTER = Pod(names.router_selector("other"))
NAMESAKE_ROUTER = Pod(names.router_selector("chat"), namespace="elsewhere")
OPERATOR = Pod({"app": "operator"}, OPERATORS)
PROMETHEUS = Pod({"app.kubernetes.io/name": "prometheus"}, "monitoring")
STRANGER = Pod({"app": "x"}, "elsewhere")


def policies() -> list[Manifest]:
    fleet = fleets.fleet()
    groups = [
        network.group_policy(fleet, f"chat-large-{index}", names.engine_selector("chat", Tier.LARGE, index), OPERATORS)
        for index in (0, 1)
    ]
    small = network.engine_policy(fleet, "chat-small", names.engine_selector("chat", Tier.SMALL), OPERATORS)
    return [*groups, small, network.router_policy(fleet, OPERATORS)]


def reaches(source: Pod, target: Pod, port: int) -> bool:
    """Evaluates all policies that select `target`, as a network plugin does."""
    selecting = [p for p in policies() if _selects(p["spec"]["podSelector"], target.labels)]
    assert selecting, "a pod that no policy selects is open to everybody"
    rules = [rule for policy in selecting for rule in policy["spec"]["ingress"]]
    return any(_admits(rule, source, target.namespace, port) for rule in rules)


def _admits(rule: Manifest, source: Pod, namespace: str, port: int) -> bool:
    ports = rule.get("ports")
    if ports is not None and port not in [entry["port"] for entry in ports]:
        return False
    return "from" not in rule or any(_is_peer(peer, source, namespace) for peer in rule["from"])


def _is_peer(peer: Manifest, source: Pod, namespace: str) -> bool:
    if "namespaceSelector" in peer:
        in_namespace = _selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": source.namespace})
    else:
        in_namespace = source.namespace == namespace
    return in_namespace and _selects(peer.get("podSelector", {}), source.labels)


def _selects(selector: Manifest, labels: dict[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


@pytest.mark.parametrize("port", [8000, 8001, 29500, 51234])
def test_ranks_of_a_group_reach_each_other_on_every_port(port: int) -> None:
    assert reaches(LARGE_0, LARGE_0, port)
    assert not reaches(LARGE_1, LARGE_0, port)
    assert not reaches(SMALL, LARGE_0, port)


@pytest.mark.parametrize("target", [LARGE_0, SMALL])
def test_requests_come_from_the_fleets_routers_alone(target: Pod) -> None:
    assert reaches(ROUTER, target, 8000)
    assert not reaches(ROUTER, target, 8001)
    assert [reaches(source, target, 8000) for source in (OTHER_ROUTER, NAMESAKE_ROUTER, STRANGER)] == [False] * 3


@pytest.mark.parametrize("target", [LARGE_0, SMALL])
def test_the_operator_reads_in_flight_and_supervisors_and_prometheus_reads_metrics(target: Pod) -> None:
    assert [reaches(OPERATOR, target, port) for port in (8000, 8001, 22)] == [True, True, False]
    assert [reaches(PROMETHEUS, target, port) for port in (8000, 8001)] == [True, False]


def test_everybody_reaches_the_fleets_address_and_few_its_metrics() -> None:
    assert all(reaches(source, ROUTER, 8080) for source in (STRANGER, OPERATOR, SMALL))
    assert [reaches(source, ROUTER, 9090) for source in (OPERATOR, PROMETHEUS, STRANGER, SMALL)] == [
        True,
        True,
        False,
        False,
    ]


def test_egress_is_left_open() -> None:
    assert [policy["spec"]["policyTypes"] for policy in policies()] == [["Ingress"]] * 4
