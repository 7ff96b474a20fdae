"""Names who had changed a field of ours, before it is taken back (contracts.md, "Names, labels, ownership").

An object that differs from what is desired was either changed by somebody else, or it is we who want something new.
It is theirs when we want what we applied last; only then it is read afresh, since the cache has no managedFields.
"""

from typing import NamedTuple

from heterofleet.api.labels import FleetKey
from heterofleet.cluster import objects
from heterofleet.cluster.client import Cluster
from heterofleet.cluster.objects import Changes, Ref


class Taking(NamedTuple):
    """A field that goes back to what the fleet says."""

    ref: Ref
    paths: tuple[str, ...]
    managers: frozenset[str]


class Takings:
    """What was applied last, by fleet and object, as digests."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._applied: dict[FleetKey, dict[Ref, str]] = {}

    async def find(self, key: FleetKey, changes: Changes) -> tuple[Taking, ...]:
        """The drifts that somebody else made."""
        applied = self._applied.get(key, {})
        wanted = {Ref.of(manifest): manifest for manifest in changes.apply}
        found = []
        for drift in changes.drifted:
            known = applied.get(drift.ref)
            if known is not None and known != objects.digest(wanted[drift.ref]):
                continue
            manifest = await self._cluster.get(drift.ref)
            managers = objects.field_managers(manifest, drift.paths) if manifest is not None else frozenset[str]()
            if managers:
                found.append(Taking(drift.ref, drift.paths, managers))
        return tuple(found)

    def learn(self, key: FleetKey, changes: Changes, applied: tuple[Ref, ...]) -> None:
        """Remember what was just applied."""
        done = set(applied)
        digests = {Ref.of(m): objects.digest(m) for m in changes.apply if Ref.of(m) in done}
        self._applied.setdefault(key, {}).update(digests)

    def forget(self, key: FleetKey) -> None:
        self._applied.pop(key, None)
