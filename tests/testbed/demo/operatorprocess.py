"""Runs the operator that the chart installed: its own ServiceAccount and environment, as a process on this machine.

The test bed's nodes play pods and run no container, so the process stands in for the container of the chart's pod.
It has the rights of the chart's ServiceAccount and nothing more.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from testbed import ports
from testbed.controlplane import Cluster

NAMESPACE = "heterofleet-system"
ACCOUNT = "heterofleet-operator"


class OperatorProcess:
    """One operator, from `start` to `stop`; its log lies in `log`."""

    def __init__(self, cluster: Cluster, folder: Path, **settings: str) -> None:
        self._folder = folder
        self._cluster = cluster
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder / "operator.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it with the environment of the chart's Deployment."""
        kubeconfig = self._cluster.service_account_kubeconfig(NAMESPACE, ACCOUNT, self._folder / "operator.kubeconfig")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HETEROFLEET_")},
            **self._charted(),
            "KUBECONFIG": str(kubeconfig),
            "POD_NAMESPACE": NAMESPACE,
            "HETEROFLEET_METRICS_PORT": str(ports.free(1)[0]),
            **self._settings,
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "heterofleet.control.entry"], env=environment, stdout=log, stderr=log
            )

    def stop(self, *, kill: bool = False) -> None:
        """End it, gracefully or as a lost node would."""
        if self._process is None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.wait(timeout=40)
        self._process = None

    def _charted(self) -> dict[str, str]:
        """The environment that the chart gives its container, but for what comes from the pod's own fields."""
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{ACCOUNT}"
        deployment: dict[str, Any] = self._cluster.api.get(path)
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
