"""What the operator would make of a fleet in an empty cluster: its first templates and every object. Pure.

The counts are those of the fleet's first reconcile with GPUs for all: min and warm instances within the bounds.
"""

from datetime import UTC, datetime
from importlib import metadata, resources
from typing import Final

from heterofleet.api.labels import Manifest, Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import fleet as desired
from heterofleet.desired.fleet import Counts, LargeInstance, Platform, SmallRevision
from heterofleet.desired.revision import Role
from heterofleet.desired.template import Template
from heterofleet.planning import counts
from heterofleet.planning.catalogue import Catalogue

ENGINE_IMAGE: Final = "vllm/vllm-openai:v0.32.0"
ROUTER_REPOSITORY: Final = "ghcr.io/heterofleet/router"
OPERATOR_NAMESPACE: Final = "heterofleet-system"
"""The operator's own defaults, which its settings may change in a cluster."""

UID: Final = "00000000-0000-0000-0000-000000000000"
"""Stands for the uid that the API server will give the fleet."""


def platform(
    catalogue: Catalogue,
    *,
    engine_image: str = ENGINE_IMAGE,
    router_image: str | None = None,
    monitoring: bool = False,
    pod_groups: bool = False,
) -> Platform:
    """An operator as installed by default, in a cluster that serves the optional APIs that are asked for."""
    return Platform(
        operator_namespace=OPERATOR_NAMESPACE,
        engine_image=engine_image,
        router_image=router_image or f"{ROUTER_REPOSITORY}:{metadata.version('heterofleet')}",
        supervisor=_supervisor(),
        catalogue=catalogue,
        pod_monitors=monitoring,
        prometheus_rules=monitoring,
        pod_groups=pod_groups,
    )


def template(fleet: HeterogeneousDeployment, role: str, platform: Platform) -> Template:
    """One role's pod template. Raises desired.overlay.InvalidOverlay."""
    return desired.render(fleet, Role(role), platform)


def manifests(fleet: HeterogeneousDeployment, platform: Platform) -> tuple[Manifest, ...]:
    """Every object, in the order in which it is made. Raises desired.overlay.InvalidOverlay."""
    named = fleet.model_copy(update={"metadata": fleet.metadata.model_copy(update={"uid": fleet.metadata.uid or UID})})
    templates = {role: desired.render(named, role, platform) for role in Role}
    by_revision = {(role, made.revision): made for role, made in templates.items()}
    return desired.manifests(named, _counts(named, templates), by_revision, platform)


def _counts(fleet: HeterogeneousDeployment, templates: dict[Role, Template]) -> Counts:
    asked = {
        tier: counts.asked(
            planned=fleet.spec.tier(tier).instances.min,
            writer=fleet.spec.scaling.writer(tier),
            found=None,
            running=None,
            previous=None,
            override_seconds=fleet.spec.scaling.override_seconds,
            # Without an override no time is looked at.
            now=datetime.min.replace(tzinfo=UTC),
        )
        for tier in Tier
    }
    bounded = (counts.bounded(asked[tier].instances, fleet.spec.tier(tier).instances) for tier in Tier)
    large, small = counts.within_budget(fleet.spec, *bounded)
    revision = templates[Role.LARGE].revision
    return Counts(
        large=tuple(LargeInstance(index, revision) for index in range(large.total)),
        small=(SmallRevision(templates[Role.SMALL].revision, small.total),),
        tiers={tier: asked[tier].write for tier in Tier},
    )


def _supervisor() -> dict[str, str]:
    folder = resources.files("heterofleet.supervisor")
    return {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir() if file.name.endswith(".py")}
