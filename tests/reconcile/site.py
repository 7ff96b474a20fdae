"""A place for one test: a namespace on the real API server, GPU nodes of its own, and what a person does there."""

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from heterofleet.api import labels
from testbed import nodes, stages
from testbed.controlplane import Cluster, Manifest
from testbed.eventually import eventually

POOL = "testbed.heterofleet.io/pool"
"""Node label that keeps the GPUs of tests apart."""
READY = "Ready"


def merged(base: Manifest, other: Manifest) -> Manifest:
    """`base` with `other` merged into it, key by key; lists are replaced."""
    result = dict(base)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


@dataclass
class Site:
    """One namespace. Paths of `cluster.api` are built by `path`; objects are plain dicts."""

    cluster: Cluster
    namespace: str
    machines: list[str] = field(default_factory=list)
    _counter: "itertools.count[int]" = field(default_factory=itertools.count)

    # ---- machines

    def add_nodes(self, count: int, gpus: int = 8, **more: Any) -> list[str]:
        """GPU nodes that only this site's fleets use, once they are ready."""
        prefix = f"{self.namespace}-{next(self._counter)}"
        made = nodes.add_gpu_nodes(
            self.cluster.api, count, gpus=gpus, prefix=prefix, **merged({"labels": {POOL: self.namespace}}, more)
        )
        self.machines += made
        eventually(lambda: all(is_ready(self.cluster.api.get(f"/api/v1/nodes/{name}")) for name in made))
        return made

    def remove_nodes(self, *names: str) -> None:
        nodes.remove(self.cluster.api, *names)
        self.machines = [name for name in self.machines if name not in names]

    # ---- fleets

    def manifest(self, name: str = "chat", **spec: Any) -> Manifest:
        """A fleet of one group of 2 pods x 8 GPUs and one small pod, on this site's nodes; `spec` is merged in."""
        placement = {"nodeSelector": {POOL: self.namespace}}
        needed = {
            "large": {
                "model": {"source": "hf://Qwen/Qwen3-32B"},
                "parallelism": {"tensor": 8, "pipeline": 2},
                "placement": placement,
            },
            "small": {"model": {"source": "hf://Qwen/Qwen3-4B-Instruct-2507"}, "placement": placement},
        }
        return {
            "apiVersion": labels.API_VERSION,
            "kind": labels.FLEET_KIND,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": merged(needed, spec),
        }

    def create(self, name: str = "chat", **spec: Any) -> Manifest:
        return self.cluster.api.create(self.path(labels.FLEET_PLURAL), self.manifest(name, **spec))

    def edit(self, name: str = "chat", **spec: Any) -> Manifest:
        """Merge into a fleet's spec; None removes a field."""
        return self.cluster.api.merge(self.path(labels.FLEET_PLURAL, name), {"spec": spec})

    def annotate(self, name: str = "chat", **marks: str | None) -> None:
        """Set annotations of a fleet: `roll`, `retry`, `release`."""
        body = {"metadata": {"annotations": {f"{labels.GROUP}/{key}": value for key, value in marks.items()}}}
        self.cluster.api.merge(self.path(labels.FLEET_PLURAL, name), body)

    def fleet(self, name: str = "chat") -> Manifest:
        return self.cluster.api.get(self.path(labels.FLEET_PLURAL, name))

    def status(self, name: str = "chat") -> Manifest:
        found: Manifest = self.fleet(name).get("status", {})
        return found

    def condition(self, kind: str, name: str = "chat") -> tuple[str, str, str]:
        """Status, reason and message of a condition; three empty texts before there is one."""
        for item in self.status(name).get("conditions", ()):
            if item["type"] == kind:
                return item["status"], item["reason"], item.get("message", "")
        return "", "", ""

    def conditions(self, name: str = "chat") -> dict[str, str]:
        """Each condition as `True/Reason`."""
        return {c["type"]: f"{c['status']}/{c['reason']}" for c in self.status(name).get("conditions", ())}

    def wait(self, kind: str, status: str = "True", reason: str = "", name: str = "chat", within: float = 30) -> str:
        """Wait for a condition, and give its message."""

        def found() -> str | None:
            seen = self.condition(kind, name)
            return seen[2] or "-" if seen[0] == status and reason in ("", seen[1]) else None

        return eventually(found, within, lambda: f"{kind} is {status} {reason}; {self.conditions(name)}")

    def wait_ready(self, name: str = "chat", within: float = 30) -> None:
        """Wait until a fleet is Ready, nothing is under way, and the status is that of the present spec."""

        def ready() -> bool:
            fleet = self.fleet(name)
            seen = {c["type"]: c["status"] for c in fleet.get("status", {}).get("conditions", ())}
            generation = fleet.get("status", {}).get("observedGeneration")
            return (
                generation == fleet["metadata"]["generation"]
                and seen.get(READY) == "True"
                and seen.get("Reconciling") == "False"
            )

        eventually(ready, within, lambda: f"{name} is ready and settled; {json.dumps(self.status(name))[:4000]}")

    def instances(self, name: str = "chat") -> dict[int, str]:
        """State of each instance of the large tier, by index."""
        return {item["index"]: item["state"] for item in self.status(name).get("large", {}).get("instances", ())}

    def instance(self, index: int, name: str = "chat") -> Manifest:
        listed = self.status(name).get("large", {}).get("instances", ())
        found = next((item for item in listed if item["index"] == index), None)
        assert found is not None, f"no instance {index} in {listed}"
        result: Manifest = found
        return result

    # ---- objects

    def path(self, plural: str, name: str = "", group: str | None = None) -> str:
        """The API's path of a collection or an object of this namespace."""
        known = {
            labels.FLEET_PLURAL: labels.API_VERSION,
            labels.TIER_PLURAL: labels.API_VERSION,
            "statefulsets": "apps/v1",
            "deployments": "apps/v1",
            "controllerrevisions": "apps/v1",
            "networkpolicies": "networking.k8s.io/v1",
            "poddisruptionbudgets": "policy/v1",
            "roles": "rbac.authorization.k8s.io/v1",
            "rolebindings": "rbac.authorization.k8s.io/v1",
        }
        version = group or known.get(plural)
        root = f"/apis/{version}" if version else "/api/v1"
        return f"{root}/namespaces/{self.namespace}/{plural}{f'/{name}' if name else ''}"

    def get(self, plural: str, name: str) -> Manifest:
        return self.cluster.api.get(self.path(plural, name))

    def find(self, plural: str, name: str) -> Manifest | None:
        return self.cluster.api.find(self.path(plural, name))

    def names(self, plural: str, selector: str = "") -> list[str]:
        return sorted(item["metadata"]["name"] for item in self.items(plural, selector))

    def items(self, plural: str, selector: str = "") -> list[Manifest]:
        return self.cluster.api.items(self.path(plural), **({"labelSelector": selector} if selector else {}))

    def groups(self, name: str = "chat") -> list[str]:
        """The StatefulSets of a fleet."""
        return self.names("statefulsets", f"{labels.FLEET}={name}")

    def pods(self, selector: str = "") -> list[Manifest]:
        return self.items("pods", selector)

    def large_pods(self, name: str = "chat", index: int | None = None) -> list[Manifest]:
        selector = f"{labels.FLEET}={name},{labels.TIER}=large"
        return self.pods(selector if index is None else f"{selector},{labels.INSTANCE}={index}")

    def small_pods(self, name: str = "chat") -> list[Manifest]:
        return self.pods(f"{labels.FLEET}={name},{labels.TIER}=small")

    def mark(self, pod: str, **marks: str | None) -> None:
        """Play something on a pod: `crash="137"`, `ready="false"`, `crash_loop="exit-1"`, `waiting=...`."""
        own = {f"{stages.MARK}{key.replace('_', '-')}": value for key, value in marks.items()}
        self.cluster.api.merge(self.path("pods", pod), {"metadata": {"annotations": own}})

    def scale(self, tier: str, count: int, name: str = "chat") -> None:
        """As people do it."""
        self.cluster.kubectl(
            "scale", f"{labels.TIER_PLURAL}.{labels.GROUP}/{name}-{tier}", f"--replicas={count}", "-n", self.namespace
        )

    def events(self, reason: str) -> list[str]:
        """Messages of the Events with that reason."""
        return [e["message"] for e in self.items("events") if e["reason"] == reason]

    def gpus(self, name: str = "") -> int:
        """GPUs of all pods that are not finished, of one fleet or of all."""
        return sum(map(gpus_of, self.pods(f"{labels.FLEET}={name}" if name else labels.FLEET)))

    def eventually(self, predicate: Callable[[], Any], within: float = 30, message: str = "") -> Any:
        return eventually(predicate, within, lambda: f"{message}; status: {self._statuses()}")

    def _statuses(self) -> str:
        fleets = self.items(labels.FLEET_PLURAL)
        told = {
            fleet["metadata"]["name"]: {
                "conditions": {
                    c["type"]: f"{c['status']}/{c['reason']}: {c['message']}"
                    for c in fleet.get("status", {}).get("conditions", ())
                },
                "large": fleet.get("status", {}).get("large"),
                "small": fleet.get("status", {}).get("small"),
            }
            for fleet in fleets
        }
        pods = [summary(pod) for pod in self.pods()]
        return json.dumps({"fleets": told, "pods": pods}, indent=1)


