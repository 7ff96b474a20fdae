"""One tier of a fleet as its user writes it: the model, how it is cut over GPUs, where it runs and how it lives.

Which of these fields shape a pod, and so roll it when they change, is decided by `desired.revision`.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from heterofleet.api.base import KeyedBy, LocalReference, Model, ObjectName, Overlay, Quantities, Rule
from heterofleet.api.engine import Engine
from heterofleet.api.model import ModelSource
from heterofleet.api.placement import Placement
from heterofleet.api.price import Price
from heterofleet.api.scaling import Objective
from heterofleet.api.storage import Storage


class Parallelism(Model):
    """How one instance is cut over GPUs, in vLLM's terms: world = tensor x pipeline x data GPUs."""

    tensor: int = Field(1, ge=1, le=64, description="GPUs over which each layer is cut.")
    pipeline: int = Field(1, ge=1, le=64, description="Stages into which the layers are cut; 1 on the small tier.")
    data: int = Field(
        1, ge=1, le=256, description="Copies of the attention layers; above 1 for mixture-of-experts models only."
    )
    expert_parallel: bool = Field(
        False, description="Spread whole experts over tensor x data GPUs, instead of cutting each (MoE models only)."
    )
    gpus_per_pod: int | None = Field(
        None, ge=1, le=64, description="GPUs of one pod; the smaller of world and placement.gpusPerNode unless given."
    )

    RULES: ClassVar = (
        Rule(
            cel="!has(self.gpusPerPod) || (self.tensor * self.pipeline * self.data) % self.gpusPerPod == 0",
            message="tensor x pipeline x data must be a multiple of gpusPerPod: choose a gpusPerPod that divides it",
            holds=lambda p: p.gpus_per_pod is None or p.world % p.gpus_per_pod == 0,
        ),
        Rule(
            # Speaks only where the rule above does not, so that one mistake gets one sentence.
            cel="!has(self.gpusPerPod) || (self.tensor * self.pipeline * self.data) % self.gpusPerPod != 0"
            " || (self.tensor * self.pipeline) % self.gpusPerPod == 0"
            " || self.gpusPerPod % (self.tensor * self.pipeline) == 0",
            message="a data-parallel rank (tensor x pipeline GPUs) lies whole in one pod or spans whole pods: choose a"
            " gpusPerPod that divides tensor x pipeline or is a multiple of it",
            holds=lambda p: (
                p.gpus_per_pod is None or p.world % p.gpus_per_pod != 0 or p.rank_packs_into(p.gpus_per_pod)
            ),
        ),
        Rule(
            cel="self.tensor * self.pipeline * self.data <= 1024",
            message="an instance has at most 1024 GPUs: lower tensor, pipeline or data",
            holds=lambda p: p.world <= 1024,
        ),
    )

    @property
    def world(self) -> int:
        """GPUs of one instance."""
        return self.tensor * self.pipeline * self.data

    def rank_packs_into(self, gpus_per_pod: int) -> bool:
        """Says that a data-parallel rank lies whole in one pod of this size, or spans whole pods."""
        rank = self.tensor * self.pipeline
        return rank % gpus_per_pod == 0 or gpus_per_pod % rank == 0


class Instances(Model):
    """How many instances a tier may have; warm ones run beyond the planned count, within max and budgets."""

    min: int = Field(1, ge=0, le=1000, description="Fewest planned instances.")
    max: int | None = Field(
        None, ge=0, le=1000, description="Most instances, warm ones included; min + warm unless given."
    )
    warm: int = Field(
        0,
        ge=0,
        le=100,
        description="Instances that run and serve beyond the planned count, ready for a rise or a loss.",
    )

    RULES: ClassVar = (
        Rule(
            cel="!has(self.max) || self.min <= self.max",
            message="instances.min must not be above instances.max: lower min or raise max",
            holds=lambda i: i.max is None or i.min <= i.max,
        ),
    )

    @property
    def most(self) -> int:
        """The effective maximum, warm instances included."""
        return self.min + self.warm if self.max is None else self.max


class Lifecycle(Model):
    """How long things may take, and how often they may fail."""

    startup_timeout_seconds: int | None = Field(
        None,
        ge=30,
        le=86_400,
        description="Time from a group's start to its first answer, download included; from the model's size unless"
        " given.",
    )
    drain_timeout_seconds: int = Field(
        300, ge=0, le=86_400, description="Longest time that running requests get before their GPUs are taken."
    )
    max_group_restarts: int = Field(
        5,
        ge=0,
        le=100,
        description="Failures of a group after which it is Failed and its GPUs are freed; large tier only.",
    )
    restart_reset_seconds: int = Field(
        3600, ge=60, le=604_800, description="Time Ready after which a group's failures are forgotten; large tier only."
    )
    node_lost_seconds: int = Field(
        60, ge=10, le=3600, description="Time after which an instance on an unreachable node is given up and replaced."
    )
    max_evacuating: int = Field(
        1, ge=1, le=100, description="Groups that may leave cordoned nodes at the same time; large tier only."
    )
    evacuate_after_seconds: int = Field(
        600,
        ge=0,
        le=86_400,
        description="Time without a free place elsewhere after which a group on a cordoned node is drained anyway;"
        " large tier only.",
    )


