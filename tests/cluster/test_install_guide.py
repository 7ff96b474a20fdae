"""What docs/install.md tells people to type and to apply, tried on a real API server."""

from pathlib import Path

import yaml

from heterofleet.api import labels
from testbed.controlplane import Cluster
from testbed.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]


def test_the_ingress_of_the_guide_is_admitted(cluster: Cluster, namespace: str) -> None:
    guide = (ROOT / "docs" / "install.md").read_text("utf-8")
    blocks = [yaml.safe_load(part.partition("```")[0]) for part in guide.split("```yaml\n")[1:]]
    assert [block["kind"] for block in blocks] == ["HTTPRoute", "Gateway", "Ingress"]
    (route, gateway, ingress) = blocks
    cluster.apply(ingress, namespace=namespace)
    stored = cluster.api.get(f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/chat")
    assert stored["spec"] == ingress["spec"]
    address = {"name": "chat-router", "port": 8080}
    assert route["spec"]["rules"][0]["backendRefs"] == [address]
    assert route["spec"]["parentRefs"][0]["sectionName"] == gateway["spec"]["listeners"][0]["name"]


def test_what_the_guide_says_of_uninstalling_leaves_fleets_and_nothing_else() -> None:
    """The commands without Helm, against everything that install.yaml made."""
    with Cluster.start(nodes=1) as fresh:
        fresh.kubectl("apply", "--server-side", "--filename", str(ROOT / "manifests" / "install.yaml"))
        fresh.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        fresh.kubectl("apply", "--filename", str(ROOT / "manifests" / "samples" / "minimal.yaml"))
        guide = (ROOT / "docs" / "install.md").read_text("utf-8").partition("Without Helm:\n\n")[2]
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
