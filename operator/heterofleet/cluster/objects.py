"""Decides which objects of a fleet to apply, in which order, and which to prune: pure, a value comes out.

Stands between `desired` (what should be) and `cluster.apply` (which executes the value). An object is written
only when what the cluster holds does not cover it (`comparison`), pruned only when it carries this fleet's UID as
its controller, and left alone when somebody else has its name. What admission changes in our applies is
remembered by digest and paths, so that it is reported once and not fought over.
"""

import hashlib
import sys
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Self

import orjson

from heterofleet.api import labels
from heterofleet.api.labels import Manifest
from heterofleet.cluster import comparison

RANKS: Final[Mapping[str, int]] = {
    kind: rank
    for rank, kind in enumerate(
        (
            "ServiceAccount",
            "Role",
            "RoleBinding",
            "ConfigMap",
            "ControllerRevision",
            "Service",
            "NetworkPolicy",
            "PodDisruptionBudget",
            "PodGroup",
            labels.TIER_KIND,
            "StatefulSet",
            "Deployment",
            "HorizontalPodAutoscaler",
            "PodMonitor",
            "PrometheusRule",
        )
    )
}
"""What pods need comes before what makes pods; pruning goes the other way."""


COMPANIONS: Final = frozenset({"Service", "PodDisruptionBudget", "NetworkPolicy"})
"""What a group has of its own beside its StatefulSet."""


