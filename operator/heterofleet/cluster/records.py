"""Parses pods and nodes, once, into the few facts that decisions need: pure.

Stands between the reflectors (raw JSON) and the cache. A pod of the API server is 6 to 12 KB of JSON and five
times that as Python objects; a record is about one KB, which is what lets one process hold the pods of a
thousand fleets.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Self

from heterofleet.api import labels
from heterofleet.api.labels import Manifest

_KEPT_LABELS: Final = frozenset({labels.POD_INDEX, "controller-revision-hash", "pod-template-hash"})
_KEPT_ANNOTATIONS: Final = frozenset({labels.POD_DELETION_COST})
_ORDINARY_RESOURCES: Final = frozenset({"cpu", "memory", "ephemeral-storage", "storage", "pods"})
_HARMLESS_WAITING: Final = frozenset({"ContainerCreating", "PodInitializing"})


class Taint(NamedTuple):
    key: str
    value: str
    effect: str
    added: datetime | None


class Ended(NamedTuple):
    """How a container ended; `message` is its termination message (the last lines, if it wrote none)."""

    exit_code: int
    reason: str
    message: str
    finished: datetime | None


@dataclass(frozen=True, slots=True)
class PodRecord:
    """One pod of a fleet; texts are empty where Kubernetes says nothing.

    `deleting_since` is when the deletion was asked for (Kubernetes' deletionTimestamp lies a grace period later).
    `started`, `started_at`, `ended`, `last_ended`, `restart_count` are of the container named by the component
    label (`engine`, `router`), else of the first; `waiting_*` of any container that waits for a reason that does
    not pass by itself; `mounted` is False while its node says that its volumes are not there. `devices` are the
    extended resources asked for, GPUs among them.
    """

    namespace: str
    name: str
    uid: str
    resource_version: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owner_kind: str
    owner_name: str
    owner_uid: str
    created: datetime
    deleting_since: datetime | None
    node: str
    ip: str
    phase: str
    reason: str
    message: str
    scheduled: bool
    unschedulable: str
    ready: bool
    ready_since: datetime | None
    started: bool
    started_at: datetime | None
    waiting_reason: str
    waiting_message: str
    mounted: bool
    ended: Ended | None
    last_ended: Ended | None
    restart_count: int
    devices: Mapping[str, int]

    @property
    def terminating(self) -> bool:
        return self.deleting_since is not None

    @property
    def finished(self) -> bool:
        return self.phase in ("Succeeded", "Failed")

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        metadata, spec, status = manifest["metadata"], manifest["spec"], manifest.get("status") or {}
        conditions = {item["type"]: item for item in status.get("conditions") or ()}
        placed, ready = conditions.get("PodScheduled", {}), conditions.get("Ready", {})
        sandbox = conditions.get("PodReadyToStartContainers", {})  # Comes after the mounts, before the images.
        owner = _controller(metadata)
        kept_labels = _pick(metadata.get("labels"), _KEPT_LABELS)
        main = _main_status(status, kept_labels.get(labels.COMPONENT, ""))
        waiting = _waiting(status)
        state = main.get("state") or {}
        return cls(
            namespace=sys.intern(metadata["namespace"]),
            name=metadata["name"],
            uid=metadata["uid"],
            resource_version=int(metadata["resourceVersion"]),
            labels=kept_labels,
            annotations=_pick(metadata.get("annotations"), _KEPT_ANNOTATIONS),
            owner_kind=sys.intern(owner.get("kind", "")),
            owner_name=owner.get("name", ""),
            owner_uid=owner.get("uid", ""),
            created=datetime.fromisoformat(metadata["creationTimestamp"]),
            deleting_since=_asked_deletion(metadata),
            node=sys.intern(spec.get("nodeName") or ""),
            ip=status.get("podIP") or "",
            phase=sys.intern(status.get("phase") or ""),
            reason=status.get("reason") or "",
            message=status.get("message") or "",
            scheduled=bool(spec.get("nodeName")),
            unschedulable=(placed.get("message") or "") if placed.get("reason") == "Unschedulable" else "",
            ready=ready.get("status") == "True",
            ready_since=_time(ready.get("lastTransitionTime")) if ready.get("status") == "True" else None,
            started=bool(main.get("started")),
            started_at=_time((state.get("running") or {}).get("startedAt")),
            waiting_reason=waiting.get("reason") or "",
            waiting_message=waiting.get("message") or "",
            mounted=sandbox.get("status") != "False",
            ended=_ended(state),
            last_ended=_ended(main.get("lastState") or {}),
            restart_count=main.get("restartCount") or 0,
            devices=_devices(_requests(spec)),
        )


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One node; `devices` are its allocatable extended resources, `ready_since` when Ready last changed."""

    name: str
    uid: str
    resource_version: int
    labels: Mapping[str, str]
    devices: Mapping[str, int]
    ready: bool
    ready_since: datetime | None
    unschedulable: bool
    taints: tuple[Taint, ...]

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        metadata, spec, status = manifest["metadata"], manifest.get("spec") or {}, manifest.get("status") or {}
        ready: Manifest = next((item for item in status.get("conditions") or () if item["type"] == "Ready"), {})
        return cls(
            name=sys.intern(metadata["name"]),
            uid=metadata["uid"],
            resource_version=int(metadata["resourceVersion"]),
            labels={sys.intern(k): sys.intern(v) for k, v in (metadata.get("labels") or {}).items()},
            devices=_devices([status.get("allocatable") or {}]),
            ready=ready.get("status") == "True",
            ready_since=_time(ready.get("lastTransitionTime")),
            unschedulable=bool(spec.get("unschedulable")),
            taints=tuple(
                Taint(item["key"], item.get("value") or "", item["effect"], _time(item.get("timeAdded")))
                for item in spec.get("taints") or ()
            ),
        )


def _pick(found: Mapping[str, str] | None, kept: frozenset[str]) -> Mapping[str, str]:
    return {
        sys.intern(key): sys.intern(value)
        for key, value in (found or {}).items()
        if key.startswith(f"{labels.GROUP}/") or key in kept
    }


def _controller(metadata: Mapping[str, Any]) -> Mapping[str, str]:
    return next((owner for owner in metadata.get("ownerReferences") or () if owner.get("controller")), {})


def _asked_deletion(metadata: Mapping[str, Any]) -> datetime | None:
    ends = _time(metadata.get("deletionTimestamp"))
    return ends - timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0) if ends else None


