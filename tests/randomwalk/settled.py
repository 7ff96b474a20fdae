"""Whether a fleet is what its spec says, from the stored objects alone: the walk's own judgement.

The counts are computed here once more from the resource, its tiers' objects and its bounds, in other words than the
operator's; the manifests come from `heterofleet.desired`, which golden files hold, with the templates that are
stored. What comes out is a list of what is not so, empty for a fleet at rest.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from heterofleet.api import labels
from heterofleet.api.labels import Tier
from heterofleet.api.scaling import Writer
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cluster import comparison
from heterofleet.cluster.objects import Ref
from heterofleet.desired import fleet as desired
from heterofleet.desired import names, revision, template
from heterofleet.desired.fleet import Counts, LargeInstance, SmallRevision
from heterofleet.desired.platform import Platform
from heterofleet.desired.revision import Role
from heterofleet.desired.template import Template
from randomwalk import budgets
from randomwalk.actions import Manifest
from randomwalk.world import CHILD_KINDS, FOREIGN, World

OWNED = {
    "StatefulSet": "statefulsets",
    "Deployment": "deployments",
    "Service": "services",
    "ConfigMap": "configmaps",
    "ControllerRevision": "controllerrevisions",
    "ServiceAccount": "serviceaccounts",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "NetworkPolicy": "networkpolicies",
    "PodDisruptionBudget": "poddisruptionbudgets",
    labels.TIER_KIND: "heterogeneoustiers",
}


@dataclass
class Seen:
    """One fleet and everything that carries its label, read object by object."""

    body: Manifest
    fleet: HeterogeneousDeployment
    objects: dict[Ref, Manifest] = field(default_factory=dict)
    pods: list[Manifest] = field(default_factory=list)

    def owned(self) -> dict[Ref, Manifest]:
        """What the fleet controls."""
        return {ref: item for ref, item in self.objects.items() if owner(item) == self.fleet.metadata.uid}

    def tier_pods(self, tier: Tier) -> list[Manifest]:
        return [pod for pod in self.pods if pod["metadata"]["labels"].get(labels.TIER) == tier]


def look(world: World, body: Manifest) -> Seen:
    """Reads a fleet's surroundings."""
    name = body["metadata"]["name"]
    seen = Seen(body, HeterogeneousDeployment.parse(body))
    for kind, plural in OWNED.items():
        for item in world.items(plural, name):
            if FOREIGN not in item["metadata"]["labels"]:
                api_version = _API_VERSIONS[plural]
                item |= {"apiVersion": api_version, "kind": kind}
                seen.objects[Ref.of(item)] = item
    seen.pods = world.items("pods", name)
    return seen


_API_VERSIONS = {
    "statefulsets": "apps/v1",
    "deployments": "apps/v1",
    "controllerrevisions": "apps/v1",
    "roles": "rbac.authorization.k8s.io/v1",
    "rolebindings": "rbac.authorization.k8s.io/v1",
    "networkpolicies": "networking.k8s.io/v1",
    "poddisruptionbudgets": "policy/v1",
    "heterogeneoustiers": labels.API_VERSION,
    "services": "v1",
    "configmaps": "v1",
    "serviceaccounts": "v1",
}


def moving(body: Manifest) -> list[str]:
    """What a fleet's own status says of why it is not worth a closer look yet."""
    name, status = body["metadata"]["name"], body.get("status", {})
    if status.get("observedGeneration") != body["metadata"]["generation"]:
        return [f"{name}: generation {body['metadata']['generation']} is not looked at yet"]
    told = {condition["type"]: condition for condition in status.get("conditions", ())}
    under_way = told.get("Reconciling", {})
    return [f"{name}: {under_way.get('message')}"] if under_way.get("status") != "False" else []


def problems(seen: Seen, platform: Platform) -> list[str]:
    """Everything that keeps a fleet from being as its spec says."""
    expected = {tier: _expected(seen, tier) for tier in Tier}
    wrong = [problem for count in expected.values() if isinstance(count, str) for problem in [count]]
    counts = {tier: count for tier, count in expected.items() if isinstance(count, _Expected)}
    if wrong:
        return wrong
    wrong = [*_wrong_counts(seen, counts)]
    if wrong:
        return wrong
    wrong = [*_wrong_objects(seen, platform, counts), *_wrong_pods(seen)]
    return wrong or [*_wrong_status(seen, platform, counts)]


@dataclass(frozen=True)
class _Expected:
    """Instances of a tier: planned or set by hand, and with the warm ones."""

    base: int
    total: int


def _planned(seen: Seen, tier: Tier) -> int:
    """The count of the plan as the status tells it, within the bounds of now; the minimum before the first plan."""
    bounds, plan = seen.fleet.spec.tier(tier).instances, seen.fleet.status.plan
    planned = 0 if plan is None else (plan.large if tier is Tier.LARGE else plan.small).instances
    return max(bounds.min, min(planned, bounds.most))


