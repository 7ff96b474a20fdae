"""The API server takes every object that is rendered, stores what it says, and its controllers make pods of it."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from golden import render
from golden.render import Case
from heterofleet import generate
from heterofleet.api import crd, labels
from heterofleet.cluster.comparison import covers
from testbed import namespaces
from testbed.api import ApiError
from testbed.controlplane import Cluster
from testbed.eventually import eventually

Manifest = dict[str, Any]

OURS = {labels.TIER_KIND: labels.TIER_PLURAL, labels.FLEET_KIND: labels.FLEET_PLURAL}
PLURALS = {"NetworkPolicy": "networkpolicies", **OURS}
OPTIONAL = {"PodMonitor", "PrometheusRule"}
"""Kinds of the Prometheus operator, which the test bed does not serve."""

CASES = {case.name: case for case in render.CASES}


@pytest.fixture(scope="module")
def gang_cluster() -> Iterator[Cluster]:
    """A control plane that serves PodGroups and schedules by them; three nodes hold one group of two and no more."""
    with Cluster.start(nodes=3, gang=True) as started:
        yield started


def define(cluster: Cluster) -> None:
    """Put our definitions there and wait until they are served."""
    for definition in crd.definitions():
        cluster.kubectl("apply", "-f", "-", input=generate.as_yaml(definition))

    def served() -> bool:
        try:
            return all(cluster.api.get(f"/apis/{labels.API_VERSION}/{name}") for name in OURS.values())
        except ApiError:
            return False

    eventually(served, 30, "both definitions are served")


def path(manifest: Manifest) -> str:
    kind, metadata = manifest["kind"], manifest["metadata"]
    group = "/api/v1" if manifest["apiVersion"] == "v1" else f"/apis/{manifest['apiVersion']}"
    plural = PLURALS.get(kind, f"{kind.lower()}s")
    return f"{group}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"


def created(cluster: Cluster, case: Case, namespace: str) -> list[Manifest]:
    """What is rendered for the case's fleet, which is created as a real object in `namespace`."""
    body = yaml.safe_load((render.FOLDER / "fleets" / f"{case.name}.yaml").read_text(encoding="utf-8"))
    body["metadata"] = {"name": body["metadata"]["name"], "namespace": namespace}
    stored = cluster.api.create(path(body).rsplit("/", 1)[0], body)
    return [moved(item, namespace, stored["metadata"]["uid"]) for item in render.golden(render.VERSION, case.name)]


def moved(manifest: Manifest, namespace: str, owner_uid: str) -> Manifest:
    """The golden manifest as it is in another namespace, owned by the fleet there."""
    copied = copy.deepcopy(manifest)
    copied["metadata"]["namespace"] = namespace
    copied["metadata"]["ownerReferences"][0]["uid"] = owner_uid
    for subject in copied.get("subjects", []):
        subject["namespace"] = namespace
    return copied


def applied(cluster: Cluster, manifests: list[Manifest]) -> list[Manifest]:
    return [
        cluster.api.apply(path(item), item, labels.FIELD_MANAGER, force=True)
        for item in manifests
        if item["kind"] not in OPTIONAL
    ]


def ready_pods(cluster: Cluster, namespace: str, tier: str, count: int) -> list[Manifest]:
    def found() -> list[Manifest]:
        selector = f"heterofleet.io/tier={tier}"
        pods = cluster.api.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=selector)
        return [pod for pod in pods if is_ready(pod)]

    def enough() -> list[Manifest]:
        ready = found()
        return ready if len(ready) == count else []

    return eventually(enough, 30, f"{count} pods of the {tier} tier are Ready")


def is_ready(pod: Manifest) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


