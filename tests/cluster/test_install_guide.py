"""What docs/install.md tells people to type and to apply, tried on a real API server."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from heterofleet.api import labels
from testbed.api import ApiError
from testbed.controlplane import Cluster
from testbed.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "install.md").read_text("utf-8")


def test_the_ingress_of_the_guide_is_admitted(cluster: Cluster, namespace: str) -> None:
    blocks = [yaml.safe_load(part.partition("```")[0]) for part in GUIDE.split("```yaml\n")[1:]]
    assert [block["kind"] for block in blocks] == ["HTTPRoute", "Gateway", "Ingress"]
    (route, gateway, ingress) = blocks
    cluster.apply(ingress, namespace=namespace)
    stored = cluster.api.get(f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/chat")
    assert stored["spec"] == ingress["spec"]
    address = {"name": "chat-router", "port": 8080}
    assert route["spec"]["rules"][0]["backendRefs"] == [address]
    assert route["spec"]["parentRefs"][0]["sectionName"] == gateway["spec"]["listeners"][0]["name"]


def test_engines_meet_the_restricted_standard_as_the_guide_says(cluster: Cluster, namespace: str) -> None:
    (line,) = (line.strip() for line in GUIDE.splitlines() if line.strip().startswith("podTemplate:"))
    fleet = yaml.safe_load((ROOT / "manifests" / "samples" / "minimal.yaml").read_text("utf-8"))
    plain = engine_pod(fleet)
    fleet["spec"]["large"] |= yaml.safe_load(line)
    enforce = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    cluster.api.merge(f"/api/v1/namespaces/{namespace}", enforce)
    with pytest.raises(ApiError, match="violates PodSecurity"):
        cluster.api.create(f"/api/v1/namespaces/{namespace}/pods", plain, dryRun="All")
    cluster.api.create(f"/api/v1/namespaces/{namespace}/pods", engine_pod(fleet), dryRun="All")


def engine_pod(fleet: dict[str, Any]) -> dict[str, Any]:
    """A pod of the large tier, as the operator would make it."""
    command = [
        sys.executable,
        "-c",
        "from heterofleet.cli.main import main; main()",
        "render",
        "-",
        "--kind",
        "StatefulSet",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "operator")}
    done = subprocess.run(
        command, input=yaml.safe_dump(fleet), env=environment, capture_output=True, text=True, check=True
    )
    (group,) = yaml.safe_load_all(done.stdout)
    spec = group["spec"]["template"]["spec"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec}


def test_what_the_guide_says_of_uninstalling_leaves_fleets_and_nothing_else() -> None:
    """The commands without Helm, against everything that install.yaml made."""
    with Cluster.start(nodes=1) as fresh:
        fresh.kubectl("apply", "--server-side", "--filename", str(ROOT / "manifests" / "install.yaml"))
        fresh.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        fresh.kubectl("apply", "--filename", str(ROOT / "manifests" / "samples" / "minimal.yaml"))
        guide = GUIDE.partition("Without Helm:\n\n")[2]
        commands = [line.split()[1:] for line in guide.partition("\n\n")[0].splitlines()]
        assert len(commands) == 2
        for command in commands:
            fresh.kubectl(*command, "--wait=false")
        ours = "app.kubernetes.io/instance=heterofleet"
        left = fresh.kubectl("get", "clusterrole,clusterrolebinding", "--selector", ours, "--output", "name")
        assert left == ""
        eventually(lambda: fresh.api.find("/api/v1/namespaces/heterofleet-system") is None, 60, "the namespace is gone")
        fleet = f"/apis/{labels.API_VERSION}/namespaces/default/{labels.FLEET_PLURAL}/chat"
        assert fresh.api.get(fleet)["metadata"]["name"] == "chat"
