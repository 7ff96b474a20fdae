"""Renders the pod template of a tier's engines: one template for every rank and every instance of a revision.

All probes ask the supervisor, since vLLM's /health answers 200 after a rank died and while it drains
(contracts.md, "Life of a group"). The upstream image runs as root, so the container is held by everything else:
no capabilities, no escalation, the runtime's seccomp profile, no token of the API.
"""

from collections.abc import Iterator
from math import ceil
from typing import Final

from heterofleet.api import labels
from heterofleet.api.labels import Manifest, PodState, Tier
from heterofleet.api.placement import Placement
from heterofleet.api.storage import ModelCache
from heterofleet.api.tier import TierSpec
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import children, engine, gang, mounts, names, overlay, packing, revision
from heterofleet.desired.children import stated
from heterofleet.desired.platform import Platform
from heterofleet.desired.revision import Role
from heterofleet.desired.template import Template
from heterofleet.planning import startup
from heterofleet.planning.catalogue import Catalogue
from heterofleet.planning.topology import Layout

CONTAINER: Final = "engine"
GRACE_MARGIN_SECONDS: Final = 30
"""Between the end of a drain and SIGKILL."""

_STARTUP_PERIOD_SECONDS: Final = 5


def engine_template(fleet: HeterogeneousDeployment, tier: Tier, platform: Platform) -> Template:
    """What this version renders for the tier's present spec. Raises overlay.InvalidOverlay."""
    spec = fleet.spec.tier(tier)
    hash_ = revision.spec_hash(fleet, Role(tier))
    supervisor = names.supervisor(fleet.metadata.name, platform.supervisor)
    seconds = _startup_seconds(spec, platform.catalogue)
    body = {
        "metadata": {"labels": _labels(fleet, tier, revision.revision(hash_))},
        "spec": _pod_spec(fleet, tier, _container(fleet, tier, platform.engine_image, seconds), supervisor),
    }
    body = overlay.apply(body, spec.pod_template, CONTAINER)
    together = gang.gang(spec, platform) if tier is Tier.LARGE else gang.Gang(None, None)
    return Template(
        role=Role(tier),
        hash=hash_,
        body=body,
        supervisor=supervisor,
        pods=spec.pods_per_instance,
        startup_seconds=seconds,
        pod_group=together.pod_group,
        topology_key=together.topology_key,
    )


def _startup_seconds(spec: TierSpec, catalogue: Catalogue) -> int:
    """What the startup probe allows: as asked for, or from the model's size."""
    if spec.lifecycle.startup_timeout_seconds is not None:
        return spec.lifecycle.startup_timeout_seconds
    sizes = spec.parallelism
    layout = Layout(sizes.tensor, sizes.pipeline, sizes.data, sizes.expert_parallel, spec.gpus_per_pod)
    return startup.budget_seconds(catalogue.facts(spec.model), layout, downloads=engine.downloads(spec.model.source))


def _labels(fleet: HeterogeneousDeployment, tier: Tier, revision_: str) -> dict[str, str]:
    return {
        **names.recommended(fleet.metadata.name, tier),
        **names.engine_selector(fleet.metadata.name, tier),
        labels.REVISION: revision_,
        labels.STATE: str(PodState.SERVING),
    }


def _pod_spec(fleet: HeterogeneousDeployment, tier: Tier, container: Manifest, supervisor: str) -> Manifest:
    spec = fleet.spec.tier(tier)
    placement = spec.placement
    selector = names.engine_selector(fleet.metadata.name, tier)
    return stated(
        automountServiceAccountToken=False,
        # Every Service of the namespace would become variables, and one called vllm would set VLLM_PORT.
        enableServiceLinks=False,
        terminationGracePeriodSeconds=spec.lifecycle.drain_timeout_seconds + GRACE_MARGIN_SECONDS,
        securityContext={"seccompProfile": {"type": "RuntimeDefault"}},
        serviceAccountName=spec.service_account_name,
        runtimeClassName=spec.runtime_class_name,
        priorityClassName=placement.priority_class_name,
        schedulerName=placement.scheduler_name,
        imagePullSecrets=[{"name": name} for name in dict.fromkeys(ref.name for ref in spec.image_pull_secrets)],
        nodeSelector=_node_selector(placement),
        tolerations=[children.dumped(t) for t in placement.tolerations],
        affinity=packing.affinity(placement, tier),
        topologySpreadConstraints=packing.spread(selector, tier),
        containers=[container],
        volumes=[*_volumes(spec, supervisor), *(mounted.volume for mounted in mounts.of_engine(fleet.spec))],
    )


