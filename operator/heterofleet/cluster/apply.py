"""Executes a fleet's `Changes`: applies in order, then prunes, and says what happened.

Stands after `objects.changes` in a reconcile. Answers go into the cache at once, so that the next reconcile sees
its own writes without waiting for the watch. Nothing is pruned after a failed apply: what was to replace the
pruned object may not exist. One refused object does not keep the others from being applied, since each is
needed by what exists already.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from heterofleet.api.labels import Manifest
from heterofleet.cluster import comparison, errors, objects
from heterofleet.cluster.client import Cluster
from heterofleet.cluster.objects import Changes, Mutation, Observed, Ref


class Failure(NamedTuple):
    ref: Ref
    error: errors.ClusterError


@dataclass(frozen=True)
class Outcome:
    """What became of the changes; `taken` are names found with another owner, `mutated` what admission altered."""

    applied: tuple[Ref, ...]
    pruned: tuple[Ref, ...]
    failed: tuple[Failure, ...]
    taken: tuple[Ref, ...]
    mutated: Mapping[Ref, Mutation]


class Memory(Protocol):
    """The part of the cache that learns from answers."""

    def put(self, manifest: Manifest) -> bool: ...

    def uid_of(self, ref: Ref) -> str | None:
        """The UID under which an object is known, or None."""


async def execute(changes: Changes, cluster: Cluster, memory: Memory, *, owner_uid: str) -> Outcome:
    """Applies and prunes for the fleet with `owner_uid`; `NotLeader` and a lost server end it at once."""
    applied: list[Ref] = []
    failed: list[Failure] = []
    taken: list[Ref] = []
    mutated: dict[Ref, Mutation] = {}
    for manifest in changes.apply:
        ref = Ref.of(manifest)
        try:
            stored = await _apply(manifest, ref, cluster, memory, owner_uid)
        except (errors.NotLeader, errors.Unavailable):
            raise
        except errors.ClusterError as exc:
            failed.append(Failure(ref, exc))
            continue
        if stored is None:
            taken.append(ref)
            continue
        applied.append(ref)
        memory.put(stored)
        differing = comparison.covers(stored, manifest)
        if differing:
            mutated[ref] = Mutation(objects.digest(manifest), frozenset(differing))
    pruned: list[Ref] = []
    if not failed and not taken:
        for child in changes.prune:
            failure = await _prune(child, cluster)
            if failure is None:
                pruned.append(child.ref)
            else:
                failed.append(failure)
    return Outcome(tuple(applied), tuple(pruned), tuple(failed), tuple(taken), mutated)


async def _apply(manifest: Manifest, ref: Ref, cluster: Cluster, memory: Memory, owner_uid: str) -> Manifest | None:
    """Applies one object, or gives None when its name is somebody else's.

    An object that the cache does not know is read first: it may lack our label and still have the name. What is
    known is applied with its UID, which the server compares, so that a successor under the name is not touched.
    """
    uid = memory.uid_of(ref)
    if uid is None:
        existing = await cluster.get(ref)
        if existing is not None:
            if objects.controller_uid(existing["metadata"]) != owner_uid:
                return None
            uid = existing["metadata"]["uid"]
    if uid is None:
        return await cluster.apply(manifest)
    return await cluster.apply({**manifest, "metadata": {**manifest["metadata"], "uid": uid}})


async def _prune(child: Observed, cluster: Cluster) -> Failure | None:
    try:
        await cluster.delete(child.ref, uid=child.uid)
    except (errors.NotLeader, errors.Unavailable):
        raise
    except errors.ClusterError as exc:
        return Failure(child.ref, exc)
    return None
