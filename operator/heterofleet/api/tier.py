"""One tier of a fleet as its user writes it: the model, how it is cut over GPUs, where it runs and how it lives.

Which of these fields shape a pod, and so roll it when they change, is decided by `desired.revision`.
"""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from heterofleet.api.base import (
    Labels,
    LocalReference,
    Model,
    ObjectName,
    Overlay,
    Quantity,
    Rule,
    SecretKey,
    ShortText,
    Transition,
)

MODEL_SOURCE = r"^(hf://[^/\s]+/[^/\s]+|s3://[^/\s]+(/\S*)?|pvc://[a-z0-9][-a-z0-9.]*/\S*|file:///\S+)$"


class ModelFacts(Model):
    """What the catalogue would say of a model; what is given here beats it.

    Sizes are counts or bytes. `kvLoraRank` marks multi-head latent attention, `quantizationBlock` block-wise FP8.
    """

    parameters: int | None = Field(None, ge=1_000_000, description="All weights, as a count.")
    active_parameters: int | None = Field(None, ge=1_000_000, description="Weights that one token uses.")
    weight_bytes: int | None = Field(None, ge=1_000_000, description="Size of the checkpoint in memory.")
    layers: int | None = Field(None, ge=1, le=1000)
    hidden_size: int | None = Field(None, ge=1)
    attention_heads: int | None = Field(None, ge=1)
    kv_heads: int | None = Field(None, ge=1)
    head_dim: int | None = Field(None, ge=1)
    kv_lora_rank: int | None = Field(None, ge=1)
    experts: int | None = Field(None, ge=0, description="Routed experts a layer; 0 for a dense model.")
    moe_intermediate_size: int | None = Field(None, ge=1)
    quantization_block: int | None = Field(None, ge=1, description="Block of FP8 weights, as in 128.")
    context_length: int | None = Field(None, ge=1)
    family: ShortText | None = Field(None, description="Family of tokenizer and chat template.")


class ModelSource(Model):
    """Which weights a tier serves, and under which name clients ask for them."""

    source: Annotated[str, StringConstraints(pattern=MODEL_SOURCE, max_length=512)] = Field(
        description="hf://ORG/NAME, s3://BUCKET/PREFIX, pvc://CLAIM/PATH or file:///PATH."
    )
    revision: ShortText = Field("main", description="Branch, tag or commit of an hf:// source.")
    served_name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][-A-Za-z0-9._/]*$", max_length=128)] | None = (
        Field(None, description="Name in the API; <fleet>-large or <fleet>-small unless given. Immutable.")
    )
    token_secret: SecretKey | None = Field(None, description="Access token of the model's source.")
    facts: ModelFacts | None = Field(None, description="Facts of a model that the catalogue does not know.")

    TRANSITIONS: ClassVar = (
        Transition(
            cel="has(self.servedName) == has(oldSelf.servedName)"
            " && (!has(self.servedName) || self.servedName == oldSelf.servedName)",
            message="servedName is immutable, since clients and the other tier use it: make a new fleet to rename it",
            holds=lambda new, old: new.served_name == old.served_name,
        ),
    )