def _expected(seen: Seen, tier: Tier) -> _Expected | str:
    """The count of a tier by the contract: who sets it, then min, max and warm. A sentence where it is not settled."""
    spec = seen.fleet.spec.tier(tier)
    name = names.tier(seen.fleet.metadata.name, tier)
    stored = next(
        (item for ref, item in seen.objects.items() if (ref.kind, ref.name) == (labels.TIER_KIND, name)), None
    )
    if stored is None:
        return f"{name} does not exist"
    written: int = stored["spec"]["instances"]
    override = seen.fleet.status.large.override if tier is Tier.LARGE else seen.fleet.status.small.override
    asked = _planned(seen, tier)
    if seen.fleet.spec.scaling.writer(tier) is Writer.EXTERNAL:
        asked = written
    elif override is not None:
        if override.until <= datetime.now(UTC):
            return f"the override of {name} is over and still there"
        asked = override.instances
    if asked != written:
        return f"{name} says {written} instances, {asked} are planned"
    most = spec.instances.min + spec.instances.warm if spec.instances.max is None else spec.instances.max
    base = min(max(asked, spec.instances.min), most)
    return _Expected(base, max(base, min(base + spec.instances.warm, most)))


def _wrong_counts(seen: Seen, counts: dict[Tier, _Expected]) -> Iterator[str]:
    groups = [ref.name for ref in seen.owned() if ref.kind == "StatefulSet"]
    if len(groups) != counts[Tier.LARGE].total:
        yield f"{sorted(groups)} exist, {counts[Tier.LARGE].total} instances are wanted"
    deployments = {ref.name: item for ref, item in seen.owned().items() if _is_small(ref, item)}
    replicas = {name: item["spec"]["replicas"] for name, item in deployments.items()}
    current = names.small_deployment(seen.fleet.metadata.name, _revision(seen, Role.SMALL))
    if replicas != {current: counts[Tier.SMALL].total}:
        yield f"{replicas} exist, {current} with {counts[Tier.SMALL].total} is wanted"


def _is_small(ref: Ref, item: Manifest) -> bool:
    return ref.kind == "Deployment" and item["metadata"]["labels"].get(labels.TIER) == Tier.SMALL


def _revision(seen: Seen, role: Role) -> str:
    return revision.revision(revision.spec_hash(seen.fleet, role))


def _wrong_objects(seen: Seen, platform: Platform, counts: dict[Tier, _Expected]) -> Iterator[str]:
    """Every object that is rendered is there and says what it should, and no other one is."""
    templates = _stored_templates(seen)
    wanted = {(role, _revision(seen, role)) for role in Role}
    if set(templates) != wanted:
        yield f"templates {sorted(templates)} are stored, {sorted(wanted)} are wanted"
        return
    indexes = [
        int(item["metadata"]["labels"][labels.INSTANCE])
        for ref, item in seen.owned().items()
        if ref.kind == "StatefulSet"
    ]
    written = Counts(
        large=tuple(LargeInstance(index, _revision(seen, Role.LARGE)) for index in indexes),
        small=(SmallRevision(_revision(seen, Role.SMALL), counts[Tier.SMALL].total),),
        tiers={tier: _tier_count(seen, tier) for tier in Tier},
    )
    rendered = {Ref.of(item): item for item in desired.manifests(seen.fleet, written, templates, platform)}
    held = seen.owned()
    for ref in sorted(rendered.keys() - held.keys()):
        yield f"{ref} is missing"
    for ref in sorted(held.keys() - rendered.keys()):
        yield f"{ref} is too much"
    for ref in sorted(rendered.keys() & held.keys()):
        if paths := comparison.covers(held[ref], rendered[ref]):
            yield f"{ref} differs at {', '.join(paths)}"


def _tier_count(seen: Seen, tier: Tier) -> int | None:
    """A count that somebody else wrote is theirs to say."""
    status = seen.fleet.status.large if tier is Tier.LARGE else seen.fleet.status.small
    if seen.fleet.spec.scaling.writer(tier) is Writer.EXTERNAL or status.override is not None:
        return None
    return _planned(seen, tier)


def _stored_templates(seen: Seen) -> dict[tuple[Role, str], Template]:
    stored = [item for ref, item in seen.owned().items() if ref.kind == "ControllerRevision"]
    parsed = map(template.parse, stored)
    return {(found.role, found.revision): found for found in parsed}


def _wrong_pods(seen: Seen) -> Iterator[str]:
    """Every pod is there, is Ready, takes requests, and was made from the present revision."""
    makers = [item for ref, item in seen.owned().items() if ref.kind in ("StatefulSet", "Deployment")]
    asked = sum(item["spec"]["replicas"] for item in makers)
    if len(seen.pods) != asked:
        yield f"{len(seen.pods)} pods exist, {asked} are asked for"
    for pod in seen.pods:
        found = pod["metadata"]["labels"]
        role = Role(found[labels.TIER]) if labels.TIER in found else Role.ROUTER
        name = pod["metadata"]["name"]
        if "deletionTimestamp" in pod["metadata"] or not is_ready(pod):
            yield f"pod {name} is not Ready"
        elif found.get(labels.REVISION) != _revision(seen, role):
            yield f"pod {name} is of revision {found.get(labels.REVISION)}"
        elif role is not Role.ROUTER and found.get(labels.STATE) != labels.PodState.SERVING:
            yield f"pod {name} is {found.get(labels.STATE)}"


