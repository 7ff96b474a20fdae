"""What the operator brings to a fleet that its spec does not say: images, scripts, facts, and what is served here."""

from collections.abc import Mapping
from dataclasses import dataclass

from heterofleet.planning.catalogue import Catalogue


@dataclass(frozen=True)
class Platform:
    """`supervisor` maps the supervisor's file names to their texts; the last four say what is served here.

    `pod_group_topology` says that PodGroups keep `schedulingConstraints`: behind an alpha gate of its own, a server
    drops the field without a word, so only a dry run tells. Without it affinity keeps a group's pods together.
    """

    operator_namespace: str
    engine_image: str
    router_image: str
    supervisor: Mapping[str, str]
    catalogue: Catalogue
    pod_monitors: bool
    prometheus_rules: bool
    pod_groups: bool
    pod_group_topology: bool = False
