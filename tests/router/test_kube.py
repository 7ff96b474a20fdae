"""What a router makes of its fleet's pods."""

import pytest

from heterofleet.router import kube


def pod(tier: str, ip: str, **conditions: bool):
    found = {"heterofleet.io/component": "engine", "heterofleet.io/tier": tier, "heterofleet.io/instance": ip}
    leader = {"apps.kubernetes.io/pod-index": "0"}
    told = [{"type": kind, "status": str(status)} for kind, status in conditions.items()]
    return {
        "metadata": {"name": ip, "uid": ip, "labels": found | leader},
        "status": {"podIP": ip, "conditions": told},
    }


def ready(*pods) -> list[str]:
    return [seen.address.host for seen in kube.sightings(pods) if seen.ready]


def test_a_pod_takes_requests_while_kubernetes_calls_it_ready():
    first = pod("large", "10.0.0.1", Ready=True, ContainersReady=True)
    assert ready(first, pod("small", "10.0.0.2", Ready=False, ContainersReady=False)) == ["10.0.0.1"]


def test_a_pod_of_a_lost_node_takes_none_while_any_other_pod_is_ready():
    lost = pod("large", "10.0.0.1", Ready=False, ContainersReady=True)
    assert ready(lost, pod("small", "10.0.0.2", Ready=True, ContainersReady=True)) == ["10.0.0.2"]


def test_where_every_node_is_called_lost_pods_are_taken_for_what_their_kubelets_said_last():
    pods = [
        pod("large", "10.0.0.1", Ready=False, ContainersReady=True),
        pod("small", "10.0.0.2", Ready=False, ContainersReady=True),
        pod("small", "10.0.0.3", Ready=False, ContainersReady=False),
    ]
    assert ready(*pods) == ["10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize("leaves", ["deletionTimestamp", "state"])
def test_what_leaves_drains_also_then(leaves: str):
    lost = pod("small", "10.0.0.1", Ready=False, ContainersReady=True)
    if leaves == "state":
        lost["metadata"]["labels"]["heterofleet.io/state"] = "draining"
    else:
        lost["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert [seen.draining for seen in kube.sightings([lost])] == [True]