class Parallelism(Model):
    """How one instance is cut over GPUs, in vLLM's terms: world = tensor x pipeline x data GPUs."""

    tensor: int = Field(1, ge=1, le=64)
    pipeline: int = Field(1, ge=1, le=64)
    data: int = Field(1, ge=1, le=256)
    expert_parallel: bool = Field(False, description="Spread experts over tensor x data GPUs (MoE only).")
    gpus_per_pod: int | None = Field(
        None,
        ge=1,
        le=64,
        description="GPUs of one pod; the smaller of world and placement.gpusPerNode unless given.",
    )

    RULES: ClassVar = (
        Rule(
            cel="!has(self.gpusPerPod) || (self.tensor * self.pipeline * self.data) % self.gpusPerPod == 0",
            message="tensor x pipeline x data must be a multiple of gpusPerPod: choose a gpusPerPod that divides it",
            holds=lambda p: p.gpus_per_pod is None or p.world % p.gpus_per_pod == 0,
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


class Instances(Model):
    """How many instances a tier may have; warm ones run beyond the planned count, within max and budgets."""

    min: int = Field(1, ge=0, le=1000)
    max: int | None = Field(None, ge=0, le=1000, description="min + warm unless given.")
    warm: int = Field(0, ge=0, le=100)

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


class Dtype(StrEnum):
    AUTO = "auto"
    HALF = "half"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"


class EnvVar(Model):
    """An environment variable of the engine: a value, or Kubernetes' valueFrom."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
    value: Annotated[str, StringConstraints(max_length=4096)] | None = None
    value_from: Overlay | None = None

    RULES: ClassVar = (
        Rule(
            cel="!(has(self.value) && has(self.valueFrom))",
            message="an environment variable has a value or a valueFrom, not both: remove one",
            holds=lambda e: e.value is None or e.value_from is None,
        ),
    )


RESERVED_ARGUMENTS = (
    "--model", "--revision", "--served-model-name", "--host", "--port", "--tensor-parallel-size", "-tp",
    "--pipeline-parallel-size", "-pp", "--data-parallel-size", "-dp", "--enable-expert-parallel", "-ep", "--nnodes",
    "-n", "--node-rank", "-r", "--master-addr", "--master-port", "--headless", "--gpu-memory-utilization",
    "--max-model-len", "--max-num-seqs", "--max-num-batched-tokens", "--dtype", "--enable-prefix-caching",
    "--no-enable-prefix-caching", "--shutdown-timeout", "--api-key", "--config", "--download-dir",
)  # fmt: skip
"""Flags of vLLM that a typed field or the operator sets; they may not stand in extraArgs."""


def _flag(argument: str) -> str:
    return argument.split("=", maxsplit=1)[0].replace("_", "-")


class Engine(Model):
    """The vLLM process of a tier. What is not given is left to vLLM or derived from the model."""

    image: ShortText | None = Field(None, description="The operator's default engine image unless given.")
    gpu_memory_utilization: float = Field(0.9, ge=0.1, le=1.0)
    max_model_len: int | None = Field(None, ge=16, le=16_777_216, description="Tokens; the model's own unless given.")
    max_num_seqs: int | None = Field(None, ge=1, le=65_536)
    max_num_batched_tokens: int | None = Field(None, ge=1, le=16_777_216)
    dtype: Dtype = Dtype.AUTO
    prefix_caching: bool = True
    shared_memory: Quantity = Field("16Gi", description="Size of /dev/shm, which NCCL and vLLM use between GPUs.")
    extra_args: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=512)]], Field(max_length=64)
    ] = Field(default_factory=list, description="More arguments of `vllm serve`, as they stand.")
    env: Annotated[list[EnvVar], Field(max_length=64)] = Field(default_factory=list)

    RULES: ClassVar = (
        Rule(
            cel="!has(self.extraArgs) || self.extraArgs.all(a, !(a.split('=')[0].replace('_', '-') in ["
            + ", ".join(f"'{flag}'" for flag in RESERVED_ARGUMENTS)
            + "]))",
            message="extraArgs may not hold an argument that a typed field or the operator sets"
            " (parallelism, model, names, ports, lengths, dtype, caching): write the typed field instead",
            holds=lambda e: all(_flag(a) not in RESERVED_ARGUMENTS for a in e.extra_args),
        ),
    )


class Capacity(StrEnum):
    """Fixed: create a group only when it fits whole now. Elastic: create it Pending for a node autoscaler."""

    FIXED = "Fixed"
    ELASTIC = "Elastic"


class Toleration(Model):
    """Kubernetes' toleration."""

    key: ShortText | None = None
    operator: Annotated[str, StringConstraints(pattern=r"^(Exists|Equal|Lt|Gt)$", max_length=8)] | None = None
    value: Annotated[str, StringConstraints(max_length=253)] | None = None
    effect: (
        Annotated[str, StringConstraints(pattern=r"^(NoSchedule|PreferNoSchedule|NoExecute)$", max_length=24)] | None
    ) = None
    toleration_seconds: int | None = None


class Placement(Model):
    """Where a tier's pods run, and what a GPU is called there."""

    gpu_resource: ShortText = "nvidia.com/gpu"
    gpu_product: ShortText | None = Field(None, description="Value of the node label nvidia.com/gpu.product.")
    gpus_per_node: int = Field(8, ge=1, le=64)
    capacity: Capacity = Capacity.FIXED
    gang_timeout_seconds: int = Field(600, ge=10, le=86_400)
    node_selector: Labels = Field(default_factory=dict)
    tolerations: Annotated[list[Toleration], Field(max_length=32)] = Field(default_factory=list)
    affinity: Overlay | None = None
    topology_key: ShortText | None = Field(None, description="Node label whose value all pods of a group share.")
    priority_class_name: ObjectName | None = None
    scheduler_name: ObjectName | None = None

    TRANSITIONS: ClassVar = (
        Transition(
            cel="self.gpuResource == oldSelf.gpuResource",
            message="gpuResource is immutable, since budgets count it: make a new fleet for another kind of GPU",
            holds=lambda new, old: new.gpu_resource == old.gpu_resource,
        ),
    )


class ClaimCache(Model):
    """An existing PersistentVolumeClaim; several pods need ReadWriteMany."""

    claim_name: ObjectName


class HostPathCache(Model):
    """A folder of each node, which survives pods."""

    path: Annotated[str, StringConstraints(pattern=r"^/\S+$", max_length=512)]


class EmptyDirCache(Model):
    """A folder that lives and dies with its pod."""

    size_limit: Quantity | None = None


class ModelCache(Model):
    """Where downloaded weights lie: exactly one of the three."""

    persistent_volume_claim: ClaimCache | None = None
    host_path: HostPathCache | None = None
    empty_dir: EmptyDirCache | None = None

    RULES: ClassVar = (
        Rule(
            cel="[has(self.persistentVolumeClaim), has(self.hostPath), has(self.emptyDir)].filter(x, x).size() == 1",
            message="storage.cache is exactly one of persistentVolumeClaim, hostPath or emptyDir: keep one",
            holds=lambda c: c.kind is not None,
        ),
    )
    TRANSITIONS: ClassVar = (
        Transition(
            cel="has(self.persistentVolumeClaim) == has(oldSelf.persistentVolumeClaim)"
            " && has(self.hostPath) == has(oldSelf.hostPath) && has(self.emptyDir) == has(oldSelf.emptyDir)",
            message="the kind of storage.cache is immutable: make a new fleet for another kind",
            holds=lambda new, old: new.kind == old.kind,
        ),
    )

    @property
    def kind(self) -> str | None:
        """The one field that is set, or None where it is not exactly one."""
        kinds = [name for name in ("persistent_volume_claim", "host_path", "empty_dir") if getattr(self, name)]
        return kinds[0] if len(kinds) == 1 else None


class Storage(Model):
    cache: ModelCache = Field(default_factory=lambda: ModelCache(empty_dir=EmptyDirCache()))


class Lifecycle(Model):
    """How long things may take, and how often they may fail."""

    startup_timeout_seconds: int | None = Field(
        None,
        ge=30,
        le=86_400,
        description="Time from a group's start to its first answer; from the model's size unless given.",
    )
    drain_timeout_seconds: int = Field(300, ge=0, le=86_400)
    max_group_restarts: int = Field(5, ge=0, le=100)
    restart_reset_seconds: int = Field(3600, ge=60, le=604_800)
    node_lost_seconds: int = Field(60, ge=10, le=3600)
    max_evacuating: int = Field(1, ge=1, le=100, description="Groups that may leave cordoned nodes at a time.")
    evacuate_after_seconds: int = Field(
        600,
        ge=0,
        le=86_400,
        description="After this time without a free place a cordoned node's group is drained anyway.",
    )


class Resources(Model):
    """CPU and memory of the main container; GPUs come from parallelism."""

    requests: Annotated[dict[str, Quantity], Field(max_length=16)] = Field(default_factory=dict)
    limits: Annotated[dict[str, Quantity], Field(max_length=16)] = Field(default_factory=dict)


class Price(Model):
    usd_per_gpu_hour: float = Field(ge=0, le=10_000)


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
    image_pull_secrets: Annotated[list[LocalReference], Field(max_length=16)] = Field(default_factory=list)
    service_account_name: ObjectName | None = None
    runtime_class_name: ObjectName | None = None
    price: Price | None = None
    pod_template: Overlay | None = Field(
        None,
        description="A strategic overlay of the pods' template (metadata and spec); it has the last word.",
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
            holds=lambda t: (
                t.parallelism.gpus_per_pod is not None
                or t.parallelism.world <= t.placement.gpus_per_node
                or t.parallelism.world % t.placement.gpus_per_node == 0
            ),
        ),
    )

    @property
    def gpus_per_pod(self) -> int:
        """GPUs of one pod, as given or by default."""
        return self.parallelism.gpus_per_pod or min(self.parallelism.world, self.placement.gpus_per_node)

    @property
    def pods_per_instance(self) -> int:
        return self.parallelism.world // self.gpus_per_pod
