"""The names that stay for ever: labels, annotations, finalizer-free ownership, condition types and reasons.

Selectors of running objects contain these labels, so a change here orphans what runs (contracts.md,
"Names, labels, ownership"). Enums are the single source of the page that lists what each means.
"""

from enum import StrEnum
from typing import Any, Final, NamedTuple

Manifest = dict[str, Any]
"""A plain Kubernetes object, with Kubernetes' own camelCase keys."""

GROUP: Final = "heterofleet.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
FLEET_KIND: Final = "HeterogeneousDeployment"
FLEET_PLURAL: Final = "heterogeneousdeployments"
TIER_KIND: Final = "HeterogeneousTier"
TIER_PLURAL: Final = "heterogeneoustiers"
FIELD_MANAGER: Final = "heterofleet-operator"

FLEET: Final = f"{GROUP}/fleet"
TIER: Final = f"{GROUP}/tier"
POOL: Final = f"{GROUP}/pool"
INSTANCE: Final = f"{GROUP}/instance"
COMPONENT: Final = f"{GROUP}/component"
REVISION: Final = f"{GROUP}/revision"
STATE: Final = f"{GROUP}/state"
POD_INDEX: Final = "apps.kubernetes.io/pod-index"
"""Set by Kubernetes on a StatefulSet's pods; the leader is "0"."""

SPEC_HASH: Final = f"{GROUP}/spec-hash"
ROLL: Final = f"{GROUP}/roll"
RETRY: Final = f"{GROUP}/retry"
RELEASE: Final = f"{GROUP}/release"
DRAIN_DEADLINE: Final = f"{GROUP}/drain-deadline"
POD_DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
OUT_OF_SERVICE_TAINT: Final = "node.kubernetes.io/out-of-service"
GPU_PRODUCT: Final = "nvidia.com/gpu.product"

DEFAULT_POOL: Final = "default"
ENGINE_PORT: Final = 8000
ROUTER_PORT: Final = 8080
METRICS_PORT: Final = 9090


class FleetKey(NamedTuple):
    """Names one fleet in the cluster."""

    namespace: str
    name: str


class Tier(StrEnum):
    LARGE = "large"
    SMALL = "small"

    # Enum's own is a Python function, and the router looks things up by tier a dozen times a request.
    __hash__ = str.__hash__


class Component(StrEnum):
    ENGINE = "engine"
    ROUTER = "router"


class PodState(StrEnum):
    """Value of the label `heterofleet.io/state`: Services that carry requests select `serving`."""

    SERVING = "serving"
    DRAINING = "draining"


class EventReason(StrEnum):
    """Reasons of Events that tell what was done; those of conditions are in `conditions.Reason`."""

    INSTANCE_CREATED = "InstanceCreated"
    INSTANCE_DELETED = "InstanceDeleted"
    DRAIN_STARTED = "DrainStarted"
    DRAIN_CALLED_OFF = "DrainCalledOff"
    DRAINED = "Drained"
    GROUP_RESTARTED = "GroupRestarted"
    FIELD_TAKEN_BACK = "FieldTakenBack"
    COUNT_OVERRIDDEN = "CountOverridden"
    SCALED = "Scaled"
    SCALE_ADVISED = "ScaleAdvised"
