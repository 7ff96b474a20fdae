"""A fleet's pods before the Pod Security admission of a real API server, and what people are told of those it refuses.

The operator makes pods as itself but in its author's namespace, so what the namespace forbids it forbids to a fleet,
too: `podTemplate` is no way around.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.test_desired_objects import define
from heterofleet.control import unmade
from reconcile.operator import Operator
from reconcile.site import Site
from testbed.controlplane import Cluster
from testbed.namespaces import create_namespace

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "install.md").read_text("utf-8")
NOTHING = {"instances": {"min": 0}}

ESCALATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "hostnetwork": (
        {"hostNetwork": True},
        'host namespaces (hostNetwork=true), hostPort (container "engine" ',
    ),
    "hostpid": ({"hostPID": True}, "host namespaces (hostPID=true)"),
    "hostpath": (
        {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]},
        'hostPath volumes (volume "host")',
    ),
    "privileged": (
        {"containers": [{"name": "engine", "securityContext": {"privileged": True, "allowPrivilegeEscalation": True}}]},
        'privileged (container "engine" must not set securityContext.privileged=true)',
    ),
    "capabilities": (
        {"containers": [{"name": "engine", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]},
        'non-default capabilities (container "engine" must not include "SYS_ADMIN"',
    ),
    "unconfined": (
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
        'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
    ),
}
"""A fleet's name, what its podTemplate asks for, and why the namespace refuses."""


@pytest.fixture
def site(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A namespace that enforces the standard of the test, with nodes of its own."""
    define(cluster)
    place = Site(cluster, f"test-{secrets.token_hex(4)}")
    create_namespace(cluster.api, place.namespace)
    enforced = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": request.param}}}
    cluster.api.merge(f"/api/v1/namespaces/{place.namespace}", enforced)
    place.add_nodes(3)
    yield place
    cluster.api.delete(f"/api/v1/namespaces/{place.namespace}")
    place.remove_nodes(*place.machines)


@pytest.fixture(autouse=True)
def operator(site: Site) -> Iterator[Operator]:
    with Operator(site.cluster.kubeconfig, [site.namespace]) as running:
        yield running


def as_the_guide_says() -> dict[str, Any]:
    """The podTemplate of docs/install.md for namespaces that are restricted."""
    (line,) = (line.strip() for line in GUIDE.splitlines() if line.strip().startswith("podTemplate:"))
    found: dict[str, Any] = yaml.safe_load(line)
    return found


@pytest.mark.parametrize("site", ["restricted"], indirect=True)
def test_routers_are_restricted_and_so_are_engines_that_name_their_user(site: Site) -> None:
    site.create()
    site.eventually(lambda: site.condition("RouterReady")[0] == "True")
    small = site.wait("SmallTierReady", "False", "PodsRefused")
    assert 'violates PodSecurity "restricted:latest": runAsNonRoot != true (pod or container "engine" must' in small
    assert site.small_pods() == site.large_pods() == []
    named = as_the_guide_says()
    site.edit(large=named, small=named)
    site.wait_ready(within=60)
    assert site.condition("Degraded")[:2] == ("False", "Healthy")


@pytest.mark.parametrize("site", ["restricted"], indirect=True)
def test_a_group_whose_pods_are_refused_says_so_and_where_the_words_are(site: Site, operator: Operator) -> None:
    site.create(small=NOTHING, router=NOTHING)
    site.wait("LargeTierReady", "False", "Starting")
    site.eventually(lambda: site.get("statefulsets", "chat-large-0").get("status", {}).get("observedGeneration") == 1)
    operator.advance(unmade.MAKING_SECONDS + 1)
    message = site.wait("LargeTierReady", "False", "PodsRefused")
    assert message == (
        "0 of 1 large instances are ready: chat-large-0 has 0 of 2 pods, Kubernetes refuses to make the others:"
        f" `kubectl describe statefulset chat-large-0 -n {site.namespace}` says why"
    )
    told = site.cluster.kubectl("describe", "statefulset", "chat-large-0", "-n", site.namespace)
    assert "violates PodSecurity" in told


@pytest.mark.parametrize("site", ["baseline"], indirect=True)
def test_engines_are_baseline_as_they_are(site: Site) -> None:
    site.create()
    site.wait_ready()


@pytest.mark.parametrize("site", ["baseline"], indirect=True)
def test_what_a_namespace_forbids_its_authors_it_forbids_their_fleets(site: Site) -> None:
    for name, (spec, _) in ESCALATIONS.items():
        site.create(name, large=NOTHING, router=NOTHING, small={"podTemplate": {"spec": spec}})
    for name, (_, why) in ESCALATIONS.items():
        sentence = site.wait("Degraded", "True", "PodsRefused", name=name)
        assert f'is forbidden: violates PodSecurity "baseline:latest": {why}' in sentence
    assert site.pods() == []
