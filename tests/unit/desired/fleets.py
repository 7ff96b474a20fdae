"""A small fleet to vary in tests, and the platform under it."""

from typing import Any

from heterofleet.api.labels import Manifest
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired.platform import Platform
from heterofleet.planning import catalogue

PLATFORM = Platform(
    operator_namespace="operators",
    engine_image="engine:default",
    router_image="router:default",
    supervisor={"__main__.py": "one", "download.py": "two"},
    catalogue=catalogue.load(),
    pod_monitors=False,
    prometheus_rules=False,
    pod_groups=False,
)


def body(**spec: Any) -> Manifest:
    """A fleet named `chat`; `large`, `small` and `router` are merged into what is needed, the rest stands as given."""
    needed = {
        "large": {"model": {"source": "hf://Qwen/Qwen3-32B"}, "parallelism": {"tensor": 8, "pipeline": 2}},
        "small": {"model": {"source": "hf://Qwen/Qwen3-4B-Instruct-2507"}},
    }
    return {
        "apiVersion": "heterofleet.io/v1alpha1",
        "kind": "HeterogeneousDeployment",
        "metadata": {"name": "chat", "namespace": "ai", "uid": "u-1"},
        "spec": merged(needed, spec),
    }


def fleet(**spec: Any) -> HeterogeneousDeployment:
    return HeterogeneousDeployment.parse(body(**spec))


def merged(base: Manifest, other: Manifest) -> Manifest:
    """`base` with `other` merged into it, key by key; lists are replaced."""
    result = dict(base)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result
