"""How many whole groups fit on the nodes now: pure.

Fixed capacity creates a group only when all its pods find a place at once (contracts.md, "Life of a group"). Nodes
come in with the GPUs that are free on them; where pods of a group must share a topology value, each value is a
yard of its own. First fit in order of the fullest node keeps whole nodes free for the next group.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from heterofleet.api.labels import Manifest


class Taint(NamedTuple):
    key: str
    value: str
    effect: str


class Toleration(NamedTuple):
    """A pod's toleration; what it leaves out is empty."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a pod asks of a node, beside free GPUs. Affinity is left to the scheduler."""

    gpu_resource: str
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()

    @classmethod
    def of(cls, pod_spec: Manifest, gpu_resource: str) -> "Demand":
        """The demand of a pod as it is rendered, its overlay included."""
        tolerations = (
            Toleration(t.get("key") or "", t.get("operator") or "Equal", t.get("value") or "", t.get("effect") or "")
            for t in pod_spec.get("tolerations") or ()
        )
        return cls(gpu_resource, pod_spec.get("nodeSelector") or {}, tuple(tolerations))

    def tolerates(self, taint: Taint) -> bool:
        # The admission plugin ExtendedResourceToleration admits pods that ask for the resource.
        return taint.key == self.gpu_resource or any(tolerates(t, taint) for t in self.tolerations)


@dataclass(frozen=True, slots=True)
class Node:
    """A node that could take pods, with what is free on it."""

    name: str
    labels: Mapping[str, str]
    free_gpus: int
    ready: bool = True
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """One group: `pods` pods of `gpus_per_pod` GPUs each."""

    pods: int
    gpus_per_pod: int


@dataclass(frozen=True, slots=True)
class Places:
    """Nodes for each group that fits, a node a pod, and the GPUs that are free in all.

    `contended`: others were promised GPUs that they have not taken yet, so that the answer changes soon.
    """

    groups: tuple[tuple[str, ...], ...]
    free_gpus: int
    contended: bool = False


def admits(node: Node, demand: Demand) -> bool:
    """Whether a pod may run on a node, by readiness, labels and taints."""
    if not node.ready or node.unschedulable:
        return False
    if any(node.labels.get(key) != value for key, value in demand.node_selector.items()):
        return False
    return all(taint.effect == "PreferNoSchedule" or demand.tolerates(taint) for taint in node.taints)


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Kubernetes' rule; an empty key with Exists tolerates everything."""
    if toleration.effect not in ("", taint.effect):
        return False
    if toleration.key not in ("", taint.key):
        return False
    return toleration.operator == "Exists" or (toleration.key != "" and toleration.value == taint.value)


def place(nodes: Sequence[Node], shape: Shape, wanted: int, topology_key: str | None) -> Places:
    """Places for up to `wanted` groups on nodes that admit them."""
    yards: defaultdict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        if topology_key is None:
            yards[""].append(node)
        elif topology_key in node.labels:
            yards[node.labels[topology_key]].append(node)
    groups: list[tuple[str, ...]] = []
    for _, yard in sorted(yards.items()):
        slots = [
            node.name
            for node in sorted(yard, key=lambda n: (n.free_gpus, n.name))
            for _ in range(node.free_gpus // shape.gpus_per_pod)
        ]
        while len(groups) < wanted and len(slots) >= shape.pods:
            groups.append(tuple(slots[: shape.pods]))
            slots = slots[shape.pods :]
    return Places(tuple(groups), sum(node.free_gpus for node in nodes))


def without(nodes: Sequence[Node], taken: Places, gpus_per_pod: int) -> list[Node]:
    """The nodes with fewer free GPUs, after `taken` has got its places."""
    held: defaultdict[str, int] = defaultdict(int)
    for group in taken.groups:
        for name in group:
            held[name] += gpus_per_pod
    return [replace(node, free_gpus=node.free_gpus - held[node.name]) for node in nodes]
