"""Renders the router: its pods, the Service that is the fleet's address, and the ConfigMap that it watches.

The one Deployment whose template changes in place: a router holds nothing but requests in flight, so Kubernetes'
rolling update with one pod ahead is right for it; but of a store's file there may be one writer only, so there the old
pod goes before the new one comes. The pods meet the restricted Pod Security Standard.
"""

from collections.abc import Iterator
from typing import Final

from heterofleet.api import labels, routing
from heterofleet.api.labels import Component, Manifest, PodState
from heterofleet.api.routing import Plan
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import access, autoscaler, children, disruption, mounts, names, network, overlay, revision
from heterofleet.desired import routing as filled
from heterofleet.desired.children import stated
from heterofleet.desired.platform import Platform
from heterofleet.desired.pods import GRACE_MARGIN_SECONDS
from heterofleet.desired.revision import Role
from heterofleet.desired.template import Template

CONTAINER: Final = "router"
_USER: Final = 65_532
"""The number that distroless images call nonroot."""

_ONE_AHEAD: Final[Manifest] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
_ONE_BY_ONE: Final[Manifest] = {"type": "Recreate"}


def router_template(fleet: HeterogeneousDeployment, platform: Platform) -> Template:
    """What this version renders for the router's present spec. Raises overlay.InvalidOverlay."""
    hash_ = revision.spec_hash(fleet, Role.ROUTER)
    name = fleet.metadata.name
    body = {
        "metadata": {
            "labels": {
                **names.recommended(name, Component.ROUTER),
                **names.router_selector(name),
                labels.REVISION: revision.revision(hash_),
                labels.STATE: str(PodState.SERVING),
            }
        },
        "spec": _pod_spec(fleet, platform),
    }
    return Template(Role.ROUTER, hash_, overlay.apply(body, fleet.spec.router.pod_template, CONTAINER))


def objects(
    fleet: HeterogeneousDeployment, template: Template, platform: Platform, replicas: int, plan: Plan
) -> Iterator[Manifest]:
    """Every object of the router. `plan` is what the planner asks of the routers now."""
    name = names.router(fleet.metadata.name)
    selector = names.router_selector(fleet.metadata.name)
    told = {
        routing.CONFIG_KEY: filled.config(fleet, platform.catalogue).canonical(),
        routing.PLAN_KEY: plan.canonical(),
    }
    yield from access.router_access(fleet)
    yield {**children.child(fleet, children.CONFIG_MAP, name, selector, Component.ROUTER), "data": told}
    yield _service(fleet, name, selector)
    yield network.router_policy(fleet, platform.operator_namespace)
    yield disruption.budget(fleet, name, selector, Component.ROUTER, max_unavailable=1)
    yield _deployment(fleet, name, selector, template, replicas)
    if fleet.spec.router.instances.autoscaled:
        yield autoscaler.autoscaler(fleet, CONTAINER)


def _pod_spec(fleet: HeterogeneousDeployment, platform: Platform) -> Manifest:
    selector = names.router_selector(fleet.metadata.name)
    longest_drain = max(
        fleet.spec.large.lifecycle.drain_timeout_seconds, fleet.spec.small.lifecycle.drain_timeout_seconds
    )
    return {
        "serviceAccountName": names.router(fleet.metadata.name),
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        # A router outlives the longest request that it relays.
        "terminationGracePeriodSeconds": longest_drain + GRACE_MARGIN_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            **({"fsGroup": _USER} if fleet.spec.router.store.file is not None else {}),
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector},
            }
        ],
        "containers": [_container(fleet, platform.router_image)],
        "volumes": [{"name": "tmp", "emptyDir": {}}, *(m.volume for m in mounts.of_router(fleet.spec))],
    }


def _container(fleet: HeterogeneousDeployment, image: str) -> Manifest:
    spec = fleet.spec.router
    resources = stated(requests=spec.resources.requests, limits=spec.resources.limits)
    container = {
        "name": CONTAINER,
        "image": spec.image or image,
        "args": [f"--namespace={fleet.metadata.namespace}", f"--fleet={fleet.metadata.name}"],
        "env": [
            {"name": "HETEROFLEET_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "ports": [
            {"name": "http", "containerPort": labels.ROUTER_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": labels.METRICS_PORT, "protocol": "TCP"},
        ],
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": "metrics"},
            "periodSeconds": 5,
            "timeoutSeconds": 3,
            "failureThreshold": 2,
        },
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "metrics"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  without a store the only place it may write to
            *(mounted.mount for mounted in mounts.of_router(fleet.spec)),
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    return {**container, "resources": resources} if resources else container


def _service(fleet: HeterogeneousDeployment, name: str, selector: dict[str, str]) -> Manifest:
    service = fleet.spec.router.service
    return {
        **children.child(fleet, children.SERVICE, name, selector, Component.ROUTER, annotations=service.annotations),
        "spec": {
            "type": str(service.type),
            "selector": names.serving(selector),
            "ports": [{"name": "http", "port": service.port, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def _deployment(
    fleet: HeterogeneousDeployment, name: str, selector: dict[str, str], template: Template, replicas: int
) -> Manifest:
    own = {**selector, labels.REVISION: template.revision}
    annotations = {labels.SPEC_HASH: template.hash}
    return {
        **children.child(fleet, children.DEPLOYMENT, name, own, Component.ROUTER, annotations=annotations),
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 1,
            "strategy": _ONE_BY_ONE if fleet.spec.router.store.file is not None else _ONE_AHEAD,
            "selector": {"matchLabels": selector},
            "template": template.body,
        },
    }
