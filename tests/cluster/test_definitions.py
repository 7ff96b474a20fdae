"""What people and tools see of our definitions on a real API server: columns, names, scale, status."""

from datetime import UTC, datetime

import pytest

from cases.reading import SMALLEST, Body
from heterofleet import generate
from heterofleet.api import crd, labels
from heterofleet.api.conditions import (
    Condition,
    ConditionType,
    CostStatus,
    FleetStatus,
    InstanceState,
    InstanceStatus,
    LastExit,
    Reason,
    TierStatus,
)
from testbed.controlplane import Cluster

NOW = datetime(2026, 11, 23, 12, 30, 15, 250_000, tzinfo=UTC)


def condition(type_: ConditionType, *, status: bool, reason: Reason) -> Condition:
    # Without its generation `kubectl wait` would take the condition for one of an older spec.
    return Condition(type=type_, status=status, reason=reason, observed_generation=1, last_transition_time=NOW)


STATUS = FleetStatus(
    observed_generation=1,
    conditions=[
        condition(ConditionType.READY, status=True, reason=Reason.ALL_READY),
        condition(ConditionType.DEGRADED, status=False, reason=Reason.HEALTHY),
    ],
    large=TierStatus(
        summary="1/2",
        desired=2,
        ready=1,
        instances=[
            InstanceStatus(index=0, state=InstanceState.READY, since=NOW),
            InstanceStatus(
                index=3,
                state=InstanceState.RESTARTING,
                restarts=2,
                last_exit=LastExit(pod="chat-large-3-0", exit_code=137, reason="OOMKilled", at=NOW),
            ),
        ],
    ),
    small=TierStatus(summary="4/4", desired=4, ready=4),
    ratio="4",
    endpoint="http://chat-router.default.svc:8080/v1",
    cost=CostStatus(usd_per_hour="70.40"),
)


@pytest.fixture(scope="module")
def defined(cluster: Cluster) -> Cluster:
    for definition in crd.definitions():
        cluster.kubectl("apply", "-f", "-", input=generate.as_yaml(definition))
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{definition['metadata']['name']}", "--timeout=30s")
    return cluster


def _create(cluster: Cluster, namespace: str, kind: str, plural: str) -> Body:
    collection = f"/apis/{labels.API_VERSION}/namespaces/{namespace}/{plural}"
    return cluster.api.create(collection, SMALLEST[kind])


def _fleet(namespace: str) -> str:
    return f"/apis/{labels.API_VERSION}/namespaces/{namespace}/{labels.FLEET_PLURAL}/chat"


def test_a_status_reads_back_as_it_was_written(defined: Cluster, namespace: str) -> None:
    _create(defined, namespace, labels.FLEET_KIND, labels.FLEET_PLURAL)
    stored = defined.api.merge(f"{_fleet(namespace)}/status", {"status": STATUS.to_kubernetes()})
    assert FleetStatus.model_validate(stored["status"]) == STATUS
    assert stored["status"] == STATUS.to_kubernetes()
    assert stored["metadata"]["generation"] == 1


def test_the_columns_tell_the_state_of_a_fleet(defined: Cluster, namespace: str) -> None:
    _create(defined, namespace, labels.FLEET_KIND, labels.FLEET_PLURAL)
    defined.api.merge(f"{_fleet(namespace)}/status", {"status": STATUS.to_kubernetes()})
    header, row = defined.kubectl("get", "hd", "chat", "--namespace", namespace).splitlines()
    assert header.split() == ["NAME", "READY", "LARGE", "SMALL", "$/H", "REASON", "AGE"]
    assert row.split()[:-1] == ["chat", "True", "1/2", "4/4", "70.40", "AllReady"]
    header, row = defined.kubectl("get", "hetdep", "chat", "--namespace", namespace, "-o", "wide").splitlines()
    assert header.split()[6:] == ["RATIO", "MODE", "ENDPOINT", "MODEL", "AGE"]
    assert row.split()[6:10] == [
        "4",
        "Enforce",
        "http://chat-router.default.svc:8080/v1",
        "hf://Qwen/Qwen3-235B-A22B-Instruct-2507-FP8",
    ]


def test_kubectl_can_wait_for_a_fleet(defined: Cluster, namespace: str) -> None:
    _create(defined, namespace, labels.FLEET_KIND, labels.FLEET_PLURAL)
    defined.api.merge(f"{_fleet(namespace)}/status", {"status": STATUS.to_kubernetes()})
    said = defined.kubectl("wait", "hd/chat", "--for=condition=Ready", "--namespace", namespace, "--timeout=5s")
    assert said.strip().endswith("condition met")


def test_fleets_stand_among_all_and_ai(defined: Cluster, namespace: str) -> None:
    _create(defined, namespace, labels.FLEET_KIND, labels.FLEET_PLURAL)
    for category in ("all", "ai"):
        listed = defined.kubectl("get", category, "--namespace", namespace, "-o", "name")
        assert "heterogeneousdeployment.heterofleet.io/chat" in listed.splitlines()


def test_kubectl_scales_one_tier(defined: Cluster, namespace: str) -> None:
    _create(defined, namespace, labels.TIER_KIND, labels.TIER_PLURAL)
    defined.kubectl("scale", "ht/chat-large", "--replicas=3", "--namespace", namespace)
    address = f"/apis/{labels.API_VERSION}/namespaces/{namespace}/{labels.TIER_PLURAL}/chat-large"
    assert defined.api.get(address)["spec"] == {"tier": "large", "instances": 3}
    selector = "heterofleet.io/fleet=chat,heterofleet.io/tier=large"
    defined.api.merge(f"{address}/status", {"status": {"instances": 2, "ready": 1, "selector": selector}})
    scale = defined.api.get(f"{address}/scale")
    assert (scale["spec"], scale["status"]) == ({"replicas": 3}, {"replicas": 2, "selector": selector})


def test_a_null_is_as_good_as_nothing(defined: Cluster, namespace: str) -> None:
    body = {**SMALLEST[labels.FLEET_KIND], "spec": {**SMALLEST[labels.FLEET_KIND]["spec"], "scaling": None}}
    stored = defined.api.create(_fleet(namespace).removesuffix("/chat"), body)
    assert stored["spec"]["scaling"]["overrideSeconds"] == 3600


def test_kubectl_explains_a_field(defined: Cluster) -> None:
    said = defined.kubectl("explain", "hd.spec.large.parallelism.tensor")
    assert "GPUs over which each layer is cut." in said