@pytest.mark.parametrize("name", ["pair", "minimal", "claims", "overlay"])
def test_the_server_stores_what_is_rendered_and_a_second_apply_changes_nothing(
    cluster: Cluster, namespace: str, name: str
) -> None:
    define(cluster)
    desired = created(cluster, CASES[name], namespace)
    wanted = [item for item in desired if item["kind"] not in OPTIONAL]
    # A count that is left to somebody else can only be left out of an object that has one.
    for item in wanted:
        if item["kind"] == labels.TIER_KIND and "instances" not in item["spec"]:
            item["spec"]["instances"] = 1
    first = applied(cluster, wanted)
    assert {path(item): covers(stored, item) for item, stored in zip(wanted, first, strict=True)} == {
        path(item): () for item in wanted
    }
    # Controllers write statuses meanwhile; the generation moves only when what is desired does.
    second = applied(cluster, wanted)
    assert [spoken(item) for item in second] == [spoken(item) for item in first]


def spoken(manifest: Manifest) -> Manifest:
    """What of an object is ours to say."""
    metadata = {key: manifest["metadata"].get(key) for key in ("generation", "labels", "ownerReferences", "uid")}
    return {key: value for key, value in manifest.items() if key != "status"} | {"metadata": metadata}


def test_groups_and_small_pods_come_up_whole(cluster: Cluster, namespace: str) -> None:
    define(cluster)
    applied(cluster, created(cluster, CASES["pair"], namespace))
    groups = ready_pods(cluster, namespace, "large", 8)
    ready_pods(cluster, namespace, "small", 4)
    by_instance = {
        (pod["metadata"]["labels"][labels.INSTANCE], pod["metadata"]["labels"][labels.POD_INDEX]) for pod in groups
    }
    assert by_instance == {(instance, rank) for instance in "01" for rank in "0123"}
    assert len({pod["spec"]["nodeName"] for pod in groups}) == 8


def test_deleting_the_fleet_leaves_nothing(cluster: Cluster, namespace: str) -> None:
    define(cluster)
    desired = created(cluster, CASES["minimal"], namespace)
    applied(cluster, desired)
    ready_pods(cluster, namespace, "large", 1)
    fleet = f"/apis/{labels.API_VERSION}/namespaces/{namespace}/{labels.FLEET_PLURAL}/tiny"
    cluster.api.delete(fleet)
    eventually(
        lambda: not [item for item in desired if cluster.api.find(path(item))],
        60,
        "every child is gone by its owner reference",
    )


def test_a_group_is_placed_whole_or_not_at_all_where_pod_groups_are_served(gang_cluster: Cluster) -> None:
    define(gang_cluster)
    namespaces.create_namespace(gang_cluster.api, "gang")
    gang_cluster.apply(
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "serving"}, "value": 1000}
    )
    desired = created(gang_cluster, CASES["gang"], "gang")
    stored = applied(gang_cluster, desired)
    assert [covers(have, want) for have, want in zip(stored, desired, strict=True)] == [()] * len(desired)
    placed = ready_pods(gang_cluster, "gang", "large", 2)
    assert len({pod["metadata"]["labels"][labels.INSTANCE] for pod in placed}) == 1
    assert len({pod["spec"]["nodeName"] for pod in placed}) == 2


@pytest.mark.parametrize(("standard", "role"), [("restricted", "router"), ("baseline", "small")])
def test_pods_meet_a_pod_security_standard(cluster: Cluster, namespace: str, standard: str, role: str) -> None:
    enforce = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": standard}}}
    cluster.api.merge(f"/api/v1/namespaces/{namespace}", enforce)
    golden = render.golden(render.VERSION, "minimal")
    accounts = [item for item in golden if item["kind"] == "ServiceAccount"]
    cluster.apply(*({**item, "metadata": {"name": item["metadata"]["name"]}} for item in accounts), namespace=namespace)
    template = next(t for name, t in render.stored_templates(golden).items() if name == role)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", **template.body["metadata"]}}
    cluster.api.create(f"/api/v1/namespaces/{namespace}/pods", {**pod, "spec": template.body["spec"]}, dryRun="All")