def _wrong_status(seen: Seen, platform: Platform, counts: dict[Tier, _Expected]) -> Iterator[str]:
    """What status says is what is."""
    status = seen.fleet.status
    stored = _stored_templates(seen)
    told = {c.type.value: c.status for c in status.conditions}
    well = {
        "Accepted": True,
        "Ready": True,
        "LargeTierReady": True,
        "SmallTierReady": True,
        "RouterReady": True,
        "Degraded": False,
        "Reconciling": False,
        "Stalled": False,
        "UpdateAvailable": any(
            template.differs(kept, desired.render(seen.fleet, role, platform)) for (role, _), kept in stored.items()
        ),
        "RouterConfigured": True,
    }
    for name, expected in well.items():
        if told.get(name) is not expected:
            found = next((c for c in status.conditions if c.type.value == name), None)
            yield f"{name} is {told.get(name)}: {found.message if found else ''}"
    facts = {
        "observedGeneration": (status.observed_generation, seen.fleet.metadata.generation),
        "endpoint": (status.endpoint, _endpoint(seen)),
        "cost": (status.cost.usd_per_hour, _cost(seen)),
    }
    for tier, reported in ((Tier.LARGE, status.large), (Tier.SMALL, status.small)):
        total = counts[tier].total
        pods = seen.tier_pods(tier)
        facts |= {
            f"{tier}.summary": (reported.summary, f"{total}/{total}"),
            f"{tier}.desired": (reported.desired, total),
            f"{tier}.ready": (reported.ready, total),
            f"{tier}.draining": (reported.draining, 0),
            f"{tier}.gpus": (reported.gpus, sum(budgets.gpus(pod["spec"]) for pod in pods)),
            f"{tier}.revision": (reported.revision, _revision(seen, Role(tier))),
        }
    owned = seen.owned().values()
    indexes = sorted(int(i["metadata"]["labels"][labels.INSTANCE]) for i in owned if i["kind"] == "StatefulSet")
    listed = [(i.index, str(i.state), i.ready_ranks) for i in status.large.instances]
    ranks = stored[Role.LARGE, _revision(seen, Role.LARGE)].pods
    facts["large.instances"] = (listed, [(index, "Ready", ranks) for index in indexes])
    for name, (reported_value, expected_value) in facts.items():
        if reported_value != expected_value:
            yield f"status.{name} is {reported_value!r}, not {expected_value!r}"
    yield from _wrong_scales(seen, counts)


def _wrong_scales(seen: Seen, counts: dict[Tier, _Expected]) -> Iterator[str]:
    """What /scale tells autoscalers."""
    for tier in Tier:
        name = names.tier(seen.fleet.metadata.name, tier)
        stored = next(
            item
            for item in seen.owned().values()
            if item["metadata"]["name"] == name and item["kind"] == labels.TIER_KIND
        )
        status = stored.get("status", {})
        found = (status.get("instances"), status.get("ready"), status.get("observedGeneration"))
        total = counts[tier].total
        if found != (total, total, stored["metadata"]["generation"]):
            yield f"status of {name} is {found}, {total} instances run"


def _endpoint(seen: Seen) -> str:
    metadata = seen.fleet.metadata
    return f"http://{metadata.name}-router.{metadata.namespace}.svc:{seen.fleet.spec.router.service.port}/v1"


def _cost(seen: Seen) -> str:
    prices = {tier: seen.fleet.spec.tier(tier).price for tier in Tier}
    total = 0.0
    for tier, price in prices.items():
        if price is None:
            return ""
        total += price.usd_per_gpu_hour * sum(budgets.gpus(pod["spec"]) for pod in seen.tier_pods(tier))
    return f"{total:.2f}"


def is_ready(pod: Manifest) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def owner(item: Manifest) -> str:
    """UID of what controls an object, "" for nothing."""
    owners = item["metadata"].get("ownerReferences", ())
    return next((found["uid"] for found in owners if found.get("controller")), "")


def orphans(world: World) -> list[str]:
    """Objects with our labels whose controller does not exist."""
    items = {plural: world.items(plural) for plural in CHILD_KINDS}
    alive = {fleet["metadata"]["uid"] for fleet in world.fleets()}
    alive |= {item["metadata"]["uid"] for found in items.values() for item in found}
    return [
        f"{plural} {item['metadata']['name']}"
        for plural, found in items.items()
        for item in found
        if FOREIGN not in item["metadata"]["labels"] and owner(item) not in alive
    ]
