"""Decides what voluntary disruption may take away, for groups, the small tier and routers.

A group never loses a pod to an eviction, since one rank less is a group less: the operator evacuates it from
cordoned nodes instead. Pods that are not Ready never block the drain of a node.
"""

from collections.abc import Mapping

from heterofleet.api.labels import Manifest
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import children


def budget(
    fleet: HeterogeneousDeployment, name: str, selector: Mapping[str, str], component: str, max_unavailable: int
) -> Manifest:
    """A PodDisruptionBudget over the pods of `selector`."""
    return {
        **children.child(fleet, children.DISRUPTION_BUDGET, name, selector, component),
        "spec": {
            "maxUnavailable": max_unavailable,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": dict(selector)},
        },
    }
