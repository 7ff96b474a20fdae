"""A thousand fleets on played nodes, and the strangers among whom they live."""

import concurrent.futures
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from testbed.api import Api, ApiError
from testbed.controlplane import Cluster
from testbed.nodes import A100, add_gpu_nodes

Manifest = dict[str, Any]

NAMESPACE = "fleets"
STRANGERS = "strangers"
PODS_A_FLEET = 10
GPUS_A_FLEET = 36
GPUS_A_NODE = 512
"""Played nodes may claim any number; so many keep a thousand fleets on some seventy nodes."""

FLEETS = f"/apis/heterofleet.io/v1alpha1/namespaces/{NAMESPACE}/heterogeneousdeployments"
PARALLEL = 4


def name(index: int) -> str:
    return f"fleet-{index:04d}"


def manifest(index: int) -> Manifest:
    """One group of 4 pods x 8 GPUs, 4 small pods or as many more as the plan wants, 2 routers."""
    placement = {"gpuProduct": A100}
    return {
        "apiVersion": "heterofleet.io/v1alpha1",
        "kind": "HeterogeneousDeployment",
        "metadata": {"name": name(index), "namespace": NAMESPACE},
        "spec": {
            "large": {
                "model": {"source": "hf://Qwen/Qwen3-235B-A22B-Instruct-2507-FP8"},
                "parallelism": {"tensor": 8, "pipeline": 4, "expertParallel": True},
                "engine": {"maxModelLen": 32768},
                "placement": placement,
            },
            "small": {
                "model": {"source": "hf://Qwen/Qwen3-4B-Instruct-2507"},
                "instances": {"min": 4, "max": 8},
                "engine": {"maxModelLen": 32768},
                "placement": placement,
            },
        },
    }


class Crowd:
    """The fleets of one cluster."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.api: Api = cluster.api
        self.random = random.Random(seed)
        self.count = 0
        self._nodes = 0

    def grow(self, count: int) -> None:
        """Create fleets until there are `count`, with the nodes that they need."""
        wanted = -(-count * GPUS_A_FLEET * 5 // (GPUS_A_NODE * 4)) + 8
        add_gpu_nodes(self.api, wanted - self._nodes, gpus=GPUS_A_NODE, first=self._nodes, pods=2000, cpu="100000")
        self._nodes = wanted
        in_parallel(lambda i: self.api.create(FLEETS, manifest(i)), range(self.count, count))
        self.count = count

    def planned(self) -> int:
        """Fleets whose plan is made of a load that is known."""
        return sum(_condition(fleet, "MetricsAvailable") for fleet in self.api.items(FLEETS))

    def statuses(self) -> dict[str, Manifest]:
        """The status of each fleet, by name."""
        return {fleet["metadata"]["name"]: fleet.get("status", {}) for fleet in self.api.items(FLEETS)}

    def ready(self) -> int:
        """Fleets whose Ready is True."""
        return sum(_condition(fleet, "Ready") for fleet in self.api.items(FLEETS))

    def edit(self, index: int, mark: str) -> None:
        """An edit that changes a child at once and restarts nothing: an annotation of the routers' Service."""
        service = {"annotations": {"bench.heterofleet.io/edit": mark}}
        self.api.merge(f"{FLEETS}/{name(index)}", {"spec": {"router": {"service": service}}})

    def break_fleets(self, indexes: Iterable[int]) -> None:
        """Edits that every apply of the operator is refused for: a Service's port cannot have two digits too many."""
        service = {"annotations": {"no/slash/allowed": "x"}}
        in_parallel(
            lambda i: self.api.merge(f"{FLEETS}/{name(i)}", {"spec": {"router": {"service": service}}}), indexes
        )

    def pods(self) -> list[str]:
        return [p["metadata"]["name"] for p in self.api.items(f"/api/v1/namespaces/{NAMESPACE}/pods")]

    def crash(self, pods: Iterable[str]) -> None:
        """Containers that exit once and start again in place."""
        body = {"metadata": {"annotations": {"testbed.heterofleet.io/crash": "exit-1"}}}

        def play(pod: str) -> None:
            try:
                self.api.merge(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}", body)
            except ApiError as exc:
                if exc.status != 404:
                    raise

        in_parallel(play, pods)


def add_strangers(api: Api, count: int) -> None:
    """Pods and ConfigMaps that are nobody's business here; the pods are never scheduled."""
    pod = {"schedulerName": "nobody", "containers": [{"name": "main", "image": "stranger", "env": _padding()}]}
    for plural, kind, body in (
        ("pods", "Pod", {"spec": pod}),
        ("configmaps", "ConfigMap", {"data": {"k": "v" * 2000}}),
    ):
        path = f"/api/v1/namespaces/{STRANGERS}/{plural}"
        in_parallel(
            lambda i, kind=kind, path=path, body=body: api.create(
                path, {"apiVersion": "v1", "kind": kind, "metadata": {"name": f"stranger-{i}"}, **body}
            ),
            range(count),
        )


def _padding() -> list[Manifest]:
    return [{"name": f"SETTING_{i}", "value": "x" * 100} for i in range(20)]


def in_parallel(call: Callable[[int], object] | Callable[[str], object], items: Iterable[Any]) -> None:
    """Call for each item on a few threads; the first error ends it."""
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        for _ in pool.map(call, items):
            pass


def wait(what: str, holds: Callable[[], bool], within: float, every: float = 1.0) -> float:
    """Seconds until `holds`; raises TimeoutError."""
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > within:
            raise TimeoutError(f"{what}: not within {within:.0f} s")
        time.sleep(every)
    return time.monotonic() - started


def _condition(fleet: Manifest, name: str) -> bool:
    conditions = fleet.get("status", {}).get("conditions", [])
    return any(c["type"] == name and c["status"] == "True" for c in conditions)


def changed(before: dict[str, Manifest], after: dict[str, Manifest]) -> list[str]:
    """What is told otherwise than before, a line a field: why a fleet at rest was written."""
    lines = []
    for fleet, status in after.items():
        known, now = dict(_leaves(before.get(fleet, {}))), dict(_leaves(status))
        fields = sorted(field for field in known.keys() | now.keys() if known.get(field) != now.get(field))
        lines += [f"{fleet} {field}: {known.get(field)!r} -> {now.get(field)!r}" for field in fields]
    return lines


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, f"{path}.{key}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _leaves(each, f"{path}[{each.get('type', index) if isinstance(each, dict) else index}]")
    else:
        yield path, value
