"""The data centre on loopback: what runs in the cluster answers at its pod's address, and nothing else does."""

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from testbed.controlplane import Cluster
from testbed.datacentre import DataCentre
from testbed.eventually import eventually


def pod(name: str, component: str, **labels: str) -> dict[str, Any]:
    arguments = ["vllm", "serve", "{model}", "--served-model-name", "own", "other", "--port", "8000"]
    container = {"name": "engine", "image": "played", "args": arguments}
    own = {"heterofleet.io/fleet": "chat", "heterofleet.io/component": component, **labels}
    metadata = {"name": name, "labels": own}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


def get(address: str, path: str) -> str | None:
    """The answer, None where nobody listens."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
            return text
    except urllib.error.URLError:
        return None


@pytest.fixture
def centre(loopback_cluster: Cluster, loopback_namespace: str) -> Iterator[DataCentre]:
    with DataCentre(loopback_cluster.api, loopback_namespace) as opened:
        yield opened


def create(cluster: Cluster, namespace: str, body: dict[str, Any]) -> str:
    """The address of a pod of this kind, once it runs."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    cluster.api.create(path, body)
    return eventually(lambda: str(cluster.api.get(f"{path}/{body['metadata']['name']}")["status"].get("podIP", "")))


def test_an_engine_answers_at_its_pod_s_address_while_the_pod_is_there(loopback_cluster, loopback_namespace, centre):
    address = create(loopback_cluster, loopback_namespace, pod("small-0", "engine"))
    engine = centre.engine("small-0")
    engine.state.running = 3
    assert 'vllm:num_requests_running{engine="0",model_name="own"} 3\n' in (get(f"{address}:8000", "/metrics") or "")
    models = json.loads(get(f"{address}:8000", "/v1/models") or "{}")
    assert [model["id"] for model in models["data"]] == ["own", "other"]
    loopback_cluster.api.delete(f"/api/v1/namespaces/{loopback_namespace}/pods/small-0")
    eventually(lambda: get(f"{address}:8000", "/health") is None)
    assert centre.engines() == {}


def test_a_worker_takes_no_requests_and_its_group_agrees_until_one_restarts_alone(
    loopback_cluster, loopback_namespace, centre
):
    place = {"heterofleet.io/instance": "0"}
    leader, worker = (
        create(
            loopback_cluster,
            loopback_namespace,
            pod(f"large-0-{index}", "engine", **place, **{"apps.kubernetes.io/pod-index": str(index)}),
        )
        for index in range(2)
    )
    centre.engine("large-0-0")
    agreed = {"agreed": True, "phase": "serving"}
    eventually(lambda: [json.loads(get(f"{a}:8001", "/status") or "{}") for a in (leader, worker)] == [agreed] * 2)
    assert (get(f"{worker}:8000", "/health"), list(centre.engines())) == (None, ["large-0-0"])
    crash = {"metadata": {"annotations": {"testbed.heterofleet.io/crash": "137"}}}
    loopback_cluster.api.merge(f"/api/v1/namespaces/{loopback_namespace}/pods/large-0-1", crash)
    eventually(lambda: json.loads(get(f"{leader}:8001", "/status") or "{}") == {**agreed, "agreed": False})


def test_a_router_applies_the_config_of_its_fleet_and_refuses_what_it_does_not_know(
    loopback_cluster, loopback_namespace, centre
):
    configs = f"/api/v1/namespaces/{loopback_namespace}/configmaps"
    known = json.dumps({"apiVersion": "router.heterofleet.io/v1alpha1"})
    body = {"metadata": {"name": "chat-router"}, "data": {"config.json": known}}
    loopback_cluster.api.create(configs, body)
    address = create(loopback_cluster, loopback_namespace, pod("router-0", "router"))
    router = centre.router("router-0")
    applied = hashlib.sha256(known.encode()).hexdigest()
    expected = {"digest": applied, "rejected": "", "error": "", "versions": ["router.heterofleet.io/v1alpha1"]}
    assert json.loads(get(f"{address}:9090", "/config") or "{}") == expected
    unknown = json.dumps({"apiVersion": "router.heterofleet.io/v9"})
    loopback_cluster.api.merge(f"{configs}/chat-router", {"data": {"config.json": unknown}})
    refused = {
        **expected,
        "rejected": hashlib.sha256(unknown.encode()).hexdigest(),
        "error": "unknown apiVersion router.heterofleet.io/v9",
    }
    assert json.loads(get(f"{address}:9090", "/config") or "{}") == refused
    router.in_flight["127.1.0.9:8000"] = 2
    assert get(f"{address}:9090", "/metrics") == (
        "# TYPE heterofleet_router_in_flight_requests gauge\n"
        'heterofleet_router_in_flight_requests{endpoint="127.1.0.9:8000"} 2\n'
    )
