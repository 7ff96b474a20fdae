"""The operator runs as the user that the chart gives its pod: a number without a name."""

import subprocess
from pathlib import Path

import pytest
import yaml

from heterofleet.api import crd, labels
from testbed.controlplane import Cluster
from testbed.eventually import eventually
from testbed.operatorprocess import OperatorProcess

ROOT = Path(__file__).resolve().parents[2]
UNSHARE = ("unshare", "--user", "--map-user=65532", "--map-group=65532", "true")


def may_unshare() -> bool:
    try:
        return subprocess.run(UNSHARE, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not may_unshare(), reason="this machine lets nobody make a user namespace")
def test_the_operator_needs_no_name_of_its_user(cluster: Cluster, namespace: str) -> None:
    (deployment,) = (
        body
        for body in yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text("utf-8"))
        if body["kind"] == "Deployment"
    )
    user = deployment["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
    cluster.apply(*crd.definitions())
    sample = str(ROOT / "manifests" / "samples" / "minimal.yaml")
    place = f"/apis/{labels.API_VERSION}/namespaces/{namespace}/{labels.FLEET_PLURAL}"
    with OperatorProcess(cluster.kubeconfig, namespaces=[namespace], lease_namespace=namespace, user=user) as operator:
        cluster.kubectl("apply", "--namespace", namespace, "--filename", sample)
        eventually(
            lambda: cluster.api.get(f"{place}/chat").get("status", {}).get("observedGeneration") == 1,
            30,
            lambda: f"the fleet is looked at; the operator's log:\n{operator.tail()}",
        )
        assert operator.runs
        assert operator.errors() == []