class Resources(Model):
    """CPU, memory and other resources of the main container; GPUs come from parallelism."""

    requests: Quantities = Field(default_factory=dict, description="What a pod asks for, such as cpu: 16.")
    limits: Quantities = Field(default_factory=dict, description="What a pod may use at most.")


class TierSpec(Model):
    """A tier: every instance of it is alike."""

    model: ModelSource
    parallelism: Parallelism = Parallelism()
    instances: Instances = Instances()
    engine: Engine = Engine()
    placement: Placement = Placement()
    storage: Storage = Storage()
    lifecycle: Lifecycle = Lifecycle()
    resources: Resources = Resources()
    image_pull_secrets: Annotated[list[LocalReference], Field(max_length=16), KeyedBy("name")] = Field(
        default_factory=list, description="Secrets with which the images are pulled."
    )
    service_account_name: ObjectName | None = Field(
        None,
        description="ServiceAccount of the pods, which gets no token mounted; the namespace's default unless given.",
    )
    runtime_class_name: ObjectName | None = Field(None, description="RuntimeClass of the pods, such as nvidia.")
    price: Price | None = Field(None, description="Price of the tier's GPUs and tokens.")
    objective: Objective = Objective()
    pod_template: Overlay | None = Field(
        None,
        description="Overlay of the pods' template (metadata and spec), merged as Kubernetes merges patches; it has the"
        " last word, but for the labels by which the fleet finds its pods.",
    )

    RULES: ClassVar = (
        Rule(
            cel="!has(self.parallelism.gpusPerPod) || self.parallelism.gpusPerPod <= self.placement.gpusPerNode",
            message="parallelism.gpusPerPod must not be above placement.gpusPerNode: a pod lives on one node",
            holds=lambda t: (t.parallelism.gpus_per_pod or 1) <= t.placement.gpus_per_node,
        ),
        Rule(
            cel="has(self.parallelism.gpusPerPod)"
            " || self.parallelism.tensor * self.parallelism.pipeline * self.parallelism.data"
            " <= self.placement.gpusPerNode"
            " || (self.parallelism.tensor * self.parallelism.pipeline * self.parallelism.data)"
            " % self.placement.gpusPerNode == 0",
            message="tensor x pipeline x data must be a multiple of placement.gpusPerNode,"
            " or set parallelism.gpusPerPod",
            holds=lambda t: t.parallelism.gpus_per_pod is not None or t.parallelism.world % t.gpus_per_pod == 0,
        ),
        Rule(
            cel="has(self.parallelism.gpusPerPod)"
            " || self.parallelism.tensor * self.parallelism.pipeline * self.parallelism.data"
            " <= self.placement.gpusPerNode"
            " || (self.parallelism.tensor * self.parallelism.pipeline * self.parallelism.data)"
            " % self.placement.gpusPerNode != 0"
            " || (self.parallelism.tensor * self.parallelism.pipeline) % self.placement.gpusPerNode == 0"
            " || self.placement.gpusPerNode % (self.parallelism.tensor * self.parallelism.pipeline) == 0",
            message="a data-parallel rank (tensor x pipeline GPUs) lies whole in one pod or spans whole pods, and a pod"
            " takes placement.gpusPerNode GPUs: change tensor or pipeline, or set parallelism.gpusPerPod",
            holds=lambda t: (
                t.parallelism.gpus_per_pod is not None
                or t.parallelism.world % t.gpus_per_pod != 0
                or t.parallelism.rank_packs_into(t.gpus_per_pod)
            ),
        ),
        Rule(
            cel="!has(self.model.facts) || !has(self.model.facts.experts) || self.model.facts.experts > 0"
            " || (!self.parallelism.expertParallel && self.parallelism.data == 1)",
            message="expertParallel and data above 1 need a mixture-of-experts model, and model.facts.experts is 0:"
            " use instances instead",
            holds=lambda t: (
                t.model.facts is None
                or t.model.facts.experts != 0
                or (not t.parallelism.expert_parallel and t.parallelism.data == 1)
            ),
        ),
        Rule(
            cel="!(has(self.resources.requests) && self.placement.gpuResource in self.resources.requests)"
            " && !(has(self.resources.limits) && self.placement.gpuResource in self.resources.limits)",
            message="resources may not name placement.gpuResource, since parallelism sets the GPUs: remove it there",
            holds=lambda t: t.placement.gpu_resource not in {**t.resources.requests, **t.resources.limits},
        ),
        Rule(
            cel="!has(self.model.tokenSecret) || !has(self.engine.env)"
            " || !self.engine.env.exists(variable, variable.name == 'HF_TOKEN')",
            message="model.tokenSecret and engine.env both set HF_TOKEN: keep model.tokenSecret alone",
            holds=lambda t: t.model.token_secret is None or all(v.name != "HF_TOKEN" for v in t.engine.env),
        ),
    )

    @property
    def usd_per_gpu_hour(self) -> float | None:
        """What one of its GPUs costs an hour; None where nobody has said it."""
        return None if self.price is None else self.price.usd_per_gpu_hour

    @property
    def gpus_per_pod(self) -> int:
        """GPUs of one pod, as given or by default."""
        return self.parallelism.gpus_per_pod or min(self.parallelism.world, self.placement.gpus_per_node)

    @property
    def pods_per_instance(self) -> int:
        return self.parallelism.world // self.gpus_per_pod
