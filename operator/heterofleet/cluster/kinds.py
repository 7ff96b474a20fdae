"""The kinds that this operator reads or writes, and where the API server serves each.

A static table instead of a discovery library: the operator's rights name the same plurals, and a test holds both
together. Kinds that may be absent (`optional`) are looked for while the operator runs.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from heterofleet.api import labels


class Kind(NamedTuple):
    """Where a kind is served; `optional` ones may be missing in a cluster or come later."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True
    optional: bool = False

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """URL path of the collection, of one namespace's part of it, or of an object."""
        root = "/api/v1" if self.api_version == "v1" else f"/apis/{self.api_version}"
        scope = f"/namespaces/{namespace}" if namespace else ""
        tail = f"/{name}" if name else ""
        return f"{root}{scope}/{self.plural}{tail}{f'/{subresource}' if subresource else ''}"


FLEET: Final = Kind(labels.API_VERSION, labels.FLEET_KIND, labels.FLEET_PLURAL)
TIER: Final = Kind(labels.API_VERSION, labels.TIER_KIND, labels.TIER_PLURAL)
POD: Final = Kind("v1", "Pod", "pods")
NODE: Final = Kind("v1", "Node", "nodes", namespaced=False)
LEASE: Final = Kind("coordination.k8s.io/v1", "Lease", "leases")
EVENT: Final = Kind("v1", "Event", "events")
CLAIM: Final = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
REPLICA_SET: Final = Kind("apps/v1", "ReplicaSet", "replicasets")
REVISION: Final = Kind("apps/v1", "ControllerRevision", "controllerrevisions")
POD_GROUP_VERSIONS: Final = ("scheduling.k8s.io/v1", "scheduling.k8s.io/v1beta1", "scheduling.k8s.io/v1alpha2")

CHILDREN: Final = (
    Kind("v1", "ServiceAccount", "serviceaccounts"),
    Kind("rbac.authorization.k8s.io/v1", "Role", "roles"),
    Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
    Kind("v1", "ConfigMap", "configmaps"),
    REVISION,
    Kind("v1", "Service", "services"),
    Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    *(Kind(version, "PodGroup", "podgroups", optional=True) for version in POD_GROUP_VERSIONS),
    TIER,
    Kind("apps/v1", "StatefulSet", "statefulsets"),
    Kind("apps/v1", "Deployment", "deployments"),
    Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    Kind("monitoring.coreos.com/v1", "PodMonitor", "podmonitors", optional=True),
    Kind("monitoring.coreos.com/v1", "PrometheusRule", "prometheusrules", optional=True),
)
"""What a fleet owns, beside pods; all carry the fleet's label."""

OPTIONAL: Final = tuple(kind for kind in CHILDREN if kind.optional)

BY_NAME: Final[Mapping[tuple[str, str], Kind]] = {
    (kind.api_version, kind.kind): kind for kind in (FLEET, *CHILDREN, POD, NODE, LEASE, EVENT, CLAIM, REPLICA_SET)
}
