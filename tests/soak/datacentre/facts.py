"""What a fleet is, from its pods, and what its status tells of that: the same facts twice, to be compared. Pure.

Only what changes by a step is compared (instances, ready ranks, GPUs, routers, conditions, the endpoint): a plan's
rounded numbers follow in their own time.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from heterofleet.api import labels
from heterofleet.api.labels import Component, Manifest, PodState, Tier
from randomwalk import budgets

Facts = Mapping[str, object]
"""By name; values are compared as a whole."""


def of_pods(fleet: Manifest, pods: Sequence[Manifest]) -> Facts:
    """What is."""
    metadata, spec = fleet["metadata"], fleet["spec"]
    present = [pod for pod in pods if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")]
    tiers = {tier: [pod for pod in present if _label(pod, labels.TIER) == tier] for tier in Tier}
    routers = [pod for pod in present if _label(pod, labels.COMPONENT) == Component.ROUTER]
    ranks: Counter[int] = Counter()
    for pod in tiers[Tier.LARGE]:
        ranks[int(_label(pod, labels.INSTANCE))] += is_ready(pod)
    port = spec["router"]["service"]["port"]
    return {
        "observedGeneration": metadata["generation"],
        "endpoint": f"http://{metadata['name']}-router.{metadata['namespace']}.svc:{port}/v1",
        "large ready ranks": {index: count for index, count in sorted(ranks.items()) if count},
        "large GPUs": _gpus(tiers[Tier.LARGE]),
        "small GPUs": _gpus(tiers[Tier.SMALL]),
        "small ready": sum(_serves(pod) for pod in tiers[Tier.SMALL]),
        "RouterReady": any(is_ready(pod) for pod in routers),
    }


def of_status(fleet: Manifest) -> Facts:
    """What is told."""
    status = fleet.get("status", {})
    large, small = status.get("large", {}), status.get("small", {})
    ranks = {one["index"]: one.get("readyRanks", 0) for one in large.get("instances", ())}
    told = {condition["type"]: condition["status"] for condition in status.get("conditions", ())}
    return {
        "observedGeneration": status.get("observedGeneration"),
        "endpoint": status.get("endpoint"),
        "large ready ranks": {index: count for index, count in sorted(ranks.items()) if count},
        "large GPUs": large.get("gpus"),
        "small GPUs": small.get("gpus"),
        "small ready": small.get("ready"),
        "RouterReady": told.get("RouterReady") == "True",
    }


def fewest_gpus(spec: Manifest) -> int:
    """GPUs of the fleet at the lower bound of each tier."""
    return sum(spec[tier]["instances"]["min"] * math.prod(spec[tier].get("parallelism", {}).values()) for tier in Tier)


def is_ready(pod: Manifest) -> bool:
    """Whether a pod is Ready and is to stay."""
    conditions = pod.get("status", {}).get("conditions", ())
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def _serves(pod: Manifest) -> bool:
    return is_ready(pod) and _label(pod, labels.STATE) == PodState.SERVING


def _gpus(pods: Sequence[Manifest]) -> int:
    return sum(budgets.gpus(pod["spec"]) for pod in pods)


def _label(pod: Manifest, name: str) -> str:
    found: str = pod["metadata"]["labels"].get(name, "")
    return found