def gpus_of(pod: Manifest) -> int:
    if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    limits = [c.get("resources", {}).get("limits", {}) for c in pod["spec"]["containers"]]
    return sum(int(limit.get("nvidia.com/gpu", "0")) for limit in limits)


def is_ready(found: Manifest) -> bool:
    """Whether a pod, or a node, says so."""
    conditions: Sequence[Manifest] = found.get("status", {}).get("conditions", ())
    return any(c["type"] == READY and c["status"] == "True" for c in conditions)


def state_of(pod: Manifest) -> str:
    """Value of the label that Services and routers look at."""
    state: str = pod["metadata"]["labels"].get(labels.STATE, "")
    return state


def names_of(found: Sequence[Manifest]) -> list[str]:
    return sorted(item["metadata"]["name"] for item in found)


def uids_of(found: Sequence[Manifest]) -> set[str]:
    return {item["metadata"]["uid"] for item in found}


def summary(pod: Manifest) -> str:
    """One line on a pod, for the message of a failed test."""
    metadata = pod["metadata"]
    parts = [
        metadata["name"],
        pod.get("status", {}).get("phase", ""),
        "ready" if is_ready(pod) else "not ready",
        state_of(pod),
        "deleting" if "deletionTimestamp" in metadata else "",
        pod["spec"].get("nodeName", "unscheduled"),
    ]
    return " ".join(part for part in parts if part)
