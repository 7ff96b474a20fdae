"""Which fields of a fleet differ, what each of them rolls, and what rolls in all. Pure.

Both sides come from the server, which writes defaults out in both, so that a default is no difference. What rolls is
told by the hash that the operator compares (`desired.revision`).
"""

import copy
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from heterofleet.api.labels import Manifest
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import diffchange
from heterofleet.desired import revision
from heterofleet.desired.revision import Role

ABSENT: Final = None
Path = tuple[str, ...]


def dotted(path: Path) -> str:
    """A path as people write it: `spec.large.engine.env[HF_HOME].value`."""
    return ".".join(path).replace(".[", "[")


class Field(NamedTuple):
    """One difference; None where there is nothing. `rolls` are the roles whose pods it would replace by itself."""

    path: Path
    before: Any
    after: Any
    rolls: tuple[Role, ...] = ()


class Roll(NamedTuple):
    """A role whose pods would be replaced, and the revisions that its pods have and would have."""

    role: Role
    before: str
    after: str


def differing(live: Manifest, wanted: Manifest) -> tuple[Field, ...]:
    """Every field of spec, labels and annotations that differs, in the order of their names."""
    found = list(_differing(_shown(live), _shown(wanted), ()))
    return tuple(field._replace(rolls=_rolled_by(live, field)) for field in found)


def rolls(live: Manifest, wanted: Manifest) -> tuple[Roll, ...] | None:
    """What the operator would roll; None where this version cannot read one of the two."""
    before, after = _read(live), _read(wanted)
    if before is None or after is None:
        return None
    hashes = ((role, revision.spec_hash(before, role), revision.spec_hash(after, role)) for role in Role)
    return tuple(Roll(role, revision.revision(old), revision.revision(new)) for role, old, new in hashes if old != new)


def _shown(manifest: Manifest) -> Manifest:
    """What a person wrote or could have written: no status, nothing that the server or kubectl keep for themselves."""
    metadata = manifest.get("metadata") or {}
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != diffchange.LAST_APPLIED}
    return {
        "metadata": {"annotations": annotations, "labels": metadata.get("labels") or {}},
        "spec": manifest.get("spec") or {},
    }


def _differing(before: Any, after: Any, path: Path) -> Iterator[Field]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            yield from _differing(before.get(key, ABSENT), after.get(key, ABSENT), (*path, key))
    elif _are_named(before) and _are_named(after):
        old, new = (
            {f"[{item['name']}]": {key: value for key, value in item.items() if key != "name"} for item in items}
            for items in (before, after)
        )
        yield from _differing(old, new, path)
    elif _is_branch(before) or _is_branch(after):
        # A section that comes or goes is told by its fields.
        yield from _differing(_fields(before), _fields(after), path)
    elif before != after:
        yield Field(path, before, after)


def _are_named(side: Any) -> bool:
    """A list whose items have names is told by them, wherever in the list they stand."""
    return isinstance(side, list) and bool(side) and all(isinstance(item, Mapping) and "name" in item for item in side)


def _fields(side: Any) -> Mapping[str, Any]:
    return side if isinstance(side, Mapping) else {}


def _is_branch(side: Any) -> bool:
    return isinstance(side, Mapping) and bool(side)


def _rolled_by(live: Manifest, field: Field) -> tuple[Role, ...]:
    """What this field would roll if it alone changed; nothing where it cannot change alone."""
    if field.path[:1] != ("spec",) and field.path[:2] != ("metadata", "annotations"):
        return ()
    alone = copy.deepcopy(live)
    place: Any = alone
    for key, following in itertools.pairwise(field.path):
        place = _into(place, key, [] if following.startswith("[") else {})
    last = field.path[-1]
    if isinstance(place, list):
        return ()
    if field.after is ABSENT:
        place.pop(last, None)
    else:
        place[last] = field.after
    return tuple(roll.role for roll in rolls(live, alone) or ())


def _into(place: Any, key: str, empty: Any) -> Any:
    """What stands at `key`, made where it is not there: `[NAME]` is the item of a list that has this name."""
    if not isinstance(place, list):
        return place.setdefault(key, empty)
    for item in place:
        if f"[{item['name']}]" == key:
            return item
    place.append({"name": key[1:-1]})
    return place[-1]


def _read(manifest: Manifest) -> HeterogeneousDeployment | None:
    try:
        return HeterogeneousDeployment.parse({key: value for key, value in manifest.items() if key != "status"})
    except ValidationError:
        return None