class Ref(NamedTuple):
    """Names one object; `namespace` is empty for what has none."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        metadata = manifest["metadata"]
        return cls(
            sys.intern(manifest["apiVersion"]),
            sys.intern(manifest["kind"]),
            sys.intern(metadata.get("namespace", "")),
            metadata["name"],
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Observed:
    """One child as the cluster holds it: what every reconcile looks at, and the rest as compact JSON.

    A fleet has two dozen children and a process a thousand fleets, so the body stays encoded (a fifth of the
    size of the decoded one) and without managedFields (often the larger half of an object).
    """

    ref: Ref
    uid: str
    resource_version: int
    owner_uid: str | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    created: datetime
    deleting: bool
    raw: bytes

    @property
    def body(self) -> Manifest:
        decoded: Manifest = orjson.loads(self.raw)
        return decoded

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        metadata = manifest["metadata"]
        kept = {**manifest, "metadata": {k: v for k, v in metadata.items() if k != "managedFields"}}
        return cls(
            ref=Ref.of(manifest),
            uid=metadata["uid"],
            resource_version=int(metadata["resourceVersion"]),
            owner_uid=controller_uid(metadata),
            labels={sys.intern(k): sys.intern(v) for k, v in (metadata.get("labels") or {}).items()},
            annotations=metadata.get("annotations") or {},
            created=datetime.fromisoformat(metadata["creationTimestamp"]),
            deleting="deletionTimestamp" in metadata,
            # orjson leaves the room that it grew into; a copy has the size of what is in it (a third).
            raw=bytes(memoryview(orjson.dumps(kept))),
        )


class Mutation(NamedTuple):
    """What admission makes of a manifest that we applied: its digest, and where the answer differed."""

    digest: str
    paths: frozenset[str]


class Drift(NamedTuple):
    """An object of ours that differs from what is desired, and where."""

    ref: Ref
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Changes:
    """What to do for one fleet: `apply` and `prune` are in their order, the rest is for the report.

    `taken` names objects that somebody else owns; `drifted` are those among `apply` that existed;
    `mutated` differ only as admission is known to make them differ, and are not applied again.
    """

    apply: tuple[Manifest, ...] = ()
    prune: tuple[Observed, ...] = ()
    taken: tuple[Ref, ...] = ()
    drifted: tuple[Drift, ...] = ()
    mutated: tuple[Drift, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.apply or self.prune)


def digest(manifest: Manifest) -> str:
    """sha256 of the canonical JSON (sorted keys, no spaces) of a manifest."""
    return hashlib.sha256(orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS)).hexdigest()


def controller_uid(metadata: Mapping[str, Any]) -> str | None:
    """The UID of the owner that controls an object, or None."""
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            uid: str = owner["uid"]
            return uid
    return None


def changes(
    desired: Sequence[Manifest],
    observed: Mapping[Ref, Observed],
    *,
    owner_uid: str,
    keep: Container[Ref] = frozenset(),
    remembered: Mapping[Ref, Mutation] | None = None,
) -> Changes:
    """Compares a fleet's desired manifests with its observed children.

    `owner_uid` is the fleet's UID; `keep` are objects that are not rendered now but must stay;
    `remembered` is what earlier applies taught about admission (`Outcome.mutated`).
    """
    known = remembered or {}
    apply: list[Manifest] = []
    taken: list[Ref] = []
    drifted: list[Drift] = []
    mutated: list[Drift] = []
    for manifest in sorted(desired, key=lambda item: rank(item["kind"], item["metadata"].get("labels") or {})):
        ref = Ref.of(manifest)
        held = observed.get(ref)
        if held is None:
            apply.append(manifest)
            continue
        if held.owner_uid != owner_uid:
            taken.append(ref)
            continue
        paths = comparison.covers(held.body, manifest)
        if not paths:
            continue
        if _is_known(known.get(ref), manifest, paths):
            mutated.append(Drift(ref, paths))
        else:
            drifted.append(Drift(ref, paths))
            apply.append(manifest)
    wanted = {Ref.of(manifest) for manifest in desired}
    prune = [
        child
        for ref, child in observed.items()
        if child.owner_uid == owner_uid and ref not in wanted and ref not in keep and not child.deleting
    ]
    prune.sort(key=lambda child: (-rank(child.ref.kind, child.labels), child.ref))
    return Changes(tuple(apply), tuple(prune), tuple(taken), tuple(drifted), tuple(mutated))


def rank(kind: str, own_labels: Mapping[str, str]) -> float:
    """Place of an object in the apply order; unknown kinds come last.

    What a group has beside its StatefulSet comes right after it: where it stands without one it is then always what
    is left of a former group, and its index is not used again before it is gone. Only a PodGroup must be there first.
    """
    if labels.INSTANCE in own_labels and kind in COMPANIONS:
        return RANKS["StatefulSet"] + 0.5
    return RANKS.get(kind, len(RANKS))


def field_managers(manifest: Manifest, paths: Sequence[str]) -> frozenset[str]:
    """Names the managers, other than this operator, that own one of `paths` (those that `comparison.covers` gave).

    For the Event that tells who had a field which we took back. Needs an object read afresh, since the cache
    drops managedFields. A field that was removed has no owner: then nobody is named.
    """
    return owners_of(manifest, paths) - {labels.FIELD_MANAGER}


def owners_of(manifest: Manifest, paths: Sequence[str]) -> frozenset[str]:
    """Names all managers that own one of `paths`, this operator included, in an object read afresh."""
    return frozenset(
        entry["manager"]
        for entry in manifest["metadata"].get("managedFields") or ()
        if any(_owns(entry.get("fieldsV1") or {}, path) for path in paths)
    )


def _owns(fields: Mapping[str, Any], path: str) -> bool:
    """Follows a path through a FieldsV1 tree; keys may contain dots, so the tree says where a step ends."""
    if not path or set(fields) <= {"."}:
        return True
    if path.startswith("["):
        identity, _, rest = path[1:].partition("]")
        wanted = sorted(identity.split(","))
        return any(
            _owns(inner, rest.lstrip("."))
            for key, inner in fields.items()
            if key.startswith("k:") and sorted(str(part) for part in orjson.loads(key[2:]).values()) == wanted
        )
    return any(
        _owns(inner, path[len(key) - 2 :].lstrip("."))
        for key, inner in fields.items()
        if key.startswith("f:") and (path == key[2:] or path.startswith((f"{key[2:]}.", f"{key[2:]}[")))
    )


def _is_known(mutation: Mutation | None, manifest: Manifest, paths: Sequence[str]) -> bool:
    return mutation is not None and mutation.paths.issuperset(paths) and mutation.digest == digest(manifest)
