"""Decides what a change of the spec rolls: the hash of the user's fields that shape one role's pods.

A child carries the hash as `heterofleet.io/spec-hash`, and while it is unchanged the stored template is applied
(contracts.md, "Instances, revisions, upgrades"). The hash is taken of what the user wrote, never of what we
render, so that an operator's upgrade changes none; fields that equal their default are left out, so that neither
a default written out by the API server nor a field that a later version adds changes one either.
"""

import hashlib
import json
from enum import StrEnum
from typing import Any, Final

from heterofleet.api import labels
from heterofleet.api.labels import Tier
from heterofleet.api.tier import Lifecycle
from heterofleet.api.v1alpha1 import FleetSpec, HeterogeneousDeployment
from heterofleet.desired import mounts

REVISION_LENGTH: Final = 8


class Role(StrEnum):
    """Whose pods: a tier's or the router's."""

    LARGE = "large"
    SMALL = "small"
    ROUTER = "router"


SHAPES_PODS: Final = {
    "engine",
    "image_pull_secrets",
    "lifecycle",
    "model",
    "parallelism",
    "placement",
    "pod_template",
    "resources",
    "runtime_class_name",
    "service_account_name",
    "storage",
}
"""Fields of a tier that reach its pods, at least in part."""

SHAPES_NO_POD: Final[dict[str, set[str]]] = {
    "model": {"facts"},
    "parallelism": {"gpus_per_pod"},
    "placement": {"capacity", "gang_timeout_seconds", "gpus_per_node"},
    "lifecycle": set(Lifecycle.model_fields) - {"startup_timeout_seconds"},
}
"""Parts of those fields that do not, or that count in another form (what gpusPerNode decides is gpusPerPod)."""

_ROUTER_FIELDS: Final = {"image", "resources", "pod_template"}
"""Fields of the router that reach its pods as they are; of the policy only what must be mounted does, the rest is
read while they run."""


def spec_hash(fleet: HeterogeneousDeployment, role: Role) -> str:
    """sha256, in hex, of the canonical JSON of the fields that shape the pods of `role`."""
    canonical = json.dumps(shape(fleet, role), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def revision(spec_hash: str) -> str:
    """The part of the hash that stands in names and labels."""
    return spec_hash[:REVISION_LENGTH]


def shape(fleet: HeterogeneousDeployment, role: Role) -> dict[str, Any]:
    """The fields that `spec_hash` is taken of, and the value of the annotation that asks for a roll."""
    fields = _router_shape(fleet.spec) if role is Role.ROUTER else _tier_shape(fleet, Tier(role))
    roll = fleet.metadata.annotations.get(labels.ROLL)
    return fields if roll is None else {**fields, labels.ROLL: roll}


def _router_shape(fleet: FleetSpec) -> dict[str, Any]:
    spec = fleet.router
    fields = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, include=_ROUTER_FIELDS)
    redis, file = spec.store.redis, spec.store.file
    mounted = {
        "engineKeysSecret": None if fleet.engine_keys is None else fleet.engine_keys.secret,
        "keysSecret": spec.auth.keys_secret,
        "passwordSecret": None if redis is None or redis.password_secret is None else dict(redis.password_secret),
        "storeClaim": None if file is None else file.persistent_volume_claim,
    }
    return fields | {name: value for name, value in mounted.items() if value is not None}


def _tier_shape(fleet: HeterogeneousDeployment, tier: Tier) -> dict[str, Any]:
    spec = fleet.spec.tier(tier)
    fields = spec.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, include=SHAPES_PODS, exclude=SHAPES_NO_POD
    )
    # What the layout comes to counts, not how it was said: gpusPerPod 8 is the default's 8.
    fields["gpusPerPod"] = spec.gpus_per_pod
    other = fleet.spec.tier(Tier.SMALL if tier is Tier.LARGE else Tier.LARGE).model.served_name
    if other is not None:
        fields["otherServedName"] = other
    ring = mounts.ring_of_engines(fleet.spec)
    if ring is not None:
        fields["engineKeysSecret"] = ring
    # A field of which only parts count that do not differ from their defaults is the same as no field.
    return {key: value for key, value in fields.items() if value != {}}