def _node_selector(placement: Placement) -> dict[str, str]:
    product = {} if placement.gpu_product is None else {labels.GPU_PRODUCT: placement.gpu_product}
    return {**product, **placement.node_selector}


def _container(fleet: HeterogeneousDeployment, tier: Tier, image: str, startup_seconds: int) -> Manifest:
    spec = fleet.spec.tier(tier)
    return {
        "name": CONTAINER,
        "image": spec.engine.image or image,
        "command": engine.command(),
        "args": engine.arguments(fleet, tier),
        "env": engine.environment(fleet, tier),
        "ports": [
            {"name": "http", "containerPort": labels.ENGINE_PORT, "protocol": "TCP"},
            {"name": "supervisor", "containerPort": engine.SUPERVISOR_PORT, "protocol": "TCP"},
        ],
        "resources": _resources(spec),
        "volumeMounts": [*_mounts(spec), *(mounted.mount for mounted in mounts.of_engine(fleet.spec))],
        **_probes(startup_seconds),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _resources(spec: TierSpec) -> Manifest:
    gpus = {spec.placement.gpu_resource: str(spec.gpus_per_pod)}
    return {"requests": {**spec.resources.requests, **gpus}, "limits": {**spec.resources.limits, **gpus}}


def _probes(startup_seconds: int) -> Manifest:
    return {
        "startupProbe": {
            "httpGet": _get("/startup"),
            "periodSeconds": _STARTUP_PERIOD_SECONDS,
            "timeoutSeconds": 3,
            "failureThreshold": ceil(startup_seconds / _STARTUP_PERIOD_SECONDS),
        },
        "readinessProbe": {
            "httpGet": _get("/ready"),
            "periodSeconds": 5,
            "timeoutSeconds": 3,
            "failureThreshold": 2,
        },
        "livenessProbe": {
            "httpGet": _get("/live"),
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
    }


def _get(path: str) -> Manifest:
    return {"path": path, "port": "supervisor"}


def _volumes(spec: TierSpec, supervisor: str) -> Iterator[Manifest]:
    yield {"name": "supervisor", "configMap": {"name": supervisor}}
    yield {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": spec.engine.shared_memory}}
    yield {"name": "cache", **_cache(spec.storage.cache)}
    claim = engine.claim(spec.model.source)
    if claim is not None:
        yield {"name": "model", "persistentVolumeClaim": {"claimName": claim[0], "readOnly": True}}


def _cache(cache: ModelCache) -> Manifest:
    if cache.persistent_volume_claim is not None:
        return {"persistentVolumeClaim": {"claimName": cache.persistent_volume_claim.claim_name}}
    if cache.host_path is not None:
        return {"hostPath": {"path": cache.host_path.path, "type": "DirectoryOrCreate"}}
    limit = None if cache.empty_dir is None else cache.empty_dir.size_limit
    return {"emptyDir": stated(sizeLimit=limit)}


def _mounts(spec: TierSpec) -> Iterator[Manifest]:
    yield {"name": "supervisor", "mountPath": engine.SUPERVISOR_FOLDER, "readOnly": True}
    yield {"name": "shared-memory", "mountPath": "/dev/shm"}  # noqa: S108  the place where NCCL and vLLM look for it
    yield {"name": "cache", "mountPath": engine.CACHE_FOLDER}
    if engine.claim(spec.model.source) is not None:
        yield {"name": "model", "mountPath": engine.MODEL_FOLDER, "readOnly": True}
