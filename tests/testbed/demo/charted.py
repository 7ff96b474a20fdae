"""The operator as the chart installed it: its environment and its ServiceAccount, as a process on this machine.

The test bed's nodes play pods and run no container, so the process stands in for the container of the chart's pod.
It has the rights of the chart's ServiceAccount and nothing more.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testbed.controlplane import Cluster
from testbed.operatorprocess import OperatorProcess

NAMESPACE = "heterofleet-system"
ACCOUNT = "heterofleet-operator"


def operator(cluster: Cluster, folder: Path, more: Mapping[str, str]) -> OperatorProcess:
    """The operator, not yet started; `more` is what the test bed adds to the chart's environment."""
    kubeconfig = cluster.service_account_kubeconfig(NAMESPACE, ACCOUNT, folder / "operator.kubeconfig")
    return OperatorProcess(
        kubeconfig,
        lease_namespace=NAMESPACE,
        lease_name=ACCOUNT,
        environment={**_environment(cluster), **more},
        folder=folder,
    )


def _environment(cluster: Cluster) -> dict[str, str]:
    """What the chart gives its container, but for what comes from the pod's own fields and the port."""
    deployment: dict[str, Any] = cluster.api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{ACCOUNT}")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    stated = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
    return {name: value for name, value in stated.items() if name != "HETEROFLEET_METRICS_PORT"}
