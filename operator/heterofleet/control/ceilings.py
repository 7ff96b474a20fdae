"""How many pods the Deployments of a small tier may still get made, though their counts have been lowered.

A count is lowered at once, but pods are made by two controllers, each in its own time: one writes the Deployment's
count into a ReplicaSet, the other makes the ReplicaSet's pods. Until both have seen the lower count, pods may come up
to the former one, so that their GPUs are not free yet (contracts.md, "Instances, revisions, upgrades").

    ceiling = the highest count since both controllers were last known to have seen the present one

ReplicaSets are read only while a count is on its way down. What a process remembers dies with it: a Deployment that
was changed before its time has no bound until both are known to have seen its count.
"""

from collections.abc import Mapping, Sequence

from heterofleet.api import labels
from heterofleet.api.labels import FleetKey, Manifest, Tier
from heterofleet.cluster import objects
from heterofleet.cluster.client import Cluster
from heterofleet.cluster.objects import Observed
from heterofleet.control import observe
from heterofleet.control.holdings import BOUNDLESS


class Ceilings:
    """Remembers the ceiling of each Deployment, by fleet and UID; forgets those that are gone."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[FleetKey, dict[str, int]] = {}

    async def look(self, key: FleetKey, deployments: Mapping[str, Observed]) -> Mapping[str, int]:
        """The ceiling of each revision's Deployment, BOUNDLESS where it is not known."""
        before = self._known.get(key, {})
        present = {revision: found.body for revision, found in deployments.items() if not found.deleting}
        ceilings = {revision: _ceiling(body, before.get(_uid(body))) for revision, body in present.items()}
        asked = {r: body for r, body in present.items() if ceilings[r] > _count(body) and observe.is_seen(body)}
        if asked:
            makers = await self._replica_sets(key)
            ceilings |= {r: _count(body) for r, body in asked.items() if _is_settled(body, makers)}
        self._known[key] = {_uid(body): ceilings[revision] for revision, body in present.items()}
        return ceilings

    def forget(self, key: FleetKey) -> None:
        self._known.pop(key, None)

    async def _replica_sets(self, key: FleetKey) -> list[Manifest]:
        selector = f"{labels.FLEET}={key.name},{labels.TIER}={Tier.SMALL}"
        return list(await self._cluster.list("apps/v1", "ReplicaSet", namespace=key.namespace, label_selector=selector))


def _ceiling(deployment: Manifest, before: int | None) -> int:
    """The highest count that its controllers may have in hand; the first generation has had no other."""
    count = _count(deployment)
    if before is not None:
        return max(before, count)
    return count if deployment["metadata"]["generation"] == 1 else BOUNDLESS


def _is_settled(deployment: Manifest, replica_sets: Sequence[Manifest]) -> bool:
    """Whether what makes a Deployment's pods has seen its count, and has nothing left that is above it.

    A ReplicaSet is worked on by one thread at a time, which says last what it has seen: it makes nothing for an
    older count any more.
    """
    own = [made for made in replica_sets if objects.controller_uid(made["metadata"]) == _uid(deployment)]
    asked = sum(_count(made) for made in own)
    made = sum(item.get("status", {}).get("replicas", 0) for item in own)
    return bool(own) and all(map(observe.is_seen, own)) and max(asked, made) <= _count(deployment)


def _count(maker: Manifest) -> int:
    count: int = maker["spec"]["replicas"]
    return count


def _uid(deployment: Manifest) -> str:
    uid: str = deployment["metadata"]["uid"]
    return uid