def _main_status(status: Mapping[str, Any], component: str) -> Mapping[str, Any]:
    found: list[Mapping[str, Any]] = status.get("containerStatuses") or []
    return next((item for item in found if item["name"] == component), found[0] if found else {})


def _waiting(status: Mapping[str, Any]) -> Mapping[str, str]:
    every = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    states = ((item.get("state") or {}).get("waiting") for item in every)
    return next((item for item in states if item and item.get("reason") not in _HARMLESS_WAITING), {})


def _ended(state: Mapping[str, Any]) -> Ended | None:
    ended = state.get("terminated")
    if not ended:
        return None
    return Ended(
        exit_code=ended.get("exitCode") or 0,
        reason=ended.get("reason") or "",
        message=ended.get("message") or "",
        finished=_time(ended.get("finishedAt")),
    )


def _requests(spec: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """Extended resources must have equal requests and limits, so limits tell both."""
    for container in spec.get("containers") or ():
        yield (container.get("resources") or {}).get("limits") or {}


def _devices(amounts: Iterable[Mapping[str, Any]]) -> Mapping[str, int]:
    total: dict[str, int] = {}
    for amount in amounts:
        for name, count in amount.items():
            if name not in _ORDINARY_RESOURCES and not name.startswith("hugepages-"):
                total[sys.intern(name)] = total.get(name, 0) + int(count)
    return total


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
