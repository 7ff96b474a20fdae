"""Every name and selector of a fleet's children (contracts.md, "Names, labels, ownership").

Names are bounded by construction: a fleet's name has at most 40 characters and an index four digits, so that a
StatefulSet's name stays within 52 (its pods carry `<name>-<hash of 10>` in a label of at most 63) and a Service's
within 63. The tests hold them to that.
"""

import functools
import hashlib
import json
from collections.abc import Mapping

from heterofleet.api import labels
from heterofleet.api.labels import Component, PodState, Tier

Labels = dict[str, str]


def large(fleet: str, index: int) -> str:
    """The StatefulSet, headless Service, PodDisruptionBudget, NetworkPolicy and PodGroup of one large instance."""
    return f"{fleet}-{Tier.LARGE}-{index}"


def small(fleet: str) -> str:
    """The Service, PodDisruptionBudget and NetworkPolicy of the small tier."""
    return f"{fleet}-{Tier.SMALL}"


def small_deployment(fleet: str, revision: str) -> str:
    return f"{fleet}-{Tier.SMALL}-{labels.DEFAULT_POOL}-{revision}"


def router(fleet: str) -> str:
    """Everything of the router."""
    return f"{fleet}-{Component.ROUTER}"


def engines(fleet: str) -> str:
    """The PodMonitor of both tiers."""
    return f"{fleet}-engines"


def tier(fleet: str, tier: Tier) -> str:
    """The HeterogeneousTier of a tier."""
    return f"{fleet}-{tier}"


def template(fleet: str, role: str, revision: str) -> str:
    """The ControllerRevision that keeps a rendered template; `role` is large, small or router."""
    return f"{fleet}-{role}-{revision}"


def supervisor(fleet: str, scripts: Mapping[str, str]) -> str:
    """The immutable ConfigMap with the supervisor's files, named by their texts."""
    return f"{fleet}-supervisor-{_digest(tuple(sorted(scripts.items())))}"


@functools.lru_cache(maxsize=8)
def _digest(scripts: tuple[tuple[str, str], ...]) -> str:
    """Kept, since every reconcile of every fleet asks for it and the texts are some 60 KB."""
    canonical = json.dumps(dict(scripts), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def endpoint(fleet: str, namespace: str, port: int) -> str:
    """The fleet's address inside the cluster, as clients of OpenAI's API take it for their base URL."""
    return f"http://{router(fleet)}.{namespace}.svc:{port}/v1"


def engine_selector(fleet: str, tier: Tier, instance: int | None = None) -> Labels:
    """Labels that all engine pods of a tier carry for ever, or those of one large instance."""
    selector = {
        labels.FLEET: fleet,
        labels.TIER: str(tier),
        labels.POOL: labels.DEFAULT_POOL,
        labels.COMPONENT: str(Component.ENGINE),
    }
    return selector if instance is None else {**selector, labels.INSTANCE: str(instance)}


def router_selector(fleet: str) -> Labels:
    return {labels.FLEET: fleet, labels.COMPONENT: str(Component.ROUTER)}


def serving(selector: Labels) -> Labels:
    """The pods of a selector to which requests may go."""
    return {**selector, labels.STATE: str(PodState.SERVING)}


def recommended(fleet: str, component: str) -> Labels:
    """Kubernetes' recommended labels; no version, since an operator's upgrade must not change an object."""
    return {
        "app.kubernetes.io/name": "heterofleet",
        "app.kubernetes.io/instance": fleet,
        "app.kubernetes.io/component": str(component),
        "app.kubernetes.io/managed-by": labels.FIELD_MANAGER,
    }
