"""Renders the small tier: a Deployment a revision, and the Service, budget and policy around all of them.

A Deployment's template is never edited: another revision is another Deployment, and the plan moves replicas from
one to the other pod by pod, through the drain. Its own rolling update is therefore never used; it replaces
terminating pods at once and drains nothing (contracts.md, "Instances, revisions, upgrades").
"""

from typing import Final

from heterofleet.api import labels
from heterofleet.api.labels import Manifest, Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import children, disruption, names, network
from heterofleet.desired.template import Template

PROGRESS_MARGIN_SECONDS: Final = 300
"""Scheduling and pulling the image come before the start-up that the template's budget covers."""


def deployment(fleet: HeterogeneousDeployment, template: Template, replicas: int) -> Manifest:
    """The pods of one revision."""
    name = names.small_deployment(fleet.metadata.name, template.revision)
    selector = {
        **names.engine_selector(fleet.metadata.name, Tier.SMALL),
        labels.REVISION: template.revision,
    }
    annotations = {labels.SPEC_HASH: template.hash}
    return {
        **children.child(fleet, children.DEPLOYMENT, name, selector, Tier.SMALL, annotations=annotations),
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": template.startup_seconds + PROGRESS_MARGIN_SECONDS,
            # Should somebody edit the template by hand, no second pod is asked of GPUs that are taken.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "selector": {"matchLabels": selector},
            "template": template.body,
        },
    }


def lowered(stored: Manifest, replicas: int) -> Manifest:
    """A Deployment as it stands, with another count: where its template is not kept, it cannot be rendered again."""
    metadata = stored["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace", "labels", "ownerReferences")}
    spec_hash = (metadata.get("annotations") or {}).get(labels.SPEC_HASH)
    return {
        "apiVersion": stored["apiVersion"],
        "kind": stored["kind"],
        "metadata": kept | children.stated(annotations=children.stated(**{labels.SPEC_HASH: spec_hash})),
        "spec": {**stored["spec"], "replicas": replicas},
    }


def surroundings(fleet: HeterogeneousDeployment, operator_namespace: str) -> tuple[Manifest, ...]:
    """What all revisions of the tier share."""
    name = names.small(fleet.metadata.name)
    selector = names.engine_selector(fleet.metadata.name, Tier.SMALL)
    service = {
        **children.child(fleet, children.SERVICE, name, selector, Tier.SMALL),
        "spec": {
            "selector": names.serving(selector),
            "ports": [{"name": "http", "port": labels.ENGINE_PORT, "targetPort": "http", "protocol": "TCP"}],
        },
    }
    return (
        service,
        network.engine_policy(fleet, name, selector, operator_namespace),
        disruption.budget(fleet, name, selector, Tier.SMALL, max_unavailable=1),
    )
