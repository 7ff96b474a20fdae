"""Who may reach whom, computed from the policies that users' clusters hold: the whole table, each way."""

import functools
from pathlib import Path

import pytest
import yaml

from golden import render
from heterofleet.api.labels import Manifest
from unit.networkpolicies import Pod, UnknownRule, admits

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "heterofleet-system"
PORTS = {"engine": 8000, "supervisor": 8001, "router": 8080, "metrics": 9090, "any other": 41_234}
EVERYBODY = frozenset(
    {
        "rank 0 of large 0", "rank 1 of large 0", "rank 0 of large 1", "small", "other small", "router", "operator",
        "Prometheus", "client", "client elsewhere", "router of a neighbour", "engine of a neighbour",
        "the same fleet elsewhere",
    }
)  # fmt: skip
TABLE = {
    "rank 0 of large 0": {
        "engine": {"rank 1 of large 0", "router", "operator", "Prometheus"},
        "supervisor": {"rank 1 of large 0", "operator"},
        "router": {"rank 1 of large 0"},
        "metrics": {"rank 1 of large 0"},
        "any other": {"rank 1 of large 0"},
    },
    "rank 0 of large 1": {"engine": {"router", "operator", "Prometheus"}, "supervisor": {"operator"}},
    "small": {"engine": {"router", "operator", "Prometheus"}, "supervisor": {"operator"}},
    "router": {"router": EVERYBODY - {"router"}, "metrics": {"operator", "Prometheus"}},
    "operator": {"metrics": EVERYBODY - {"operator"}},
}
"""Target, port, and who reaches it; a port that is not named is closed to all."""


@functools.cache
def documents(path: Path) -> list[Manifest]:
    return list(yaml.load_all(path.read_text("utf-8"), yaml.CSafeLoader))


def objects(version: str = render.VERSION) -> list[Manifest]:
    return [*documents(render.FOLDER / version / "pair.yaml"), *documents(ROOT / "manifests" / "install.yaml")]


def policies(version: str = render.VERSION) -> list[Manifest]:
    return [item for item in objects(version) if item["kind"] == "NetworkPolicy"]


def pod(kind: str, name: str, namespace: str = "ai", **labels: str) -> Pod:
    (found,) = (o for o in objects() if o["kind"] == kind and o["metadata"]["name"].startswith(name))
    return Pod.of(namespace, found["spec"]["template"], **labels)


def renamed(found: Pod, fleet: str) -> Pod:
    """The same pod of another fleet in this namespace."""
    return Pod(found.namespace, {**found.labels, "heterofleet.io/fleet": fleet}, found.ports)


def cast() -> dict[str, Pod]:
    """Everybody who is there: the fleet, the operator, Prometheus, neighbours and strangers."""
    small, router = pod("Deployment", "chat-small-"), pod("Deployment", "chat-router")
    return {
        "rank 0 of large 0": pod("StatefulSet", "chat-large-0", **{"apps.kubernetes.io/pod-index": "0"}),
        "rank 1 of large 0": pod("StatefulSet", "chat-large-0", **{"apps.kubernetes.io/pod-index": "1"}),
        "rank 0 of large 1": pod("StatefulSet", "chat-large-1", **{"apps.kubernetes.io/pod-index": "0"}),
        "small": small,
        "other small": small,
        "router": router,
        "operator": pod("Deployment", "heterofleet-operator", SYSTEM),
        "Prometheus": Pod("monitoring", {"app.kubernetes.io/name": "prometheus"}),
        "client": Pod("ai", {"app": "notebook"}),
        "client elsewhere": Pod("web", {"app": "shop"}),
        "router of a neighbour": renamed(router, "code"),
        "engine of a neighbour": renamed(small, "code"),
        "the same fleet elsewhere": Pod("staging", router.labels),
    }


def reached(version: str, target: str) -> dict[str, set[str]]:
    """By port, who reaches a pod; the pod itself is not asked."""
    everybody, held = cast(), policies(version)
    found = {
        name: {who for who in EVERYBODY - {target} if admits(held, everybody[who], everybody[target], port)}
        for name, port in PORTS.items()
    }
    return {name: who for name, who in found.items() if who}


@pytest.mark.parametrize("version", sorted({version for version, _ in render.held()}))
@pytest.mark.parametrize("target", TABLE)
def test_each_port_is_reached_by_those_of_the_table_and_by_nobody_else(target: str, version: str) -> None:
    assert reached(version, target) == TABLE[target]


def test_everybody_of_the_table_is_there() -> None:
    assert cast().keys() == EVERYBODY


def test_without_a_policy_everybody_reaches_everything() -> None:
    everybody = cast()
    assert admits([], everybody["client elsewhere"], everybody["small"], PORTS["engine"])


@pytest.mark.parametrize(
    "spec",
    [
        {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
        {"podSelector": {"matchExpressions": []}, "policyTypes": ["Ingress"]},
        {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
        {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": 1, "endPort": 9}]}]},
    ],
)
def test_what_the_table_could_not_tell_is_an_error(spec: Manifest) -> None:
    policy = {"metadata": {"name": "new", "namespace": "ai"}, "spec": spec}
    with pytest.raises(UnknownRule):
        admits([policy], cast()["client"], cast()["small"], PORTS["engine"])
