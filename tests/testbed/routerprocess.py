"""Runs real routers as processes at the addresses of a cluster's router pods, with the rights of the pods' account.

A played pod runs no container, so the process stands in for it: it listens at the pod's address, watches the API server
as the fleet's router ServiceAccount and ends with the pod.
"""

import asyncio
import base64
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from testbed.controlplane import Cluster

_SOURCES: Final = Path(__file__).parents[2] / "operator"
STOP_SECONDS: Final = 10.0
_MOUNTS: Final = {
    "/etc/heterofleet/engine-keys": "engine-keys",
    "/etc/heterofleet/keys": "keys",
    "/etc/heterofleet/store": "store-password",
}
"""Where a router's Secrets are mounted, and the option that names another place."""

Manifest = dict[str, Any]


class Routers:
    """Starts routers; their logs and access logs lie in `folder`, by pod."""

    def __init__(self, cluster: Cluster, folder: Path, *, linger_seconds: float = 0.2) -> None:
        self._cluster = cluster
        self._linger_seconds = linger_seconds
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def access_log(self, pod: str) -> Path:
        return self.folder / f"{pod}.access.jsonl"

    async def start(self, pod: Manifest) -> asyncio.subprocess.Process:
        """The router of a pod that runs."""
        metadata, address = pod["metadata"], pod["status"]["podIP"]
        namespace, fleet = metadata["namespace"], metadata["labels"]["heterofleet.io/fleet"]
        account = pod["spec"].get("serviceAccountName", f"{fleet}-router")
        kubeconfig = self.folder / f"{namespace}-{account}.kubeconfig"
        if not kubeconfig.exists():
            await asyncio.to_thread(self._cluster.service_account_kubeconfig, namespace, account, kubeconfig)
        name = metadata["name"]
        mounted = await asyncio.to_thread(self._mount, pod)
        arguments = {
            "namespace": namespace,
            "fleet": fleet,
            "host": address,
            "metrics-host": address,
            "access-log": str(self.access_log(name)),
            "log-format": "text",
            "linger-seconds": str(self._linger_seconds),
            "drain-seconds": "5",
            **mounted,
        }
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment |= {"KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(_SOURCES)}
        with (self.folder / f"{name}.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "heterofleet.router.entry",
                *(f"--{option}={value}" for option, value in arguments.items()),
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _mount(self, pod: Manifest) -> dict[str, str]:
        """The pod's Secrets as files, where the kubelet would have mounted them, and the arguments that name them."""
        metadata, spec = pod["metadata"], pod["spec"]
        secrets = {v["name"]: v["secret"]["secretName"] for v in spec.get("volumes", ()) if "secret" in v}
        arguments: dict[str, str] = {}
        for mount in spec["containers"][0].get("volumeMounts", ()):
            option = _MOUNTS.get(mount["mountPath"])
            if option is None or mount["name"] not in secrets:
                continue
            folder = self.folder / metadata["name"] / option
            folder.mkdir(parents=True, exist_ok=True)
            path = f"/api/v1/namespaces/{metadata['namespace']}/secrets/{secrets[mount['name']]}"
            for name, encoded in self._cluster.api.get(path).get("data", {}).items():
                (folder / name).write_bytes(base64.b64decode(encoded))
            arguments[option] = str(folder)
        return arguments


async def stop(process: asyncio.subprocess.Process) -> None:
    """Ends a router as the kubelet does, and harder when it takes too long."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
