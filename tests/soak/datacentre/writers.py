"""Who may write which field, from managedFields: two managers that own one field are two writers. Pure.

Kubernetes' own controllers and the played kubelet share what they please; judged are fields of which the operator is
one of the owners.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from heterofleet.api import labels
from heterofleet.api.labels import Manifest


def shared(item: Manifest) -> dict[str, tuple[str, ...]]:
    """The fields of an object that the operator and somebody else own, with their owners."""
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for entry in item["metadata"].get("managedFields", ()):
        for path in _leaves(entry.get("fieldsV1", {}), ""):
            owners[path].add(entry["manager"])
    return {
        path: tuple(sorted(managers))
        for path, managers in sorted(owners.items())
        if len(managers) > 1 and labels.FIELD_MANAGER in managers
    }


def _leaves(fields: dict[str, Any], path: str) -> Iterator[str]:
    """Paths to values; what only says that a key exists (".") is owned by many without harm."""
    for name, below in fields.items():
        if name == ".":
            continue
        inner = {key: value for key, value in below.items() if key != "."}
        if inner:
            yield from _leaves(inner, f"{path}/{name}")
        else:
            yield f"{path}/{name}"
