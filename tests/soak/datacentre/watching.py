"""Looks at the fleet once a second: what is, what status tells, whose field is whose, what has no owner."""

import asyncio
import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from heterofleet.api import labels
from heterofleet.api.labels import Manifest
from randomwalk.settled import owner
from soak.datacentre import facts, writers
from soak.datacentre.facts import Facts
from soak.datacentre.house import FLEET_PATH
from soak.datacentre.site import PLACE, Site
from testbed.api import ApiError

EVERY_SECONDS: Final = 1.0
PATHS: Final[Mapping[str, str]] = {
    "pods": "api/v1",
    "services": "api/v1",
    "configmaps": "api/v1",
    "serviceaccounts": "api/v1",
    "statefulsets": "apis/apps/v1",
    "deployments": "apis/apps/v1",
    "replicasets": "apis/apps/v1",
    "controllerrevisions": "apis/apps/v1",
    "roles": "apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "apis/rbac.authorization.k8s.io/v1",
    "networkpolicies": "apis/networking.k8s.io/v1",
    "poddisruptionbudgets": "apis/policy/v1",
    labels.TIER_PLURAL: f"apis/{labels.API_VERSION}",
}


@dataclass(frozen=True)
class Sample:
    """One look. `at` is the soak's time when it began and `took` how long it lasted, both in seconds.

    `waited` is for how long the operator has waited for a processor since it started, in seconds, as the kernel counts
    it; None where it does not run.
    """

    at: float
    took: float
    waited: float | None
    gpus: int
    is_: Facts
    told: Facts
    shared: Mapping[str, tuple[str, ...]]
    """Owners of each field that has several, by object and path."""
    orphans: frozenset[str]


class Watch:
    """All looks of a soak; `missed` counts those for which the API server was away."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.samples: list[Sample] = []
        self.missed = 0

    async def watch(self) -> None:
        """Looks until it is cancelled."""
        while True:
            began = self._site.now()
            await asyncio.to_thread(self.take)
            await asyncio.sleep(max(0.0, EVERY_SECONDS - (self._site.now() - began)))

    def take(self) -> None:
        """One look."""
        at = self._site.now()
        try:
            found = look(self._site)
        except (ApiError, OSError, http.client.HTTPException):
            self.missed += 1
            return
        process = self._site.operator.pid if self._site.operator.runs else None
        self.samples.append(_sample(at, self._site.now, found, process and waited(process)))


def look(site: Site) -> dict[str, list[Manifest]]:
    """Everything of the fleet by plural, pods first and the fleet itself last: what it tells is not older than they."""
    found = {
        plural: site.cluster.api.items(f"/{group}/namespaces/{PLACE}/{plural}", labelSelector=labels.FLEET)
        for plural, group in PATHS.items()
    }
    for pod in found["pods"]:
        site.note(pod)
    return {**found, labels.FLEET_PLURAL: [site.cluster.api.get(FLEET_PATH)]}


def waited(process: int) -> float | None:
    """For how long all threads of a process have waited for a processor so far, in seconds."""
    try:
        threads = list(Path(f"/proc/{process}/task").iterdir())
        return sum(int((thread / "schedstat").read_text().split()[1]) for thread in threads) / 1e9
    except OSError:
        return None


def ownerless(found: Mapping[str, list[Manifest]]) -> frozenset[str]:
    """Objects with our labels whose controller does not exist."""
    alive = {item["metadata"]["uid"] for items in found.values() for item in items}
    return frozenset(
        f"{plural} {item['metadata']['name']}"
        for plural, items in found.items()
        if plural != labels.FLEET_PLURAL
        for item in items
        if owner(item) not in alive
    )


def _sample(at: float, now: Callable[[], float], found: dict[str, list[Manifest]], waited: float | None) -> Sample:
    fleet, pods = found[labels.FLEET_PLURAL][0], found["pods"]
    shared: dict[str, Any] = {
        f"{plural} {item['metadata']['name']}{path}": owners
        for plural, items in found.items()
        for item in items
        for path, owners in writers.shared(item).items()
    }
    is_ = facts.of_pods(fleet, pods)
    gpus = sum(int(str(is_[name])) for name in ("large GPUs", "small GPUs"))
    return Sample(at, now() - at, waited, gpus, is_, facts.of_status(fleet), shared, ownerless(found))
