"""Executes a fleet's `Changes`: applies in order, then prunes, and says what happened.

Stands after `objects.changes` in a reconcile. Names that the cache does not know are looked up first, all of them,
and nothing is written where one is somebody else's. What was not there is applied so that it can only be made: a name
that somebody takes after the look is found taken, and nothing more is written. Answers go into the cache at once, so
that the next reconcile sees its own writes without waiting for the watch. Nothing is pruned after a failed apply: what
was to replace the pruned object may not exist. One refused object does not keep the others from being applied, since
each is needed by what exists already. But where a name could not be looked up nothing new is made at all: it may be
somebody else's, and whole kinds are refused at once while an API server starts, so that pods would be asked for before
what they need.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

from heterofleet.api.labels import Manifest
from heterofleet.cluster import comparison, errors, objects
from heterofleet.cluster.client import Cluster
from heterofleet.cluster.objects import Changes, Mutation, Observed, Ref

NEVER_A_VERSION: Final = "1"
"""A resourceVersion that no object has, since etcd counts writes from 2: an apply with it can only make an object.

The server compares it with that of the object that is there, and refuses it with a Conflict; where there is none, it
compares nothing. A create would be refused as well, but it files our fields as an Update, and what an Update owns a
later apply does not remove.
"""


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


@dataclass(frozen=True)
class Survey:
    """What is known of the objects to apply: the UIDs that those have which exist, and whose names are taken."""

    uids: Mapping[Ref, str]
    taken: tuple[Ref, ...] = ()
    failed: tuple[Failure, ...] = ()


async def survey(changes: Changes, cluster: Cluster, memory: Memory, *, owner_uid: str) -> Survey:
    """Looks at every object to apply that the cache does not know: it may lack our label and still have the name.

    Before anything is written, since a fleet with one name taken must not leave half of its objects behind.
    """
    refs = [Ref.of(manifest) for manifest in changes.apply]
    uids = {ref: uid for ref in refs if (uid := memory.uid_of(ref)) is not None}
    unknown = [ref for ref in refs if ref not in uids]
    answers = await asyncio.gather(*(_find(ref, cluster) for ref in unknown))
    taken: list[Ref] = []
    failed: list[Failure] = []
    for ref, answer in zip(unknown, answers, strict=True):
        if isinstance(answer, errors.ClusterError):
            failed.append(Failure(ref, answer))
        elif answer is not None and objects.controller_uid(answer["metadata"]) != owner_uid:
            taken.append(ref)
        elif answer is not None:
            uids[ref] = answer["metadata"]["uid"]
    return Survey(uids, tuple(taken), tuple(failed))


async def _find(ref: Ref, cluster: Cluster) -> Manifest | errors.ClusterError | None:
    try:
        return await cluster.get(ref)
    except (errors.NotLeader, errors.Unavailable):
        raise
    except errors.ClusterError as exc:
        return exc


async def execute(
    changes: Changes,
    cluster: Cluster,
    memory: Memory,
    *,
    owner_uid: str,
    known: Survey | None = None,
    stays: Callable[[Observed], bool] = lambda _: False,
) -> Outcome:
    """Applies and prunes for the fleet with `owner_uid`; `NotLeader` and a lost server end it at once.

    `known` is the survey of the same changes, if it was made already. Where a name is taken nothing is written.
    `stays` is asked right before each prune: what it holds for is not pruned after all.
    """
    found = known or await survey(changes, cluster, memory, owner_uid=owner_uid)
    if found.taken:
        return Outcome((), (), (), found.taken, {})
    outcome = await _apply_all(changes.apply, found, cluster, memory, owner_uid)
    if outcome.failed or outcome.taken:
        return outcome
    pruned: list[Ref] = []
    failed: list[Failure] = []
    for child in changes.prune:
        if stays(child):
            continue
        failure = await _prune(child, cluster)
        if failure is None:
            pruned.append(child.ref)
        else:
            failed.append(failure)
    return replace(outcome, pruned=tuple(pruned), failed=tuple(failed))


async def _apply_all(
    manifests: tuple[Manifest, ...], found: Survey, cluster: Cluster, memory: Memory, owner_uid: str
) -> Outcome:
    """Applies one after the other, past those that are refused, up to a name that was taken since it was looked up.

    Only what exists is applied where some names could not be looked up.
    """
    applied: list[Ref] = []
    failed = list(found.failed)
    taken: tuple[Ref, ...] = ()
    mutated: dict[Ref, Mutation] = {}
    for manifest in manifests:
        ref = Ref.of(manifest)
        if found.failed and ref not in found.uids:
            continue
        try:
            stored = await _apply(manifest, found.uids.get(ref), cluster, owner_uid)
        except (errors.NotLeader, errors.Unavailable):
            raise
        except errors.ClusterError as exc:
            failed.append(Failure(ref, exc))
            continue
        if stored is None:
            taken = (ref,)
            break
        applied.append(ref)
        memory.put(stored)
        differing = comparison.covers(stored, manifest)
        if differing:
            mutated[ref] = Mutation(objects.digest(manifest), frozenset(differing))
    return Outcome(tuple(applied), (), tuple(failed), taken, mutated)


async def _apply(manifest: Manifest, uid: str | None, cluster: Cluster, owner_uid: str) -> Manifest | None:
    """Applies one object: a new one, or the one with that UID, which the server compares. None if its name is taken."""
    if uid is not None:
        return await cluster.apply(_conditioned(manifest, uid=uid))
    try:
        return await cluster.apply(_conditioned(manifest, resourceVersion=NEVER_A_VERSION))
    except errors.Conflict:
        held = await cluster.get(Ref.of(manifest))
        if held is None:
            raise  # It went again: the next reconcile finds the name free.
    if objects.controller_uid(held["metadata"]) != owner_uid:
        return None
    # An apply of ours whose answer was lost, or a former leader's.
    return await cluster.apply(_conditioned(manifest, uid=held["metadata"]["uid"]))


def _conditioned(manifest: Manifest, **condition: str) -> Manifest:
    return {**manifest, "metadata": {**manifest["metadata"], **condition}}


async def _prune(child: Observed, cluster: Cluster) -> Failure | None:
    try:
        await cluster.delete(child.ref, uid=child.uid)
    except (errors.NotLeader, errors.Unavailable):
        raise
    except errors.ClusterError as exc:
        return Failure(child.ref, exc)
    return None
