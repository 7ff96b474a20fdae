"""What every child of a fleet has in common: who owns it, how it is labelled, and no field that says nothing.

Labels and annotations of the fleet itself are not copied: GitOps tools track what they applied by them.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from heterofleet.api import labels
from heterofleet.api.base import Model
from heterofleet.api.labels import Manifest
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import names


class Kind(NamedTuple):
    """A kind as a manifest names it."""

    api_version: str
    kind: str


CONFIG_MAP: Final = Kind("v1", "ConfigMap")
SERVICE: Final = Kind("v1", "Service")
SERVICE_ACCOUNT: Final = Kind("v1", "ServiceAccount")
STATEFUL_SET: Final = Kind("apps/v1", "StatefulSet")
DEPLOYMENT: Final = Kind("apps/v1", "Deployment")
CONTROLLER_REVISION: Final = Kind("apps/v1", "ControllerRevision")
DISRUPTION_BUDGET: Final = Kind("policy/v1", "PodDisruptionBudget")
NETWORK_POLICY: Final = Kind("networking.k8s.io/v1", "NetworkPolicy")
ROLE: Final = Kind("rbac.authorization.k8s.io/v1", "Role")
ROLE_BINDING: Final = Kind("rbac.authorization.k8s.io/v1", "RoleBinding")
AUTOSCALER: Final = Kind("autoscaling/v2", "HorizontalPodAutoscaler")
POD_GROUP: Final = Kind("scheduling.k8s.io/v1beta1", "PodGroup")
POD_MONITOR: Final = Kind("monitoring.coreos.com/v1", "PodMonitor")
PROMETHEUS_RULE: Final = Kind("monitoring.coreos.com/v1", "PrometheusRule")
TIER: Final = Kind(labels.API_VERSION, labels.TIER_KIND)


def child(
    fleet: HeterogeneousDeployment,
    kind: Kind,
    name: str,
    own_labels: Mapping[str, str],
    component: str,
    *,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """An object of the fleet that holds nothing yet but its metadata."""
    metadata: Manifest = {
        "name": name,
        "namespace": fleet.metadata.namespace,
        "labels": {**names.recommended(fleet.metadata.name, component), **own_labels},
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    if fleet.metadata.uid:
        metadata["ownerReferences"] = [owner_reference(fleet)]
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


def owner_reference(fleet: HeterogeneousDeployment) -> Manifest:
    """Makes the garbage collector delete a child after its fleet, also while no operator runs."""
    return {
        "apiVersion": fleet.api_version,
        "kind": fleet.kind,
        "name": fleet.metadata.name,
        "uid": fleet.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def dumped(value: Model) -> Manifest:
    """A part of the spec as Kubernetes reads it, with only what is given."""
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


def stated(**fields: object) -> Manifest:
    """The fields that say something: what is None, empty text or an empty collection is left out."""
    return {name: value for name, value in fields.items() if value is not None and value not in ("", [], {}, ())}
