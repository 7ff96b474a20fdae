"""Where a tier's pods run, and what a GPU is called there."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from heterofleet.api.base import LabelKey, Labels, LabelValue, Model, ObjectName, Overlay, Rule, Transition
from heterofleet.api.labels import GPU_PRODUCT


class Capacity(StrEnum):
    """When the pods of a group are created, although a free place for all of them may not be there yet."""

    FIXED = "Fixed"
    ELASTIC = "Elastic"


class TolerationOperator(StrEnum):
    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Model):
    """A taint that the pods tolerate, as in a pod."""

    key: LabelKey | None = Field(None, description="Key of the taint; every key unless given (operator Exists).")
    operator: TolerationOperator | None = Field(
        None, description="Exists for any value, Equal for the value given; Equal unless given."
    )
    value: LabelValue | None = Field(None, description="Value of the taint, for operator Equal.")
    effect: TaintEffect | None = Field(None, description="Effect of the taint; every effect unless given.")
    toleration_seconds: Annotated[int, Field(ge=0, le=31_536_000)] | None = Field(
        None, description="How long a NoExecute taint is tolerated, in seconds; for ever unless given."
    )

    RULES: ClassVar = (
        Rule(
            cel="!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
            message="a toleration with operator Exists has no value: remove it, or use operator Equal",
            holds=lambda t: t.operator is not TolerationOperator.EXISTS or not t.value,
        ),
        Rule(
            cel="has(self.key) || (has(self.operator) && self.operator == 'Exists')",
            message="a toleration without a key needs operator Exists: add the key or the operator",
            holds=lambda t: t.key is not None or t.operator is TolerationOperator.EXISTS,
        ),
        Rule(
            cel="!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            message="tolerationSeconds needs effect NoExecute: set the effect or remove the seconds",
            holds=lambda t: t.toleration_seconds is None or t.effect is TaintEffect.NO_EXECUTE,
        ),
    )


class Placement(Model):
    """Where a tier's pods run, and what a GPU is called there."""

    gpu_resource: Annotated[
        str, StringConstraints(pattern=r"^[a-z0-9][-a-z0-9.]*/[-A-Za-z0-9._]+$", max_length=253)
    ] = Field("nvidia.com/gpu", description="Resource that the nodes offer and the pods ask for. Immutable.")
    gpu_product: LabelValue | None = Field(
        None,
        description=f"Kind of GPU, as the node label {GPU_PRODUCT} says it: pods go to such nodes alone, and"
        " memory and kernels are checked for it; any GPU unless given.",
    )
    gpus_per_node: int = Field(8, ge=1, le=64, description="GPUs of one node: the most that one pod may ask for.")
    capacity: Capacity = Field(
        Capacity.FIXED,
        description="Fixed: a group is created only when it fits whole on free nodes now. Elastic: it is created"
        " Pending, for a node autoscaler to see.",
    )
    gang_timeout_seconds: int = Field(
        600,
        ge=10,
        le=86_400,
        description="Under capacity Elastic: a group whose pods are not all scheduled after this time is removed whole"
        " and tried again later.",
    )
    node_selector: Labels = Field(default_factory=dict, description="Labels that a node must have.")
    tolerations: Annotated[list[Toleration], Field(max_length=32)] = Field(
        default_factory=list, description="Taints that the pods tolerate."
    )
    affinity: Overlay | None = Field(None, description="Affinity of the pods, as in a pod.")
    topology_key: LabelKey | None = Field(
        None, description="Node label whose value all pods of a group share, such as a rack or a fabric's name."
    )
    priority_class_name: ObjectName | None = Field(None, description="PriorityClass of the pods.")
    scheduler_name: ObjectName | None = Field(
        None, description="Scheduler of the pods (Volcano, KAI); Kubernetes' own unless given."
    )

    RULES: ClassVar = (
        Rule(
            cel=f"!has(self.gpuProduct) || !has(self.nodeSelector) || !('{GPU_PRODUCT}' in self.nodeSelector)",
            message=f"placement.gpuProduct and nodeSelector both set {GPU_PRODUCT}: keep gpuProduct alone",
            holds=lambda p: p.gpu_product is None or GPU_PRODUCT not in p.node_selector,
        ),
    )
    TRANSITIONS: ClassVar = (
        Transition(
            cel="self.gpuResource == oldSelf.gpuResource",
            message="gpuResource is immutable, since budgets count it: make a new fleet for another kind of GPU",
            holds=lambda new, old: new.gpu_resource == old.gpu_resource,
        ),
    )
