"""Which change of a spec rolls whose pods: a table over every field, so that a new one must be classified."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from heterofleet.api import labels
from heterofleet.api.router import RouterSpec
from heterofleet.api.tier import TierSpec
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import revision
from heterofleet.desired.revision import Role
from unit.desired import fleets

ROLLS: dict[str, Any] = {
    "model.source": "hf://Qwen/Qwen3-14B",
    "model.revision": "v2",
    "model.tokenSecret": {"name": "hf", "key": "token"},
    "parallelism.tensor": 16,
    "parallelism.pipeline": 4,
    "parallelism.data": 2,
    "parallelism.expertParallel": True,
    "parallelism.gpusPerPod": 4,
    "engine.image": "vllm:2",
    "engine.gpuMemoryUtilization": 0.8,
    "engine.maxModelLen": 4096,
    "engine.maxNumSeqs": 8,
    "engine.maxNumBatchedTokens": 4096,
    "engine.dtype": "bfloat16",
    "engine.prefixCaching": False,
    "engine.sharedMemory": "1Gi",
    "engine.extraArgs": ["--seed=1"],
    "engine.env": [{"name": "A", "value": "b"}],
    "placement.gpuResource": "amd.com/gpu",
    "placement.gpuProduct": "NVIDIA-H100-80GB-HBM3",
    "placement.gpusPerNode": 16,
    "placement.nodeSelector": {"a": "b"},
    "placement.tolerations": [{"operator": "Exists"}],
    "placement.affinity": {"nodeAffinity": {}},
    "placement.topologyKey": "rack",
    "placement.priorityClassName": "high",
    "placement.schedulerName": "volcano",
    "storage.cache": {"hostPath": {"path": "/models"}},
    "lifecycle.startupTimeoutSeconds": 900,
    "resources.requests": {"cpu": "1"},
    "resources.limits": {"cpu": "2"},
    "imagePullSecrets": [{"name": "registry"}],
    "serviceAccountName": "engines",
    "runtimeClassName": "nvidia",
    "podTemplate": {"spec": {"hostIPC": True}},
}
ROLLS_BOTH_TIERS: dict[str, Any] = {"model.servedName": "another"}
ROLLS_NOTHING: dict[str, Any] = {
    "model.facts": {"parameters": 32_000_000_000},
    "instances.min": 2,
    "instances.max": 3,
    "instances.warm": 1,
    "placement.capacity": "Elastic",
    "placement.gangTimeoutSeconds": 60,
    "lifecycle.drainTimeoutSeconds": 60,
    "lifecycle.maxGroupRestarts": 1,
    "lifecycle.restartResetSeconds": 60,
    "lifecycle.nodeLostSeconds": 30,
    "lifecycle.maxEvacuating": 2,
    "lifecycle.evacuateAfterSeconds": 30,
    "price": {"usdPerGpuHour": 1.0},
    "objective.ttftSeconds": 1.0,
    "objective.interTokenSeconds": 0.05,
    "objective.attainment": 0.9,
}
ROUTER_ROLLS: dict[str, Any] = {
    "image": "router:2",
    "resources.requests": {"cpu": "1"},
    "resources.limits": {"cpu": "1"},
    "podTemplate": {"spec": {"nodeSelector": {"a": "b"}}},
}
ROUTER_MOUNTS: dict[str, Any] = {
    "auth.keysSecret": "keys",
    "store.redis": {"address": "redis:6379", "passwordSecret": {"name": "redis", "key": "password"}},
    "store.file": {"persistentVolumeClaim": "spend"},
}
"""Of the policy only what must be mounted shapes pods."""

ROUTER_ROLLS_NOTHING: dict[str, Any] = {
    "instances.min": 3,
    "instances.max": 2,
    "instances.targetCpuUtilization": 50,
    "service.type": "NodePort",
    "service.port": 80,
    "service.annotations": {"a": "b"},
}


POLICY: dict[str, Any] = {
    "profile": "Lean",
    "classification.threshold": 0.4,
    "classification.hints": False,
    "affinity.minPromptCharacters": 1,
    "affinity.blockCharacters": 64,
    "affinity.loadBound": 2,
    "queue.maxRequests": 1,
    "queue.planDeadlineSeconds": 1,
    "queue.actDeadlineSeconds": 1,
    "queue.whenPlanOverflows": "Refuse",
    "queue.spillOver": False,
    "retry.attempts": 1,
    "retry.backoffSeconds": 1,
    "retry.maxBackoffSeconds": 1,
    "retry.maxAttempts": 1,
    "retry.maxSeconds": 1,
    "adjustment.enabled": True,
    "adjustment.temperature": 0,
    "adjustment.topP": 0.5,
    "adjustment.maxTokensFactor": 1,
    "escalation.enabled": False,
    "escalation.threshold": 0.5,
    "escalation.windowSeconds": 1,
    "escalation.minSamples": 1,
    "breaker.failures": 1,
    "breaker.openSeconds": 1,
    "breaker.probeIdleSeconds": 0,
    "cache.exact": {"use": "Allowed"},
    "cache.semantic": {"endpoint": "http://embed/v1/embeddings"},
    "fallback.largeForSmall": False,
    "fallback.smallForLarge": False,
    "fallback.cached": False,
    "quality.enabled": False,
    "quality.refusals": False,
    "quality.jsonSchema": False,
    "quality.minMeanLogprob": -1,
    "quality.truncated": True,
    "quality.holdStreamCharacters": 1,
    "consistency.share": 1,
    "consistency.blocking": True,
    "consistency.threshold": 0.1,
    "consistency.review": True,
    "shadow.share": 1,
    "shadow.tier": "large",
    "review.enabled": True,
    "review.reviewers": ["others"],
    "review.timeoutSeconds": 1,
    "review.maxWaiting": 1,
    "compliance.rules": [{"name": "a", "pattern": "b"}],
    "compliance.maxMatchCharacters": 16,
    "tenants.each": {"usdPerDay": 1},
    "tenants.named": [{"name": "a"}],
    "tenants.softFraction": 0.5,
    "limits.maxHeaderBytes": 1024,
    "limits.maxBodyBytes": 1024,
    "limits.maxConnections": 1,
    "limits.headerSeconds": 1,
    "limits.bodySeconds": 1,
    "limits.idleSeconds": 1,
    "limits.connectSeconds": 1,
    "limits.firstByteSeconds": 1,
    "limits.stallSeconds": 1,
    "embeddings": {"endpoints": ["embed:8000"], "model": "embedding"},
    "tenantMetrics": True,
}
"""Read live. Each is tried on routers that have keys, reviewers and a store, since some need them."""

_EQUIPPED: dict[str, Any] = {
    "auth": {"keysSecret": "keys"},
    "store": {"redis": {"address": "redis:6379"}},
    "review": {"enabled": True, "reviewers": ["editors"]},
    "consistency": {"blocking": True},
}


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted paths of a model's fields: one level into those that are always there, which hold the settings."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        path = f"{prefix}{field.alias or name}"
        if not prefix and isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from fields(inner, f"{path}.")
        else:
            yield path


def changed(part: str, path: str, value: Any) -> HeterogeneousDeployment:
    """The fleet with one field of `large`, `small` or `router` set."""
    spec: Any = value
    for name in reversed([part, *path.split(".")]):
        spec = {name: spec}
    return fleets.fleet(**spec)


@dataclass(frozen=True)
class Hashes:
    large: str
    small: str
    router: str

    @classmethod
    def of(cls, fleet: HeterogeneousDeployment) -> "Hashes":
        return cls(*(revision.spec_hash(fleet, role) for role in (Role.LARGE, Role.SMALL, Role.ROUTER)))

    def differ_from(self, other: "Hashes") -> set[str]:
        return {name for name in ("large", "small", "router") if getattr(self, name) != getattr(other, name)}


BEFORE = Hashes.of(fleets.fleet())


def test_every_field_of_a_tier_is_classified() -> None:
    assert set(fields(TierSpec)) == {*ROLLS, *ROLLS_BOTH_TIERS, *ROLLS_NOTHING}


def test_every_field_of_the_router_is_classified() -> None:
    assert set(fields(RouterSpec)) == {*ROUTER_ROLLS, *ROUTER_MOUNTS, *ROUTER_ROLLS_NOTHING, *POLICY}


@pytest.mark.parametrize(("path", "value"), ROLLS.items())
def test_a_field_that_shapes_pods_rolls_its_own_tier_only(path: str, value: Any) -> None:
    assert Hashes.of(changed("large", path, value)).differ_from(BEFORE) == {"large"}


@pytest.mark.parametrize(("path", "value"), ROLLS_BOTH_TIERS.items())
def test_a_name_that_all_engines_answer_to_rolls_both_tiers(path: str, value: Any) -> None:
    assert Hashes.of(changed("small", path, value)).differ_from(BEFORE) == {"large", "small"}


@pytest.mark.parametrize(("path", "value"), ROLLS_NOTHING.items())
def test_a_field_that_shapes_no_pod_rolls_nothing(path: str, value: Any) -> None:
    assert Hashes.of(changed("large", path, value)) == BEFORE


@pytest.mark.parametrize(("path", "value"), ROUTER_ROLLS.items())
def test_a_field_that_shapes_routers_rolls_them_only(path: str, value: Any) -> None:
    assert Hashes.of(changed("router", path, value)).differ_from(BEFORE) == {"router"}


@pytest.mark.parametrize(("path", "value"), ROUTER_MOUNTS.items())
def test_another_secret_or_claim_rolls_the_routers(path: str, value: Any) -> None:
    alone = fleets.fleet(router={"instances": {"min": 1}})
    section, _, name = path.partition(".")
    mounted = fleets.fleet(router={"instances": {"min": 1}, section: {name: value}})
    assert Hashes.of(mounted).differ_from(Hashes.of(alone)) == {"router"}


def test_a_store_without_a_secret_rolls_nothing_wherever_it_is() -> None:
    address = {"address": "elsewhere:6379", "tls": True}
    assert Hashes.of(changed("router", "store.redis", address)) == BEFORE


@pytest.mark.parametrize(("path", "value"), POLICY.items())
def test_what_routers_do_with_requests_rolls_nothing(path: str, value: Any) -> None:
    section: Any = value
    for name in reversed(path.split(".")):
        section = {name: section}
    equipped = fleets.fleet(router=_EQUIPPED)
    assert Hashes.of(fleets.fleet(router=fleets.merged(_EQUIPPED, section))) == Hashes.of(equipped)


@pytest.mark.parametrize(("path", "value"), ROUTER_ROLLS_NOTHING.items())
def test_replicas_and_address_of_the_router_roll_nothing(path: str, value: Any) -> None:
    assert Hashes.of(changed("router", path, value)) == BEFORE


def test_keys_between_routers_and_engines_roll_all_who_have_them_mounted() -> None:
    sent = Hashes.of(fleets.fleet(engineKeys={"secret": "ring", "enforced": False}))
    asked = Hashes.of(fleets.fleet(engineKeys={"secret": "ring"}))
    another = Hashes.of(fleets.fleet(engineKeys={"secret": "another"}))
    assert sent.differ_from(BEFORE) == {"router"}
    assert asked.differ_from(sent) == {"large", "small"}
    assert another.differ_from(asked) == {"large", "small", "router"}


def test_other_parts_of_the_spec_roll_nothing() -> None:
    others = {
        "scaling": {"gpuBudget": 64, "overrideSeconds": 60},
        "rollout": {"allowOutage": True},
        "monitoring": {"podMonitor": False},
        "suspend": True,
    }
    assert Hashes.of(fleets.fleet(**others)) == BEFORE


def test_the_roll_annotation_rolls_everything() -> None:
    body = fleets.body()
    body["metadata"]["annotations"] = {labels.ROLL: "2026-01-05T10:00:00Z"}
    assert Hashes.of(HeterogeneousDeployment.parse(body)).differ_from(BEFORE) == {"large", "small", "router"}


def test_defaults_written_out_by_the_api_server_change_no_hash() -> None:
    tier = {
        "instances": {"min": 1, "warm": 0},
        "engine": {"gpuMemoryUtilization": 0.9, "dtype": "auto", "prefixCaching": True, "sharedMemory": "16Gi"},
        "placement": {"gpuResource": "nvidia.com/gpu", "gpusPerNode": 8, "capacity": "Fixed"},
        "storage": {"cache": {"emptyDir": {}}},
        "lifecycle": {"drainTimeoutSeconds": 300},
        "resources": {},
    }
    assert Hashes.of(fleets.fleet(large=tier, small=tier, router={"instances": {"min": 2}})) == BEFORE


def test_saying_the_default_packing_aloud_changes_no_hash() -> None:
    assert Hashes.of(changed("large", "parallelism.gpusPerPod", 8)) == BEFORE
