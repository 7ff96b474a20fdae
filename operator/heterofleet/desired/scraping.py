"""Says how a Prometheus without its operator finds engines and routers: the jobs of its configuration, for all fleets.

The relabelling is that of the PodMonitors (`monitoring.relabelings`), so that rules, alerts and the planner's questions
find the same labels whoever scrapes. The test bed's Prometheus has these very jobs.
"""

from typing import Final

from heterofleet.api import labels
from heterofleet.api.labels import Component, Manifest
from heterofleet.desired import monitoring
from heterofleet.desired.monitoring import meta_label

PODS: Final[Manifest] = {"kubernetes_sd_configs": [{"role": "pod"}]}
"""Pods of the cluster in which Prometheus runs."""

_PORT_NAME: Final = "__meta_kubernetes_pod_container_port_name"
_PHASE: Final = "__meta_kubernetes_pod_phase"


def jobs(discovery: Manifest = PODS) -> list[Manifest]:
    """One job for engines and one for routers; `discovery` is how targets with the labels of pods are found."""
    return [
        _job("heterofleet-engines", discovery, Component.ENGINE, "http", monitoring.relabelings()),
        _job("heterofleet-routers", discovery, Component.ROUTER, "metrics", _of_routers()),
    ]


def _job(name: str, discovery: Manifest, component: Component, port: str, relabelings: list[Manifest]) -> Manifest:
    chosen = [
        _keep(meta_label(labels.COMPONENT), component),
        _keep(_PORT_NAME, port),
        {"action": "drop", "sourceLabels": [_PHASE], "regex": "Failed|Succeeded"},
        # A port may have any name, but a pod that names no fleet is none of ours.
        _keep(meta_label(labels.FLEET), ".+"),
    ]
    return {
        "job_name": name,
        **discovery,
        "relabel_configs": [_as_configured(rule) for rule in (*chosen, *relabelings)],
    }


def _of_routers() -> list[Manifest]:
    sources = {
        "namespace": "__meta_kubernetes_namespace",
        "fleet": meta_label(labels.FLEET),
        "pod": "__meta_kubernetes_pod_name",
    }
    return [
        {"action": "replace", "sourceLabels": [source], "targetLabel": target} for target, source in sources.items()
    ]


def _keep(label: str, regex: str) -> Manifest:
    return {"action": "keep", "sourceLabels": [label], "regex": str(regex)}


_NAMES: Final = {"sourceLabels": "source_labels", "targetLabel": "target_label"}


def _as_configured(rule: Manifest) -> Manifest:
    """A rule in the names of Prometheus' own configuration, where its operator has those of Kubernetes."""
    return {_NAMES.get(name, name): value for name, value in rule.items()}
