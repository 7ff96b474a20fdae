"""Pods that Kubernetes refuses to make: a Pod Security Standard, a quota or a webhook stands against them.

A Deployment has a condition for it, with the server's own words. A StatefulSet says it in Events alone, which the
operator has no right to read: of a group it is told how many pods are missing and where the words stand. A controller
makes pods within moments of seeing what is asked, so a few seconds tell the refused from the slow.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from heterofleet.api import labels
from heterofleet.api.conditions import InstanceState, InstanceStatus, Reason
from heterofleet.api.labels import Component
from heterofleet.cluster.objects import Observed
from heterofleet.control import observe
from heterofleet.control.observe import FleetView
from heterofleet.status import Finding

MAKING_SECONDS: Final = 10
_COMING: Final = frozenset({InstanceState.CREATING, InstanceState.STARTING, InstanceState.RESTARTING})
_FAILURE: Final = "ReplicaFailure"


def due_at(instance: InstanceStatus, pods: int) -> datetime | None:
    """When a group that has so many pods should have them all; None where none is missing or it is on its way out."""
    if instance.state not in _COMING or instance.since is None or pods >= instance.ranks:
        return None
    return instance.since + timedelta(seconds=MAKING_SECONDS)


def of_groups(view: FleetView, instances: Iterable[InstanceStatus], now: datetime) -> list[Finding]:
    """Groups whose StatefulSet does not get its pods, though its controller has seen it."""
    found = []
    for instance in instances:
        maker = view.groups.get(instance.index)
        pods = len(view.large_pods.get(instance.index, ()))
        due = due_at(instance, pods)
        if maker is None or maker.deleting or due is None or now < due or not observe.is_seen(maker.body):
            continue
        sentence = (
            f"{maker.ref.name} has {pods} of {instance.ranks} pods, Kubernetes refuses to make the others:"
            f" `kubectl describe statefulset {maker.ref.name} -n {maker.ref.namespace}` says why"
        )
        found.append(Finding(Reason.PODS_REFUSED, sentence))
    return found


def of_deployments(deployments: Iterable[Observed], whose: str = "") -> list[Finding]:
    """Deployments whose pods are refused, in the server's words. `whose` begins the sentence."""
    return [
        Finding(Reason.PODS_REFUSED, f"{whose}{found.ref.name}: {condition.get('message', '')}")
        for found in deployments
        for condition in found.body.get("status", {}).get("conditions") or ()
        if condition["type"] == _FAILURE and condition["status"] == "True"
    ]


def of_routers(children: Iterable[Observed]) -> list[Finding]:
    """The same of the routers' Deployment, among all children."""
    return of_deployments([child for child in children if _is_router(child)], "router: ")


def _is_router(child: Observed) -> bool:
    return child.ref.kind == "Deployment" and child.labels.get(labels.COMPONENT) == Component.ROUTER
