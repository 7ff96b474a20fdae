"""The operator's rights: what the chart grants is what the operator uses, seen in the API server's audit log.

One operator with nothing but its ServiceAccount's rights lives through what makes it act: fleets come, roll, shrink,
fail and lack GPUs; then the verbs that were answered are compared with those that were granted. One right leaves no
trace of its own in the log, because the server asks for it while it answers another request: it is taken away, and
what fails is named. A router has four rights: each is taken away, and the router says which it misses.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconcile.operator import Operator
from reconcile.site import Site
from testbed.api import Api
from testbed.audit import AuditLog, Write
from testbed.controlplane import Cluster
from testbed.datacentre import DataCentre
from testbed.namespaces import create_namespace
from testbed.operatorprocess import OperatorProcess

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "heterofleet-system"
NAME = "heterofleet-operator"
USER = f"system:serviceaccount:{SYSTEM}:{NAME}"
ROLES = "/apis/rbac.authorization.k8s.io/v1"
POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "users": [USER]}, {"level": "None"}],
}

AUTOSCALED = {"instances": {"min": 2, "max": 3}, "resources": {"requests": {"cpu": "10m"}}}

Right = tuple[str, str, str]
"""Group, resource and verb."""
UNLOGGED: dict[Right, str] = {
    ("heterofleet.io", "heterogeneousdeployments/finalizers", "update"): "cannot set blockOwnerDeletion",
}
"""What the server asks for on the way, and its sentence without it."""


def rights(rules: list[dict[str, Any]]) -> set[Right]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def without(rules: list[dict[str, Any]], right: Right) -> list[dict[str, Any]]:
    """The rules without one verb on one resource."""
    split = [
        {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
        for group, resource, verb in sorted(rights(rules) - {right})
    ]
    assert len(split) == len(rights(rules)) - 1
    return split


def used(writes: list[Write]) -> set[Right]:
    """What was asked and allowed; a patch that made its object needs `create` as well."""
    allowed = [write for write in writes if write.resource and write.code != 403]
    made = [write for write in allowed if write.verb == "patch" and write.code == 201]
    return {(write.group, write.resource, write.verb) for write in allowed} | {
        (write.group, write.resource, "create") for write in made
    }


def refused(writes: list[Write]) -> set[Right]:
    return {(write.group, write.resource, write.verb) for write in writes if write.code == 403}


def definition(kind: str, plural: str) -> dict[str, Any]:
    """A kind of the Prometheus operator, as far as applying its objects goes."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.monitoring.coreos.com"},
        "spec": {"group": "monitoring.coreos.com", "scope": "Namespaced", "names": names, "versions": [version]},
    }


@pytest.fixture(scope="module")
def strict_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane that serves all optional kinds, checks blocking owners and logs all that the operator does."""
    policy = tmp_path_factory.mktemp("audit") / "policy.yaml"
    policy.write_text(yaml.safe_dump(POLICY))
    arguments = {
        "audit-policy-file": str(policy),
        "enable-admission-plugins": "OwnerReferencesPermissionEnforcement",
    }
    with Cluster.start(nodes=0, gang=True, loopback_pods=True, audit=True, apiserver=arguments) as started:
        started.apply(definition("PodMonitor", "podmonitors"), definition("PrometheusRule", "prometheusrules"))
        for manifest in yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text("utf-8")):
            if manifest["kind"] != "Deployment":
                started.apply(manifest)
        yield started


@pytest.fixture
def site(strict_cluster: Cluster) -> Iterator[Site]:
    place = Site(strict_cluster, f"test-{secrets.token_hex(4)}")
    create_namespace(strict_cluster.api, place.namespace)
    yield place
    strict_cluster.api.delete(f"/api/v1/namespaces/{place.namespace}")
    place.remove_nodes(*place.machines)


@pytest.fixture
def kubeconfig(strict_cluster: Cluster, tmp_path: Path) -> Path:
    return strict_cluster.service_account_kubeconfig(SYSTEM, NAME, tmp_path / "kubeconfig")


def granted(api: Api) -> set[Right]:
    """All that the chart's roles allow."""
    return rights(api.get(f"{ROLES}/clusterroles/{NAME}")["rules"]) | rights(
        api.get(f"{ROLES}/namespaces/{SYSTEM}/roles/{NAME}-election")["rules"]
    )


