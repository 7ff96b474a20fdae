"""Renders the ConfigMap with the supervisor's files, under a name that is the hash of their texts.

It is immutable and never replaced: a newer operator brings another one beside it, and the old one stays as long
as a stored template or a pod names it.
"""

from heterofleet.api import labels
from heterofleet.api.labels import Component, Manifest
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import children, names
from heterofleet.desired.platform import Platform


def config_map(fleet: HeterogeneousDeployment, platform: Platform) -> Manifest:
    """The ConfigMap of this operator's supervisor."""
    own = {labels.FLEET: fleet.metadata.name, labels.COMPONENT: str(Component.ENGINE)}
    name = names.supervisor(fleet.metadata.name, platform.supervisor)
    return {
        **children.child(fleet, children.CONFIG_MAP, name, own, "supervisor"),
        "data": dict(platform.supervisor),
        "immutable": True,
    }
