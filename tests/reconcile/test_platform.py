"""What the cluster brings or takes away around a fleet: optional APIs, admission that changes what is applied."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from heterofleet.api import labels
from heterofleet.metrics.scrape import RouterAnswer
from reconcile.operator import Operator
from reconcile.site import Site
from testbed.api import ApiError
from testbed.eventually import eventually

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"


def definition(kind: str, plural: str) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.monitoring.coreos.com"},
        "spec": {"group": "monitoring.coreos.com", "scope": "Namespaced", "names": names, "versions": [version]},
    }


@pytest.fixture
def prometheus_operator(site: Site) -> Iterator[list[dict[str, Any]]]:
    """The definitions of the Prometheus operator, to be created by the test; gone afterwards."""
    definitions = [definition("PodMonitor", "podmonitors"), definition("PrometheusRule", "prometheusrules")]
    yield definitions
    for made in definitions:
        site.cluster.api.delete(f"{CRDS}/{made['metadata']['name']}")
    eventually(lambda: not [d for d in definitions if site.cluster.api.find(f"{CRDS}/{d['metadata']['name']}")])


def test_monitors_are_made_when_their_api_comes_later_and_its_going_breaks_nothing(
    ready, operator: Operator, prometheus_operator
):
    site: Site = ready()
    for made in prometheus_operator:
        site.cluster.api.create(CRDS, made)
    group = "monitoring.coreos.com/v1"

    def are_made() -> bool:
        try:
            return all(
                site.cluster.api.items(site.path(plural, group=group)) for plural in ("podmonitors", "prometheusrules")
            )
        except ApiError:
            return False

    eventually(are_made)
    operator.settle()
    for made in prometheus_operator:
        site.cluster.api.delete(f"{CRDS}/{made['metadata']['name']}")
    site.edit(small={"instances": {"max": 2}})
    site.wait_ready()
    operator.settle()

    def has_heard() -> bool:
        """Once a minute it asks what is served; a loaded API server goes on for a while to name what has gone."""
        before = len(operator.meter.failures)
        operator.advance(60)
        operator.settle()
        return len(operator.meter.failures) == before

    eventually(has_heard, 60, "it has heard that the API is gone")


@pytest.fixture
def mutating_admission(site: Site) -> Iterator[None]:
    """Somebody's policy sets a field of our Services in this namespace."""
    policy = {
        "metadata": {"name": site.namespace},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": site.namespace}},
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": ["services"],
                    }
                ],
            },
            "matchConditions": [{"name": "small", "expression": "object.metadata.name == 'chat-small'"}],
            "reinvocationPolicy": "Never",
            "mutations": [
                {
                    "patchType": "JSONPatch",
                    "jsonPatch": {
                        "expression": '[JSONPatch{op: "replace", path: "/spec/ports/0/name", value: "theirs"}]'
                    },
                }
            ],
        },
    }
    binding = {"metadata": {"name": site.namespace}, "spec": {"policyName": site.namespace}}
    try:
        site.cluster.api.create(f"{ADMISSION}/mutatingadmissionpolicies", policy)
    except ApiError as exc:
        if exc.status == 404:
            pytest.skip("this Kubernetes has no MutatingAdmissionPolicy")
        raise
    site.cluster.api.create(f"{ADMISSION}/mutatingadmissionpolicybindings", binding)
    yield
    site.cluster.api.delete(f"{ADMISSION}/mutatingadmissionpolicybindings/{site.namespace}")
    site.cluster.api.delete(f"{ADMISSION}/mutatingadmissionpolicies/{site.namespace}")


@pytest.mark.usefixtures("mutating_admission")
def test_what_admission_changes_is_reported_once_and_not_fought_over(site: Site, operator: Operator):
    mutated(site)
    site.add_nodes(3)
    site.create()
    message = site.wait("Degraded", "True", "MutatedByAdmission")
    assert "chat-small" in message
    site.wait("Ready")
    operator.settle()
    operator.writes()
    for _ in range(3):
        operator.advance(60)
        operator.settle()
    assert operator.writes() == []
    operator.restart()
    operator.settle()
    assert len(operator.writes()) <= 1, "a new process asks once, and no more"
    operator.advance(60)
    operator.settle()
    assert operator.writes() == []
    assert site.condition("Degraded")[:2] == ("True", "MutatedByAdmission")


def mutated(site: Site) -> None:
    """Wait until the policy is in force: the API server takes a moment to see it."""
    probe = {"metadata": {"name": "chat-small"}, "spec": {"ports": [{"port": 80, "name": "ours"}]}}

    def is_in_force() -> bool:
        made = site.cluster.api.create(site.path("services"), probe)
        site.cluster.api.delete(site.path("services", "chat-small"))
        name: str = made["spec"]["ports"][0]["name"]
        return name == "theirs"

    eventually(is_in_force)


def test_a_router_that_is_behind_is_waited_for_and_one_that_refuses_its_config_is_quoted(ready, operator: Operator):
    site: Site = ready()
    router = site.pods(f"{labels.COMPONENT}=router")[0]["metadata"]["name"]
    config = site.get("configmaps", "chat-router")["data"]["config.json"]
    digest = hashlib.sha256(config.encode()).hexdigest()
    operator.engines.digests[router] = RouterAnswer(digest="an-older-one")
    operator.restart()
    assert router in site.wait("RouterConfigured", "False", "ConfigPending")
    operator.engines.digests[router] = RouterAnswer(digest="an-older-one", rejected=digest, error="unknown apiVersion")
    operator.advance(60)
    assert "unknown apiVersion" in site.wait("RouterConfigured", "False", "ConfigRejected")
    operator.engines.digests[router] = None
    operator.advance(60)
    site.wait("RouterConfigured", "False", "ConfigPending")
    del operator.engines.digests[router]
    operator.advance(60)
    site.wait("RouterConfigured", "True", "Configured")


def test_a_fleet_whose_nodes_may_not_be_read_is_told_which_rule_to_add(site: Site, tmp_path):
    namespace = site.namespace
    site.cluster.kubectl("create", "serviceaccount", "blind", "-n", namespace)
    site.cluster.kubectl(
        "create", "rolebinding", "blind", "-n", namespace, "--clusterrole=cluster-admin",
        f"--serviceaccount={namespace}:blind",
    )  # fmt: skip
    kubeconfig = site.cluster.service_account_kubeconfig(namespace, "blind", tmp_path / "kubeconfig")
    with Operator(kubeconfig, [namespace]):
        site.create()
        assert "list and watch on nodes" in site.wait("Accepted", "False", "NodesNotReadable")
        placement = {"capacity": "Elastic"}
        site.edit(large={"placement": placement}, small={"placement": placement})
        site.wait("Accepted", "True")
        site.eventually(lambda: len(site.large_pods()) == 2)
    assert labels.FLEET in site.large_pods()[0]["metadata"]["labels"]
