"""Small Kubernetes objects for the tests of this folder."""

from typing import Any

from heterofleet.api import labels
from heterofleet.api.labels import FleetKey, Manifest

KEY = FleetKey("ns", "chat")
OWNER_UID = "fleet-uid"
CREATED = "2026-01-02T03:04:05Z"


def stored(
    manifest: Manifest, *, uid: str = "uid-1", version: int = 1, owner: str | None = OWNER_UID, **metadata: Any
) -> Manifest:
    """The manifest as an API server would give it back."""
    owners = [{"kind": labels.FLEET_KIND, "name": "chat", "uid": owner, "controller": True}] if owner else []
    server = {"uid": uid, "resourceVersion": str(version), "creationTimestamp": CREATED}
    return {
        **manifest,
        "metadata": {"ownerReferences": owners, **manifest["metadata"], **server, **metadata},
    }


def child(kind: str, name: str, *, api_version: str = "v1", fleet: str = "chat", **rest: Any) -> Manifest:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"namespace": "ns", "name": name, "labels": {labels.FLEET: fleet}},
        **rest,
    }


def config_map(name: str, **data: str) -> Manifest:
    return child("ConfigMap", name, data=data)


def fleet(*, generation: int = 1) -> Manifest:
    return {
        "apiVersion": labels.API_VERSION,
        "kind": labels.FLEET_KIND,
        "metadata": {"namespace": "ns", "name": "chat", "generation": generation},
    }


def pod(name: str, *, node: str = "", phase: str = "Pending", gpus: int = 8) -> Manifest:
    limits = {"nvidia.com/gpu": str(gpus), "cpu": "4"} if gpus else {"cpu": "4"}
    return child(
        "Pod",
        name,
        spec={"nodeName": node, "containers": [{"name": "engine", "resources": {"limits": limits}}]},
        status={"phase": phase},
    )


def node(name: str, *, gpus: int = 8, ready: bool = True) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {labels.GPU_PRODUCT: "A100"}},
        "spec": {},
        "status": {
            "allocatable": {"nvidia.com/gpu": str(gpus), "cpu": "64", "hugepages-2Mi": "0"},
            "conditions": [{"type": "Ready", "status": str(ready), "lastTransitionTime": CREATED}],
        },
    }
