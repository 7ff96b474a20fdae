"""Whether a fleet's status says what is, looked at each second: the facts are read from pods, not from the operator.

A look counts only while the API server answers and the operator's Lease is fresh. What status says otherwise than the
facts for longer than `WITHIN_SECONDS` is a lie; a fact that changed a moment ago is none yet. Who comes back
is given as long once more to read what it missed.
"""

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from e2e.played import FLEET, NAMESPACE
from testbed.api import Api, ApiError
from testbed.realnodes import RealNodes

Manifest = dict[str, Any]

WITHIN_SECONDS: Final = 5.0
EVERY_SECONDS: Final = 1.0
_FRESH_SECONDS: Final = 6.0
FLEET_PATH: Final = f"/apis/heterofleet.io/v1alpha1/namespaces/{NAMESPACE}/heterogeneousdeployments/{FLEET}"
_PODS: Final = f"/api/v1/namespaces/{NAMESPACE}/pods"
_LEASE: Final = "/apis/coordination.k8s.io/v1/namespaces/heterofleet-system/leases/heterofleet-operator"


@dataclass
class Watch:
    """What was seen: looks that counted, those that did not, and every lie with how long it lasted."""

    looks: int = 0
    blind: int = 0
    longest_seconds: float = 0.0
    lies: list[str] = field(default_factory=list)
    _up_since: float | None = None
    _since: dict[str, tuple[float, str]] = field(default_factory=dict)

    def look(self, differences: dict[str, str], at: float) -> None:
        """Note what differs now, by the fact; a fact that moves on begins its time anew."""
        self._up_since = at if self._up_since is None else self._up_since
        if self.blind and at - self._up_since < WITHIN_SECONDS:
            self.blind += 1
            return
        self.looks += 1
        for fact in self._since.keys() - differences.keys():
            del self._since[fact]
        for fact, told in differences.items():
            since, before = self._since.get(fact, (at, told))
            since = since if before == told else at
            self._since[fact] = (since, told)
            self.longest_seconds = max(self.longest_seconds, round(at - since, 1))
            if at - since > WITHIN_SECONDS:
                self.lies.append(f"{at - since:.1f} s: {fact}: {told}")

    def miss(self) -> None:
        """Nobody can be asked, or nobody writes: what differed before begins its time anew."""
        self.blind += 1
        self._up_since = None
        self._since.clear()

    def summary(self) -> dict[str, Any]:
        told = {"looks": self.looks, "without_operator_or_api": self.blind, "longest_seconds": self.longest_seconds}
        return {**told, "lies": self.lies[:20]}


@contextlib.contextmanager
def watching(nodes: RealNodes) -> Iterator[Watch]:
    """Looks each second for the duration of a block."""
    watch, over = Watch(), threading.Event()

    def run() -> None:
        with nodes.inside():
            while not over.wait(EVERY_SECONDS):
                _look(nodes.api, watch)

    thread = threading.Thread(target=run, name="status against facts")
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


def _look(api: Api, watch: Watch) -> None:
    try:
        if not _operated(api):
            watch.miss()
            return
        # Status first: a fact that changes between the two reads is not held against it for long.
        status = api.get(FLEET_PATH).get("status", {})
        differences = differing(status, api.items(_PODS, labelSelector=f"heterofleet.io/fleet={FLEET}"))
    except (ApiError, OSError, http.client.HTTPException):
        watch.miss()
        return
    watch.look(differences, time.monotonic())


def _operated(api: Api) -> bool:
    lease = api.find(_LEASE)
    renewed = (lease or {}).get("spec", {}).get("renewTime")
    return (
        renewed is not None and (datetime.now(UTC) - datetime.fromisoformat(renewed)).total_seconds() < _FRESH_SECONDS
    )


def differing(status: Manifest, pods: list[Manifest]) -> dict[str, str]:
    """Facts that status tells otherwise, each with both words."""
    conditions = {c["type"]: c["status"] for c in status.get("conditions", [])}
    ready = {part: sum(_serves(pod) for pod in pods if _part(pod) == part) for part in ("large", "small", "router")}
    facts = {
        "large.ready": (status.get("large", {}).get("ready"), ready["large"]),
        "small.ready": (status.get("small", {}).get("ready"), ready["small"]),
        "RouterReady": (conditions.get("RouterReady"), str(ready["router"] > 0)),
        "endpoint": (status.get("endpoint"), f"http://{FLEET}-router.{NAMESPACE}.svc:8080/v1"),
    }
    for tier in ("large", "small"):
        wanted = status.get(tier, {}).get("desired")
        facts[f"{tier} condition"] = (conditions.get(f"{tier.title()}TierReady"), str(ready[tier] >= (wanted or 0)))
    return {fact: f"{told} is said, {found} is so" for fact, (told, found) in facts.items() if told != found}


def _part(pod: Manifest) -> str:
    found: dict[str, str] = pod["metadata"]["labels"]
    return found.get("heterofleet.io/tier", "router")


def _serves(pod: Manifest) -> bool:
    """A pod that goes, or is to go, does not."""
    conditions = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions", [])}
    draining = pod["metadata"]["labels"].get("heterofleet.io/state") == "draining"
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"] and not draining
