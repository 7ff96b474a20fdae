"""From a fleet's spec and its counts to every object that should exist: the last pure step before a write.

`render` makes the template of one role as this version of the operator would; the caller keeps it and decides,
by the spec-hash, whether the kept one or a new one is applied. `manifests` puts counts and templates together.

    spec --render--> Template --(kept as ControllerRevision)--> manifests(counts, templates) --> changes --> apply
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from heterofleet.api.labels import Manifest, Tier
from heterofleet.api.routing import Plan
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import large, monitoring, names, pods, revision, router, small, supervisor, template, tier
from heterofleet.desired.platform import Platform
from heterofleet.desired.revision import Role
from heterofleet.desired.template import Template

__all__ = ["Counts", "LargeInstance", "Platform", "SmallRevision", "Templates", "kept", "manifests", "render"]


@dataclass(frozen=True)
class LargeInstance:
    """One instance of the large tier; `draining_until` is the deadline of its drain, if it drains."""

    index: int
    revision: str
    draining_until: datetime | None = None


@dataclass(frozen=True)
class SmallRevision:
    """How many pods of one revision the small tier has."""

    revision: str
    replicas: int


@dataclass(frozen=True)
class Counts:
    """What the plan comes to. A tier whose count is None in `tiers` has it set by somebody else.

    `routers` None is the spec's own number; `plan` is what the routers are told.
    """

    large: tuple[LargeInstance, ...]
    small: tuple[SmallRevision, ...]
    tiers: Mapping[Tier, int | None]
    routers: int | None = None
    plan: Plan = field(default_factory=Plan)


Templates = Mapping[tuple[Role, str], Template]
"""Stored templates by role and revision."""


def render(fleet: HeterogeneousDeployment, role: Role, platform: Platform) -> Template:
    """The template that this version renders for the present spec. Raises overlay.InvalidOverlay."""
    if role is Role.ROUTER:
        return router.router_template(fleet, platform)
    return pods.engine_template(fleet, Tier(role), platform)


def manifests(
    fleet: HeterogeneousDeployment, counts: Counts, templates: Templates, platform: Platform
) -> tuple[Manifest, ...]:
    """Every child of the fleet.

    `templates` holds the template of every revision in `counts` and the router's present one (KeyError if not);
    each that it holds is kept as a ControllerRevision.
    """
    return tuple(_children(fleet, counts, templates, platform))


def kept(fleet: HeterogeneousDeployment, templates: Templates, platform: Platform) -> frozenset[str]:
    """Names of supervisor ConfigMaps that must stay though they are not rendered: their text is an older one."""
    present = names.supervisor(fleet.metadata.name, platform.supervisor)
    return frozenset(t.supervisor for t in templates.values() if t.supervisor not in (None, present))


def _children(
    fleet: HeterogeneousDeployment, counts: Counts, templates: Templates, platform: Platform
) -> Iterator[Manifest]:
    namespace = platform.operator_namespace
    scripts = supervisor.config_map(fleet, platform)
    if any(stored.supervisor == scripts["metadata"]["name"] for stored in templates.values()):
        yield scripts
    for stored in templates.values():
        yield template.to_manifest(stored, fleet)
    for name, count in counts.tiers.items():
        yield tier.tier_object(fleet, name, count)
    replicas = fleet.spec.router.instances.min if counts.routers is None else counts.routers
    yield from router.objects(fleet, templates[_present_router(fleet)], platform, replicas, counts.plan)
    yield from small.surroundings(fleet, namespace)
    for part in counts.small:
        yield small.deployment(fleet, templates[Role.SMALL, part.revision], part.replicas)
    for instance in counts.large:
        stored = templates[Role.LARGE, instance.revision]
        yield from large.instance(fleet, instance.index, stored, instance.draining_until, platform)
    yield from monitoring.objects(fleet, platform)


def _present_router(fleet: HeterogeneousDeployment) -> tuple[Role, str]:
    return Role.ROUTER, revision.revision(revision.spec_hash(fleet, Role.ROUTER))
