"""Decides how the pods of one large instance are kept together: placed whole, and within one topology domain.

Where the server has PodGroups, an instance is one. A `placement.topologyKey` is the PodGroup's constraint where the
server keeps that field, and else a required affinity of the pods to each other, which every version knows; unlike
the constraint, affinity lets the first pod choose the domain. Another scheduler does all this its own way, so
`placement.schedulerName` leaves out PodGroups.
"""

from typing import NamedTuple

from heterofleet.api.labels import Manifest
from heterofleet.api.tier import TierSpec
from heterofleet.desired.children import stated
from heterofleet.desired.platform import Platform


class Gang(NamedTuple):
    """The PodGroup's spec, if the instance has one, and the key that affinity keeps, if affinity must."""

    pod_group: Manifest | None
    topology_key: str | None


def gang(spec: TierSpec, platform: Platform) -> Gang:
    """How the instances that are created from now on are kept together."""
    placement = spec.placement
    has_group = platform.pod_groups and placement.scheduler_name is None
    key = placement.topology_key if spec.pods_per_instance > 1 else None
    constrained = has_group and platform.pod_group_topology
    return Gang(
        pod_group=_pod_group(spec, key if constrained else None) if has_group else None,
        topology_key=None if constrained else key,
    )


def _pod_group(spec: TierSpec, topology_key: str | None) -> Manifest:
    return stated(
        schedulingPolicy={"gang": {"minCount": spec.pods_per_instance}},
        disruptionMode={"all": {}},
        schedulingConstraints={"topology": [{"key": topology_key}]} if topology_key else None,
        priorityClassName=spec.placement.priority_class_name,
    )
