"""How many GPUs a fleet holds, and how many more instances of a tier may be created now.

The GPU budget counts the GPUs of every pod that is not finished, Terminating and Pending included, and of the pods
that are asked for and do not exist yet, or were asked for and may come all the same (contracts.md, "Instances,
revisions, upgrades").
"""

from collections.abc import Mapping
from dataclasses import dataclass

from heterofleet.api import labels
from heterofleet.api.labels import Component, Manifest, Tier
from heterofleet.api.placement import Capacity, Placement
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cluster.objects import Observed
from heterofleet.control.ledger import Ledger
from heterofleet.control.observe import FleetView
from heterofleet.desired.revision import Role
from heterofleet.desired.template import Template
from heterofleet.planning.placing import Demand, Places, Shape

BOUNDLESS = 1_000_000


@dataclass(frozen=True)
class Holdings:
    """GPUs held and claimed, by tier; `undone`: of small pods that are not asked for any more and may come yet."""

    held: Mapping[Tier, int]
    claimed: Mapping[Tier, int]
    undone: int = 0

    @property
    def total(self) -> int:
        return sum(self.held.values()) + sum(self.claimed.values()) + self.undone


@dataclass(frozen=True)
class Offer:
    """Instances that may be created now, and the sentence to show where that is too few."""

    creatable: int
    sentence: str = ""
    contended: bool = False


def shape_of(template: Template, resource: str) -> Shape:
    """Pods of an instance and GPUs of a pod, as the template has them after its overlay."""
    return Shape(template.pods, _gpus_of(template.body["spec"], resource))


def _shape(maker: Observed, stored: Template | None, resource: str) -> Shape:
    """The same of what makes pods: as it stands where its template is not stored, for they come all the same."""
    if stored is not None:
        return shape_of(stored, resource)
    spec = maker.body["spec"]
    return Shape(spec["replicas"], _gpus_of(spec["template"]["spec"], resource))


def _gpus_of(spec: Manifest, resource: str) -> int:
    containers = spec["containers"]
    engine = next((c for c in containers if c["name"] == Component.ENGINE), containers[0])
    limits: Mapping[str, str] = engine.get("resources", {}).get("limits", {})
    return max(1, int(limits.get(resource, "1")))


def count(fleet: HeterogeneousDeployment, view: FleetView, ceilings: Mapping[str, int]) -> Holdings:
    """What the fleet holds now. `ceilings`: how many pods may come of each small Deployment (`ceilings.Ceilings`)."""
    resource = {tier: fleet.spec.tier(tier).placement.gpu_resource for tier in Tier}
    held = {tier: sum(pod.devices.get(resource[tier], 0) for pod in view.pods(tier)) for tier in Tier}
    claimed = {Tier.LARGE: 0, Tier.SMALL: 0}
    undone = 0
    for index, found in view.groups.items():
        if not found.deleting:
            stored = view.templates.get((Role.LARGE, found.labels.get(labels.REVISION, "")))
            shape = _shape(found, stored, resource[Tier.LARGE])
            there = sum(not pod.finished for pod in view.large_pods.get(index, ()))
            claimed[Tier.LARGE] += max(0, shape.pods - there) * shape.gpus_per_pod
    for revision, found in view.deployments.items():
        if not found.deleting:
            shape = _shape(found, view.templates.get((Role.SMALL, revision)), resource[Tier.SMALL])
            there = sum(not (pod.finished or pod.terminating) for pod in view.small_pods.get(revision, ()))
            replicas = found.body["spec"]["replicas"]
            claimed[Tier.SMALL] += max(0, replicas - there) * shape.gpus_per_pod
            undone += max(0, ceilings[revision] - max(replicas, there)) * shape.gpus_per_pod
    return Holdings(held, claimed, undone)


async def offer(
    fleet: HeterogeneousDeployment,
    tier: Tier,
    template: Template,
    wanted: int,
    spare_gpus: int,
    ledger: Ledger,
    unbound: int,
) -> Offer:
    """How many of `wanted` more instances may be created: by the budget, and by whole places on nodes if Fixed.

    `unbound` pods of the tier have no node yet; what the ledger promised them stays promised.
    """
    placement = fleet.spec.tier(tier).placement
    shape = shape_of(template, placement.gpu_resource)
    world = shape.pods * shape.gpus_per_pod
    affordable = min(wanted, max(0, spare_gpus) // world)
    holder = (fleet.key, tier)
    if placement.capacity is Capacity.ELASTIC:
        return Offer(affordable)
    if affordable <= 0 and unbound <= 0:
        ledger.release(holder)
    demand = Demand.of(template.body["spec"], placement.gpu_resource)
    places = await ledger.reserve(
        holder, demand, shape, affordable, unbound=unbound, topology_key=placement.topology_key
    )
    if affordable < wanted:
        sentence = f"scaling.gpuBudget {fleet.spec.scaling.gpu_budget} leaves no {world} GPUs for one more now"
        return Offer(len(places.groups), sentence, places.contended)
    return Offer(len(places.groups), _shortage(placement, shape, places), places.contended)


def unbound(view: FleetView, holdings: Holdings, tier: Tier, shape: Shape) -> int:
    """Pods of a tier without a node: those that wait for one, and those that are asked for and not there yet."""
    waiting = sum(not pod.node for pod in view.pods(tier))
    return waiting + holdings.claimed[tier] // shape.gpus_per_pod


def _shortage(placement: Placement, shape: Shape, places: Places) -> str:
    product = placement.gpu_product or placement.gpu_resource
    pods = "1 pod" if shape.pods == 1 else f"{shape.pods} pods"
    together = f" under one {placement.topology_key}" if placement.topology_key else ""
    return (
        f"one more instance needs places for {pods} of {shape.gpus_per_pod} {product}{together}, {places.free_gpus}"
        " such GPUs are free on ready nodes: add nodes, or set placement.capacity: Elastic to have them added by a"
        " node autoscaler"
    )
