"""Keeps whole nodes free for groups: small pods prefer nodes that hold small pods already.

A large group needs all GPUs of several nodes at once. The default scheduler spreads the pods of a Service, so a few
dozen one-GPU pods leave no node whole, and no group can be created or moved. Small pods therefore prefer one another's
nodes and spread over zones instead, both softly: a preference never keeps a pod from running.
"""

from typing import Final

from heterofleet.api import labels
from heterofleet.api.labels import Manifest, Tier
from heterofleet.api.placement import Placement

_STRONGEST: Final = 100


def affinity(placement: Placement, tier: Tier) -> Manifest | None:
    """The pods' affinity: the user's; where it says nothing of other pods, small ones are packed."""
    asked = placement.affinity or {}
    if tier is Tier.LARGE or "podAffinity" in asked or "podAntiAffinity" in asked:
        return placement.affinity
    term = {
        "labelSelector": {"matchLabels": {labels.TIER: str(Tier.SMALL)}},
        "namespaceSelector": {},
        "topologyKey": "kubernetes.io/hostname",
    }
    packed = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": _STRONGEST, "podAffinityTerm": term}]}
    return {**asked, "podAffinity": packed}


def spread(selector: dict[str, str], tier: Tier) -> list[Manifest] | None:
    """Over zones for small pods, which also replaces the scheduler's default of spreading over nodes."""
    if tier is Tier.LARGE:
        return None
    return [
        {
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector},
        }
    ]
