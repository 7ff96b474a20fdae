"""Decides how vLLM is started: a tier's typed fields become arguments and environment, the same for every rank.

What differs by rank (node rank, leader's address, --headless) and the drain's timeout are added by the supervisor,
which also puts the local folder of the weights in the place of `{model}`. An engine answers to every name that a
client may ask for, so that routers forward bodies untouched; its tier's own name stands first, since vLLM answers
with the first one.
"""

from collections.abc import Iterator
from typing import Final

from heterofleet.api import labels
from heterofleet.api.engine import Dtype
from heterofleet.api.labels import Manifest, Tier
from heterofleet.api.tier import TierSpec
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import children, mounts, names

CACHE_FOLDER: Final = "/cache"
MODEL_FOLDER: Final = "/model"
SUPERVISOR_FOLDER: Final = "/heterofleet/supervisor"
SUPERVISOR_PORT: Final = 8001
CLASS_NAMES: Final = ("auto", "plan", "act")
"""Model names that ask for a class of request and not for a model (contracts.md, "Operator -> router")."""

_CLAIM: Final = "pvc://"
_HUB: Final = "hf://"
_BUCKET: Final = "s3://"


def served_names(fleet: HeterogeneousDeployment, tier: Tier) -> tuple[str, ...]:
    """Every model name that an engine of `tier` answers to, its own first, none twice."""
    other = Tier.SMALL if tier is Tier.LARGE else Tier.LARGE
    wanted = (fleet.served_name(tier), fleet.served_name(other), fleet.metadata.name, *CLASS_NAMES)
    return tuple(dict.fromkeys(wanted))


def command() -> list[str]:
    return ["python3", SUPERVISOR_FOLDER, "--"]


def arguments(fleet: HeterogeneousDeployment, tier: Tier) -> list[str]:
    """What the supervisor starts, without what it adds itself. The user's own arguments come last."""
    spec = fleet.spec.tier(tier)
    return [
        *("vllm", "serve", "{model}"),
        *("--served-model-name", *served_names(fleet, tier)),
        *("--host", "0.0.0.0", "--port", str(labels.ENGINE_PORT)),  # noqa: S104  the pod's own address is what it serves on
        *_layout(spec),
        *_limits(spec),
        *spec.engine.extra_args,
    ]


def _layout(spec: TierSpec) -> Iterator[str]:
    parallelism = spec.parallelism
    yield from ("--tensor-parallel-size", str(parallelism.tensor))
    if parallelism.pipeline > 1:
        yield from ("--pipeline-parallel-size", str(parallelism.pipeline))
    if parallelism.data > 1:
        yield from ("--data-parallel-size", str(parallelism.data))
    if parallelism.expert_parallel:
        yield "--enable-expert-parallel"


def _limits(spec: TierSpec) -> Iterator[str]:
    engine = spec.engine
    yield from ("--gpu-memory-utilization", f"{engine.gpu_memory_utilization:g}")
    for flag, value in (
        ("--max-model-len", engine.max_model_len),
        ("--max-num-seqs", engine.max_num_seqs),
        ("--max-num-batched-tokens", engine.max_num_batched_tokens),
    ):
        if value is not None:
            yield from (flag, str(value))
    if engine.dtype is not Dtype.AUTO:
        yield from ("--dtype", str(engine.dtype))
    yield "--enable-prefix-caching" if engine.prefix_caching else "--no-enable-prefix-caching"


def environment(fleet: HeterogeneousDeployment, tier: Tier) -> list[Manifest]:
    """The container's variables; one that the user names takes the place of ours."""
    spec = fleet.spec.tier(tier)
    ours = [*_identity(), *_group(fleet, tier), *_keys(fleet), *_model(fleet, tier), *_libraries(spec)]
    by_name = {variable["name"]: variable for variable in ours}
    for variable in spec.engine.env:
        by_name[variable.name] = children.dumped(variable)
    return list(by_name.values())


def claim(source: str) -> tuple[str, str] | None:
    """Claim and path of a `pvc://claim/path` source, None for any other."""
    if not source.startswith(_CLAIM):
        return None
    name, _, path = source.removeprefix(_CLAIM).partition("/")
    return name, path.strip("/")


def downloads(source: str) -> bool:
    """Says that the weights come over the network and not from a volume."""
    return source.startswith((_HUB, _BUCKET))


def _identity() -> Iterator[Manifest]:
    yield _field("HETEROFLEET_POD_NAME", "metadata.name")
    yield _field("HETEROFLEET_POD_IP", "status.podIP")


def _group(fleet: HeterogeneousDeployment, tier: Tier) -> Iterator[Manifest]:
    spec = fleet.spec.tier(tier)
    yield _value("HETEROFLEET_PODS", str(spec.pods_per_instance))
    if tier is Tier.LARGE:
        yield _field("HETEROFLEET_POD_INDEX", f"metadata.labels['{labels.POD_INDEX}']")
        # One template serves all instances: the pod learns its own from its label, and its Service's name from that.
        yield _field("HETEROFLEET_INSTANCE", f"metadata.labels['{labels.INSTANCE}']")
        stem = names.large(fleet.metadata.name, 0).removesuffix("0")
        service = f"{stem}$(HETEROFLEET_INSTANCE).{fleet.metadata.namespace}.svc"
        yield _value("HETEROFLEET_GROUP_SERVICE", service)
    yield _value("HETEROFLEET_DRAIN_SECONDS", str(spec.lifecycle.drain_timeout_seconds))


def _keys(fleet: HeterogeneousDeployment) -> Iterator[Manifest]:
    """The supervisor hands the keys to vLLM in a file: arguments and variables can be seen by others."""
    if mounts.ring_of_engines(fleet.spec) is not None:
        yield _value("HETEROFLEET_KEYS_DIR", mounts.ENGINE_KEYS)


def _model(fleet: HeterogeneousDeployment, tier: Tier) -> Iterator[Manifest]:
    model = fleet.spec.tier(tier).model
    mounted = claim(model.source)
    source = model.source if mounted is None else f"file://{MODEL_FOLDER}/{mounted[1]}".rstrip("/")
    yield _value("HETEROFLEET_SERVED_MODEL", fleet.served_name(tier))
    yield _value("HETEROFLEET_MODEL_SOURCE", source)
    if source.startswith(_HUB):
        yield _value("HETEROFLEET_MODEL_REVISION", model.revision)
    yield _value("HETEROFLEET_CACHE_DIR", CACHE_FOLDER)
    if model.token_secret is not None:
        reference = {"name": model.token_secret.name, "key": model.token_secret.key}
        yield {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": reference}}


def _libraries(spec: TierSpec) -> Iterator[Manifest]:
    yield _field("VLLM_HOST_IP", "status.podIP")
    yield _value("VLLM_NO_USAGE_STATS", "1")
    yield _value("HF_HOME", f"{CACHE_FOLDER}/huggingface")
    if spec.parallelism.world > 1:
        # NCCL finds interfaces and InfiniBand by itself, and what must be said is a cluster's own (engine.env);
        # a warning tells what it chose when it fails, where by default it says nothing.
        yield _value("NCCL_DEBUG", "WARN")


def _value(name: str, value: str) -> Manifest:
    return {"name": name, "value": value}


def _field(name: str, path: str) -> Manifest:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
