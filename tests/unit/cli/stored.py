"""A cluster in memory for the command line, and fleets in the states that its pictures show."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from heterofleet.api.labels import Manifest
from heterofleet.cli.access import Change
from heterofleet.cluster import errors

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


class StoredApi:
    """Objects by path. A path that is not there is NotFound, one in `forbidden` is refused."""

    def __init__(self, objects: Mapping[str, Manifest], *, forbidden: tuple[str, ...] = ()) -> None:
        self.objects = dict(objects)
        self.forbidden = forbidden
        self.merged: list[tuple[str, Manifest]] = []
        self.down = False
        self.denied: frozenset[tuple[str, str]] = frozenset()
        self.refusal = "forbidden"
        self.texts: dict[str, list[str]] = {}
        """What a pod answers, one after the other; the last one for ever."""
        self.asked: list[str] = []
        self.tried: list[tuple[str, Change]] = []

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Manifest:
        self._guard(path)
        if path not in self.objects:
            raise errors.NotFound(f'objects "{path}" not found', status=404)
        return self.objects[path]

    async def list(self, path: str, query: Mapping[str, str] | None = None) -> list[Manifest]:
        self._guard(path)
        items: list[Manifest] = self.objects.get(path, {"items": []})["items"]
        return items

    async def merge(self, path: str, patch: Manifest) -> Manifest:
        await self.get(path)
        self.merged.append((path, patch))
        return {}

    async def create(self, path: str, body: Manifest) -> Manifest:
        asked = body["spec"]["resourceAttributes"]
        return {"status": {"allowed": (asked["verb"], asked["resource"]) not in self.denied}}

    async def text(self, path: str) -> str:
        self._guard(path)
        self.asked.append(path)
        if path not in self.texts:
            raise errors.Unavailable(f"GET {path}: no answer")
        answers = self.texts[path]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def try_out(self, path: str, change: Change) -> Manifest:
        self._guard(path)
        self.tried.append((path, change))
        answer = self.objects[f"{path}?dryRun=All"]
        if "error" in answer:
            raise errors.from_answer(answer.get("status", 422), answer["error"], "", 0)
        return answer

    def _guard(self, path: str) -> None:
        if self.down:
            raise errors.Unavailable(f"GET {path}: [Connect call failed]")
        if path in self.forbidden:
            raise errors.Forbidden(self.refusal, status=403)


def ago(**length: float) -> str:
    return (NOW - timedelta(**length)).isoformat().replace("+00:00", "Z")


def fleet(name: str, status: Mapping[str, Any] | None = None, **spec: Any) -> Manifest:
    return {
        "apiVersion": "heterofleet.io/v1alpha1",
        "kind": "HeterogeneousDeployment",
        "metadata": {"namespace": "prod", "name": name, "generation": 3, "creationTimestamp": ago(days=3)},
        "spec": spec,
        "status": dict(status or {}),
    }


def condition(type_: str, status: bool, reason: str, message: str = "", **age: float) -> Manifest:
    return {
        "type": type_,
        "status": str(status),
        "reason": reason,
        "message": message,
        "observedGeneration": 3,
        "lastTransitionTime": ago(**(age or {"hours": 2})),
    }


READY = fleet(
    "chat",
    {
        "observedGeneration": 3,
        "conditions": [
            condition("Ready", True, "AllReady", "1 large and 4 small instances answer."),
            condition("Accepted", True, "Valid"),
            condition("Degraded", False, "Healthy"),
        ],
        "large": {
            "summary": "1/1",
            "desired": 1,
            "ready": 1,
            "gpus": 32,
            "revision": "3f2a1c0d",
            "instances": [
                {
                    "index": 0,
                    "revision": "3f2a1c0d",
                    "state": "Ready",
                    "readyRanks": 4,
                    "ranks": 4,
                    "restarts": 1,
                    "since": ago(hours=2),
                    "lastExit": {"pod": "chat-large-0-1", "exitCode": 1, "at": ago(days=1)},
                }
            ],
        },
        "small": {"summary": "4/4", "desired": 4, "ready": 4, "gpus": 4, "revision": "77aa0011"},
        "ratio": "4",
        "endpoint": "http://chat-router.prod.svc:8080",
        "cost": {"usdPerHour": "79.20"},
    },
)

TROUBLED = fleet(
    "search",
    {
        "observedGeneration": 2,
        "conditions": [
            condition("Ready", False, "InstanceFailed", "Instance 1 restarts, instance 3 failed 5 times", minutes=4),
            condition("LargeTierReady", False, "GroupRestarting", "instance 1 restarts (3 of 5)", minutes=4),
            condition("Degraded", True, "InstanceFailed", "instance 3 failed 5 times", hours=1),
            condition("PairMatched", False, "FamiliesDiffer", "Qwen3 and GLM-4 differ", days=3),
            condition("Accepted", True, "Valid"),
            condition("FromTheFuture", True, "Unheard"),
        ],
        "large": {
            "summary": "1/3",
            "desired": 3,
            "ready": 1,
            "gpus": 64,
            "revision": "3f2a1c0d",
            "override": {"instances": 3, "by": "kubectl-scale", "until": ago(minutes=-43)},
            "instances": [
                {"index": 0, "revision": "3f2a1c0d", "state": "Ready", "readyRanks": 4, "ranks": 4},
                {
                    "index": 1,
                    "revision": "3f2a1c0d",
                    "state": "Restarting",
                    "readyRanks": 1,
                    "ranks": 2,
                    "restarts": 3,
                    "since": ago(minutes=4),
                    "retryAt": ago(seconds=-40),
                    "lastExit": {
                        "pod": "search-large-1-1",
                        "exitCode": 137,
                        "reason": "OOMKilled",
                        "message": "CUDA out of memory.\nTried to allocate 2.00 GiB.",
                        "at": ago(minutes=4),
                    },
                },
                {"index": 3, "revision": "9bb0a511", "state": "Failed", "ranks": 2, "restarts": 5},
            ],
        },
        "small": {"summary": "8/8", "desired": 8, "ready": 8, "gpus": 8, "revision": "77aa0011"},
        "cost": {"usdPerHour": "158.40"},
        "lastDrain": {"instance": "instance 2", "inFlightAtStart": 7, "completed": ago(hours=1), "reason": "roll"},
    },
    scaling={"small": {"writer": "External"}},
    suspend=True,
)

FRESH = fleet("fresh")


def rank(instance: int, index: int, **status: Any) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": "prod",
            "name": f"search-large-{instance}-{index}",
            "uid": f"{instance}-{index}",
            "resourceVersion": "1",
            "creationTimestamp": ago(hours=5),
            "labels": {
                "heterofleet.io/fleet": "search",
                "heterofleet.io/tier": "large",
                "heterofleet.io/component": "engine",
                "heterofleet.io/instance": str(instance),
                "apps.kubernetes.io/pod-index": str(index),
            },
        },
        "spec": {"nodeName": f"gpu-{instance}{index}", "containers": [{"name": "engine"}]},
        "status": {"phase": "Running", **status},
    }


RANKS = (
    rank(0, 0, conditions=[{"type": "Ready", "status": "True", "lastTransitionTime": ago(hours=2)}]),
    rank(
        1,
        1,
        containerStatuses=[{"name": "engine", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
    ),
    rank(1, 0, conditions=[{"type": "Ready", "status": "True", "lastTransitionTime": ago(hours=2)}]),
)


def lease(renewed: str, holder: str = "heterofleet-operator-5f7c_1") -> Manifest:
    return {
        "metadata": {"name": "heterofleet-operator", "namespace": "heterofleet-system"},
        "spec": {"renewTime": renewed, "holderIdentity": holder, "leaseDurationSeconds": 15},
    }