def provide_claim(site: Site, name: str) -> None:
    """A bound claim that several pods may mount."""
    shared = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {
        **shared,
        "capacity": {"storage": "1Gi"},
        "hostPath": {"path": "/models"},
        "claimRef": {"namespace": site.namespace, "name": name},
    }
    site.cluster.api.create("/api/v1/persistentvolumes", {"metadata": {"name": site.namespace}, "spec": volume})
    claim = {**shared, "volumeName": site.namespace, "resources": {"requests": {"storage": "1Gi"}}}
    site.cluster.api.create(site.path("persistentvolumeclaims"), {"metadata": {"name": name}, "spec": claim})


def leave_behind(site: Site, name: str) -> None:
    """What an older operator made and nothing names any more."""
    newest = next(found for found in site.items("configmaps") if "supervisor" in found["metadata"]["name"])
    kept = {key: newest["metadata"][key] for key in ("labels", "ownerReferences")}
    site.cluster.api.create(site.path("configmaps"), {"metadata": {"name": name, **kept}})


def live_through_all(site: Site, kubeconfig: Path) -> None:
    """Whatever makes the operator act, on one fleet."""
    provide_claim(site, "models")
    site.add_nodes(6)
    cached = {"storage": {"cache": {"persistentVolumeClaim": {"claimName": "models"}}}}
    quick = {"lifecycle": {"drainTimeoutSeconds": 1}}
    site.create(large={**quick, **cached}, small=quick)
    with OperatorProcess(kubeconfig, lease_namespace=SYSTEM):
        site.wait_ready()
        site.edit(large={"instances": {"min": 2}}, small={"engine": {"maxNumSeqs": 32}}, router=AUTOSCALED)
        site.wait_ready(within=60)
        site.edit(
            large={"instances": {"min": 1}},
            monitoring={"podMonitor": False, "prometheusRule": False},
            router={"instances": {"max": None}},
        )
        site.wait_ready(within=60)
        leave_behind(site, "chat-supervisor-older")
        site.edit(large={"instances": {"min": 5}})
        site.eventually(lambda: "chat-supervisor-older" not in site.names("configmaps"), 30, "it is pruned")
        site.wait("LargeTierReady", "False", within=60)
    with OperatorProcess(kubeconfig, lease_namespace=SYSTEM):
        site.edit(large={"instances": {"min": 1}})
        site.wait_ready(within=60)


def test_every_right_of_the_operator_is_used_and_none_is_lacking(
    strict_cluster: Cluster, site: Site, kubeconfig: Path
) -> None:
    log = AuditLog(strict_cluster.audit_log)
    with DataCentre(strict_cluster.api, site.namespace):
        live_through_all(site, kubeconfig)
        restart_a_group(site, kubeconfig)
    writes = log.new(USER)
    assert refused(writes) == set()
    assert granted(strict_cluster.api) - used(writes) == set(UNLOGGED)


def restart_a_group(site: Site, kubeconfig: Path) -> None:
    """Its ranks do not agree after one of them ended, so the operator deletes its pods."""
    with Operator(kubeconfig, [site.namespace]) as operator:
        operator.engines.agreed = False
        before = {pod["metadata"]["uid"] for pod in site.large_pods()}
        site.mark(site.large_pods()[0]["metadata"]["name"], crash="137", ready="false")

        def gone() -> bool:
            operator.advance(30)
            return not before & {pod["metadata"]["uid"] for pod in site.large_pods()}

        site.eventually(gone, 60, "the group restarts whole")


@pytest.mark.parametrize("right", UNLOGGED, ids=lambda right: f"{right[2]} {right[1]}")
def test_a_right_that_leaves_no_trace_is_needed_too(
    strict_cluster: Cluster, site: Site, kubeconfig: Path, right: Right
) -> None:
    api, path = strict_cluster.api, f"{ROLES}/clusterroles/{NAME}"
    rules = api.get(path)["rules"]
    api.merge(path, {"rules": without(rules, right)})
    try:
        site.add_nodes(2)
        site.create()
        with OperatorProcess(kubeconfig, lease_namespace=SYSTEM):
            site.wait("Degraded", reason="ApplyFailed")
            assert UNLOGGED[right] in site.condition("Degraded")[2]
    finally:
        api.merge(path, {"rules": rules})
