"""Plays GPU machines: nodes that kwok keeps alive, their loss and their return."""

import concurrent.futures
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from testbed import blueprint
from testbed.api import Api, ApiError

Manifest = dict[str, Any]

A100 = "NVIDIA-A100-SXM4-80GB"
_PARALLEL = 8
_NODES = "/api/v1/nodes"


def add_gpu_nodes(
    api: Api,
    count: int,
    *,
    gpus: int = 8,
    product: str = A100,
    prefix: str = "a100",
    labels: Mapping[str, str] | None = None,
    taints: list[Manifest] | None = None,
    per_rack: int = 8,
    first: int = 0,
    pods: int = 110,
    cpu: str = "128",
    memory: str = "2Ti",
) -> list[str]:
    """Create nodes ``<prefix>-<first>`` and on, and return their names; they are Ready a moment later.

    Labels: hostname, GPU product, zone (``zone-a``), rack (``topology.kubernetes.io/rack``, ``per_rack`` nodes in
    each) and what ``labels`` adds or overrides.
    """
    manifests = [
        _manifest(
            f"{prefix}-{index}",
            address=f"172.20.{index // 250}.{index % 250 + 1}",
            capacity={
                "cpu": cpu,
                "memory": memory,
                "ephemeral-storage": "8Ti",
                "pods": str(pods),
                "nvidia.com/gpu": str(gpus),
            },
            labels={"nvidia.com/gpu.product": product} | _place(index, per_rack) | dict(labels or {}),
            taints=taints or [],
        )
        for index in range(first, first + count)
    ]
    with concurrent.futures.ThreadPoolExecutor(_PARALLEL) as pool:
        created = pool.map(lambda manifest: api.create(_NODES, manifest), manifests)
        return [node["metadata"]["name"] for node in created]


def remove(api: Api, *names: str) -> None:
    """Delete nodes, as a cloud does when a machine is gone; their pods are collected by the pod GC."""
    for name in names:
        api.delete(f"{_NODES}/{name}")


def lose(api: Api, name: str) -> None:
    """A node falls silent: nobody plays its pods any more, it turns Unknown, and so do its pods' readiness.

    The node controller would write the same after its grace period (the Lease stays unrenewed, so it does not
    write anything else); it taints the node within a second. Pods deleted from now on stay Terminating.
    """
    api.merge(f"{_NODES}/{name}", {"metadata": {"labels": {blueprint.KUBELET_LABEL: "silent"}}})
    _set_readiness(api, f"{_NODES}/{name}", "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
    for pod in api.items("/api/v1/pods", fieldSelector=f"spec.nodeName={name}"):
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        try:
            _set_readiness(api, path, "False", "NodeStatusUnknown", "Kubelet stopped posting node status.")
        except ApiError as exc:
            if exc.status != 404:
                raise


def recover(api: Api, name: str) -> None:
    """A lost node comes back: its pods are played again, those deleted meanwhile go."""
    api.merge(f"{_NODES}/{name}", {"metadata": {"labels": {blueprint.KUBELET_LABEL: "running"}}})


def cordon(api: Api, name: str, *, on: bool = True) -> None:
    """Mark a node unschedulable, or take the mark away."""
    api.merge(f"{_NODES}/{name}", {"spec": {"unschedulable": on or None}})


def _set_readiness(api: Api, path: str, status: str, reason: str, message: str) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": now}
    api.call(
        "PATCH",
        f"{path}/status",
        body={"status": {"conditions": [condition]}},
        content_type="application/strategic-merge-patch+json",
    )


def _place(index: int, per_rack: int) -> dict[str, str]:
    return {
        "topology.kubernetes.io/region": "region-1",
        "topology.kubernetes.io/zone": "zone-a",
        "topology.kubernetes.io/rack": f"rack-{index // per_rack}",
    }


def _manifest(
    name: str, address: str, capacity: Manifest, labels: Mapping[str, str], taints: list[Manifest]
) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/os": "linux",
                blueprint.KUBELET_LABEL: "running",
                **labels,
            },
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        "spec": {"taints": taints},
        "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
        },
    }
