"""Renders what the Prometheus operator needs to scrape a fleet and to alert on it, where its APIs are served.

Engine series get the labels namespace, fleet, tier, pool and instance from the pods' labels by `relabelings`, the
same rules for every Prometheus. Of a group only the leader has a /metrics, so its other ranks are not targets.
"""

from typing import Final

from heterofleet.api import labels
from heterofleet.api.labels import Component, Manifest
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import children, names
from heterofleet.desired.alerts import rules
from heterofleet.desired.platform import Platform

_POD: Final = "__meta_kubernetes_pod_name"


def objects(fleet: HeterogeneousDeployment, platform: Platform) -> tuple[Manifest, ...]:
    """PodMonitors of engines and routers and the fleet's PrometheusRule, as far as asked for and served."""
    wanted = fleet.spec.monitoring
    found: list[Manifest] = []
    if wanted.pod_monitor and platform.pod_monitors:
        found += [_engines(fleet), _router(fleet)]
    if wanted.prometheus_rule and platform.prometheus_rules:
        found.append(_rule(fleet))
    return tuple(found)


def relabelings() -> list[Manifest]:
    """Rules that turn an engine pod's labels into those of its series, and drop ranks that have no metrics."""
    index = meta_label(labels.POD_INDEX)
    copied = [
        {"action": "replace", "sourceLabels": [meta_label(source)], "targetLabel": target}
        for target, source in (("fleet", labels.FLEET), ("tier", labels.TIER), ("pool", labels.POOL))
    ]
    return [
        {"action": "keep", "sourceLabels": [index], "regex": "0?"},
        {"action": "replace", "sourceLabels": ["__meta_kubernetes_namespace"], "targetLabel": "namespace"},
        *copied,
        # An instance of the small tier is its pod; one of the large tier has a number.
        {"action": "replace", "sourceLabels": [_POD], "targetLabel": "instance"},
        {
            "action": "replace",
            "sourceLabels": [meta_label(labels.INSTANCE)],
            "regex": "(.+)",
            "targetLabel": "instance",
        },
    ]


def meta_label(label: str) -> str:
    """Prometheus' name for a pod's label."""
    return "__meta_kubernetes_pod_label_" + "".join(c if c.isalnum() or c == "_" else "_" for c in label)


def _engines(fleet: HeterogeneousDeployment) -> Manifest:
    name = names.engines(fleet.metadata.name)
    own = {labels.FLEET: fleet.metadata.name, labels.COMPONENT: str(Component.ENGINE)}
    return _monitor(fleet, name, own, {"port": "http", "path": "/metrics", "relabelings": relabelings()})


def _router(fleet: HeterogeneousDeployment) -> Manifest:
    name = names.router(fleet.metadata.name)
    own = names.router_selector(fleet.metadata.name)
    fleet_label = {"action": "replace", "sourceLabels": [meta_label(labels.FLEET)], "targetLabel": "fleet"}
    return _monitor(fleet, name, own, {"port": "metrics", "path": "/metrics", "relabelings": [fleet_label]})


def _monitor(fleet: HeterogeneousDeployment, name: str, own: dict[str, str], endpoint: Manifest) -> Manifest:
    tagged = {**fleet.spec.monitoring.labels, **own}
    return {
        **children.child(fleet, children.POD_MONITOR, name, tagged, own[labels.COMPONENT]),
        "spec": {"selector": {"matchLabels": own}, "podMetricsEndpoints": [endpoint]},
    }


def _rule(fleet: HeterogeneousDeployment) -> Manifest:
    tagged = {**fleet.spec.monitoring.labels, labels.FLEET: fleet.metadata.name}
    return {
        **children.child(fleet, children.PROMETHEUS_RULE, fleet.metadata.name, tagged, "monitoring"),
        "spec": {"groups": [{"name": f"heterofleet-{fleet.metadata.name}", "rules": rules(fleet)}]},
    }
