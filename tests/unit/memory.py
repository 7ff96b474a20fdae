"""A cluster in memory: the `Cluster` Protocol with resourceVersions, preconditions and whatever goes wrong.

`refuse` maps a call to the error it gets; `admit` may change what is stored, as admission does.
"""

import copy
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from heterofleet.api.labels import Manifest
from heterofleet.cluster import errors
from heterofleet.cluster.objects import Ref

CREATED = "2026-01-02T03:04:05Z"


class MemoryCluster:
    def __init__(self) -> None:
        self.objects: dict[Ref, Manifest] = {}
        self.calls: list[tuple[str, Ref]] = []
        self.refuse: Callable[[str, Ref], errors.ClusterError | None] = lambda _verb, _ref: None
        self.admit: Callable[[Manifest], None] = lambda _manifest: None
        self._version = 1  # etcd counts from here, so that no object has it.

    def written(self) -> list[tuple[str, Ref]]:
        return [call for call in self.calls if call[0] != "get"]

    async def apply(self, manifest: Manifest, *, force: bool = True) -> Manifest:
        ref = self._enter("apply", Ref.of(manifest))
        held = self.objects.get(ref)
        uid = manifest["metadata"].get("uid")
        if uid is not None and (held is None or held["metadata"]["uid"] != uid):
            raise errors.Conflict(f"{ref} has another uid", status=409)
        version = manifest["metadata"].get("resourceVersion")
        if version is not None and held is not None and held["metadata"]["resourceVersion"] != version:
            raise errors.Conflict(f"{ref} has changed", status=409)
        merged = _merged(held or {}, manifest)
        self.admit(merged)
        return self._store(ref, merged)

    async def apply_status(self, ref: Ref, status: Manifest, *, uid: str | None = None) -> Manifest:
        held = self._existing(self._enter("status", ref), uid)
        return self._store(ref, {**held, "status": status})

    async def merge_patch(
        self,
        ref: Ref,
        patch: Manifest,
        *,
        subresource: str | None = None,
        uid: str | None = None,
        resource_version: int | None = None,
    ) -> Manifest:
        held = self._existing(self._enter("patch", ref), uid)
        if resource_version is not None and held["metadata"]["resourceVersion"] != str(resource_version):
            raise errors.Conflict(f"{ref} has changed", status=409)
        return self._store(ref, _merged(held, patch))

    async def delete(
        self, ref: Ref, *, uid: str | None = None, grace_seconds: int | None = None, propagation: str = "Background"
    ) -> None:
        self._enter("delete", ref)
        if ref in self.objects:
            self._existing(ref, uid)
            del self.objects[ref]

    async def create(self, manifest: Manifest) -> Manifest:
        ref = self._enter("create", Ref.of(manifest))
        if ref in self.objects:
            raise errors.AlreadyExists(f"{ref} exists", status=409, reason="AlreadyExists")
        return self._store(ref, manifest)

    async def replace(self, manifest: Manifest) -> Manifest:
        ref = self._enter("replace", Ref.of(manifest))
        held = self._existing(ref, None)
        if held["metadata"]["resourceVersion"] != manifest["metadata"]["resourceVersion"]:
            raise errors.Conflict(f"{ref} has changed", status=409)
        return self._store(ref, manifest)

    async def get(self, ref: Ref) -> Manifest | None:
        held = self.objects.get(self._enter("get", ref))
        return copy.deepcopy(held) if held else None

    async def list(self, api_version: str, kind: str, **_: Any) -> Sequence[Manifest]:
        return [held for ref, held in self.objects.items() if ref[:2] == (api_version, kind)]

    async def pages(self, api_version: str, kind: str, **_: Any) -> AsyncIterator[Sequence[Manifest]]:
        yield await self.list(api_version, kind)

    async def served_kinds(self) -> frozenset[tuple[str, str]]:
        return frozenset()

    def _enter(self, verb: str, ref: Ref) -> Ref:
        self.calls.append((verb, ref))
        error = self.refuse(verb, ref)
        if error is not None:
            raise error
        return ref

    def _existing(self, ref: Ref, uid: str | None) -> Manifest:
        held = self.objects.get(ref)
        if held is None:
            raise errors.NotFound(f"{ref} not found", status=404)
        if uid is not None and held["metadata"]["uid"] != uid:
            raise errors.Conflict(f"{ref} has another uid", status=409)
        return held

    def _store(self, ref: Ref, manifest: Manifest) -> Manifest:
        self._version += 1
        stored = copy.deepcopy(manifest)
        metadata = stored["metadata"]
        metadata.setdefault("uid", f"uid-{self._version}")
        metadata.setdefault("creationTimestamp", CREATED)
        metadata["resourceVersion"] = str(self._version)
        held = self.objects.get(ref)
        is_changed = held is None or held.get("spec") != stored.get("spec")
        metadata["generation"] = (held["metadata"].get("generation", 0) if held else 0) + is_changed
        self.objects[ref] = stored
        return copy.deepcopy(stored)


def _merged(held: Mapping[str, Any], patch: Mapping[str, Any]) -> Manifest:
    merged = copy.deepcopy(dict(held))
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            before = merged.get(key)
            merged[key] = _merged(before if isinstance(before, Mapping) else {}, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged
