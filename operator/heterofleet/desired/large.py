"""Renders one instance of the large tier: a StatefulSet of its ranks and what stands around it.

An instance is one serving engine over several pods: the pods start together, the one with ordinal 0 leads, and
none is ever replaced alone (contracts.md, "Life of a group"). Everything that is fixed at its creation comes from
the stored template, its number of pods included, so that a changed spec never edits a running group.
"""

import copy
from datetime import UTC, datetime

from heterofleet.api import labels
from heterofleet.api.labels import Manifest, PodState, Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import children, disruption, engine, names, network
from heterofleet.desired.platform import Platform
from heterofleet.desired.template import Template


def instance(
    fleet: HeterogeneousDeployment,
    index: int,
    template: Template,
    draining_until: datetime | None,
    platform: Platform,
) -> tuple[Manifest, ...]:
    """Every object of instance `index`; `draining_until` is the deadline of its drain, if it drains."""
    name = names.large(fleet.metadata.name, index)
    selector = names.engine_selector(fleet.metadata.name, Tier.LARGE, index)
    objects = [
        _service(fleet, name, selector),
        network.group_policy(fleet, name, selector, platform.operator_namespace),
        disruption.budget(fleet, name, selector, Tier.LARGE, max_unavailable=0),
    ]
    if template.pod_group is not None and platform.pod_groups:
        group = children.child(fleet, children.POD_GROUP, name, selector, Tier.LARGE)
        objects.append({**group, "spec": template.pod_group})
    objects.append(_stateful_set(fleet, name, selector, template, draining_until))
    return tuple(objects)


def _service(fleet: HeterogeneousDeployment, name: str, selector: dict[str, str]) -> Manifest:
    """Gives the ranks their names; it selects no state, since they must find each other to the end of a drain."""
    return {
        **children.child(fleet, children.SERVICE, name, selector, Tier.LARGE),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": selector,
            "ports": [
                {"name": "http", "port": labels.ENGINE_PORT, "targetPort": "http", "protocol": "TCP"},
                {"name": "supervisor", "port": engine.SUPERVISOR_PORT, "targetPort": "supervisor", "protocol": "TCP"},
            ],
        },
    }


def _stateful_set(
    fleet: HeterogeneousDeployment,
    name: str,
    selector: dict[str, str],
    template: Template,
    draining_until: datetime | None,
) -> Manifest:
    state = PodState.SERVING if draining_until is None else PodState.DRAINING
    annotations = {labels.SPEC_HASH: template.hash}
    if draining_until is not None:
        annotations[labels.DRAIN_DEADLINE] = timestamp(draining_until)
    own = {**selector, labels.REVISION: template.revision, labels.STATE: str(state)}
    return {
        **children.child(fleet, children.STATEFUL_SET, name, own, Tier.LARGE, annotations=annotations),
        "spec": {
            "serviceName": name,
            "replicas": template.pods,
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "OnDelete"},
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": selector},
            "template": _pod_template(name, selector, template),
        },
    }


def _pod_template(name: str, selector: dict[str, str], template: Template) -> Manifest:
    """The stored template with what is this instance's own: its label, and how its pods stay together."""
    body = copy.deepcopy(template.body)
    body["metadata"]["labels"] |= selector
    if template.pod_group is not None:
        body["spec"]["schedulingGroup"] = {"podGroupName": name}
    if template.topology_key is not None:
        affinity = body["spec"].setdefault("affinity", {}).setdefault("podAffinity", {})
        together = {"topologyKey": template.topology_key, "labelSelector": {"matchLabels": selector}}
        affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", []).append(together)
    return body


def timestamp(moment: datetime) -> str:
    """A time as Kubernetes writes it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
