"""Renders the HeterogeneousTier of a tier: the object that holds its count, and that can be scaled.

The count may be somebody else's (contracts.md, "Who sets the counts"); then it is left out, and what stands there
stays.
"""

from heterofleet.api import labels
from heterofleet.api.labels import Manifest, Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import children, names
from heterofleet.desired.children import stated


def tier_object(fleet: HeterogeneousDeployment, tier: Tier, instances: int | None) -> Manifest:
    """The object; `instances` None leaves the count to whoever set it."""
    own = {labels.FLEET: fleet.metadata.name, labels.TIER: str(tier)}
    name = names.tier(fleet.metadata.name, tier)
    return {
        **children.child(fleet, children.TIER, name, own, tier),
        "spec": stated(tier=str(tier), instances=instances),
    }
