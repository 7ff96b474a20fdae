"""The verbs on the cluster: a Protocol that the rest of the operator is written against, and its real form.

Stands between decisions (`objects.Changes`, status) and `connection`. Objects are plain JSON in and out. Every
write first asks how long the lease is still ours, and gets no longer than that to finish: a leader that was
stopped for a minute writes nothing when it wakes up. Reads and server-side applies are repeated once after a
broken connection, anything after a 429; all other repeating is the queue's, with its backoff.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, Self

import orjson

from heterofleet.api import labels
from heterofleet.api.labels import Manifest
from heterofleet.cluster import connection, errors, kinds
from heterofleet.cluster.objects import Ref

PAGE_SIZE: Final = 500
LONGEST_THROTTLE_SECONDS: Final = 10.0
MOST_THROTTLES: Final = 3
OTHER_UID: Final = ("metadata.uid: Invalid value", "the server rejected our request due to an error in our request")
"""How the server says that an object is another one than the UID in an apply or patch, or the test of a JSON patch,
asks for: as if it were a bad object, without a Conflict. A status that the schema refuses is said with its field."""
_APPLY: Final = "application/apply-patch+yaml"
_MERGE: Final = "application/merge-patch+json"
_JSON_PATCH: Final = "application/json-patch+json"


class Cluster(Protocol):
    """What the operator does to a cluster; `KubeCluster` does it for real, tests keep one in memory.

    All methods raise `errors.ClusterError`; writes raise `NotLeader` when the lease is not ours.
    """

    async def apply(self, manifest: Manifest, *, force: bool = True) -> Manifest:
        """Server-side apply with our field manager. Gives what is stored.

        A `metadata.uid` in it must match, and so must a `resourceVersion` where there is such an object (`Conflict`).
        """

    async def apply_status(self, ref: Ref, status: Manifest, *, uid: str | None = None) -> Manifest:
        """Replaces the whole status; `Conflict` if the object is no longer the one with `uid`."""

    async def merge_patch(
        self,
        ref: Ref,
        patch: Manifest,
        *,
        subresource: str | None = None,
        uid: str | None = None,
        resource_version: int | None = None,
    ) -> Manifest:
        """JSON merge patch; `Conflict` if the object changed (`resource_version`) or is another one (`uid`)."""

    async def delete(
        self,
        ref: Ref,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
        propagation: str = "Background",
    ) -> None:
        """Deletes an object; one that is gone already is no error, another one under its name is `Conflict`."""

    async def create(self, manifest: Manifest) -> Manifest:
        """Creates an object that must not exist (Events, the Lease)."""

    async def replace(self, manifest: Manifest) -> Manifest:
        """Puts an object back that was read, unless it changed since (`Conflict`)."""

    async def get(self, ref: Ref) -> Manifest | None:
        """Reads an object past every cache; None when there is none."""

    async def list(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> Sequence[Manifest]:
        """Reads all objects that match."""

    def pages(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> AsyncIterator[Sequence[Manifest]]:
        """Reads all objects that match, 500 at a time, so that memory stays bounded."""

    async def served_kinds(self) -> frozenset[tuple[str, str]]:
        """Gives the (apiVersion, kind) of the optional kinds and of our own that this server has."""


class Meter(Protocol):
    """Counts what was written and what failed."""

    def wrote(self, verb: str, kind: str) -> None: ...

    def failed(self, reason: str) -> None: ...


class KubeCluster:
    """The cluster behind an API server."""

    def __init__(self, link: connection.Connection, *, write_seconds_left: Callable[[], float], meter: Meter) -> None:
        self.link = link
        self._write_seconds_left = write_seconds_left
        self._meter = meter

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(
        cls, *, write_seconds_left: Callable[[], float], meter: Meter, kubeconfig: Path | None = None
    ) -> AsyncIterator[Self]:
        """Opens a cluster; `write_seconds_left` says for how long writes are allowed (<= 0: not at all)."""
        async with connection.connect(kubeconfig) as link:
            yield cls(link, write_seconds_left=write_seconds_left, meter=meter)

    async def apply(self, manifest: Manifest, *, force: bool = True) -> Manifest:
        query = {"fieldManager": labels.FIELD_MANAGER, "force": str(force).lower()}
        return await self._write("PATCH", "apply", Ref.of(manifest), manifest, query=query, content_type=_APPLY)

    async def apply_status(self, ref: Ref, status: Manifest, *, uid: str | None = None) -> Manifest:
        operations: list[Manifest] = [{"op": "add", "path": "/status", "value": status}]
        if uid is not None:
            operations.insert(0, {"op": "test", "path": "/metadata/uid", "value": uid})
        return await self._write("PATCH", "status", ref, operations, subresource="status", content_type=_JSON_PATCH)

    async def merge_patch(
        self,
        ref: Ref,
        patch: Manifest,
        *,
        subresource: str | None = None,
        uid: str | None = None,
        resource_version: int | None = None,
    ) -> Manifest:
        metadata = dict(patch.get("metadata") or {})
        if uid is not None:
            metadata["uid"] = uid
        if resource_version is not None:
            metadata["resourceVersion"] = str(resource_version)
        body = {**patch, "metadata": metadata} if metadata else patch
        return await self._write("PATCH", "patch", ref, body, subresource=subresource or "", content_type=_MERGE)

    async def delete(
        self,
        ref: Ref,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
        propagation: str = "Background",
    ) -> None:
        options: Manifest = {"propagationPolicy": propagation}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        with contextlib.suppress(errors.NotFound):
            await self._write("DELETE", "delete", ref, options)

    async def create(self, manifest: Manifest) -> Manifest:
        return await self._write("POST", "create", Ref.of(manifest), manifest)

    async def replace(self, manifest: Manifest) -> Manifest:
        return await self._write("PUT", "update", Ref.of(manifest), manifest)

    async def get(self, ref: Ref) -> Manifest | None:
        try:
            return await self._read(_kind(ref.api_version, ref.kind).path(ref.namespace, ref.name), {})
        except errors.NotFound:
            return None

    async def list(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> Sequence[Manifest]:
        pages = self.pages(
            api_version, kind, namespace=namespace, label_selector=label_selector, field_selector=field_selector
        )
        return [item async for page in pages for item in page]

    async def pages(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> AsyncIterator[Sequence[Manifest]]:
        path = _kind(api_version, kind).path(namespace or "")
        query = {"limit": str(PAGE_SIZE)}
        if label_selector:
            query["labelSelector"] = label_selector
        if field_selector:
            query["fieldSelector"] = field_selector
        while True:
            answer = await self._read(path, query)
            for item in answer["items"]:  # The server leaves these out of a list's items.
                item["apiVersion"], item["kind"] = api_version, kind
            yield answer["items"]
            if not answer["metadata"].get("continue"):
                return
            query["continue"] = answer["metadata"]["continue"]

    async def served_kinds(self) -> frozenset[tuple[str, str]]:
        wanted = {(kind.api_version, kind.kind) for kind in (kinds.FLEET, kinds.TIER, *kinds.OPTIONAL)}
        versions = sorted({api_version for api_version, _ in wanted})
        found = await asyncio.gather(*(self._kinds_of(version) for version in versions))
        return frozenset(wanted.intersection(frozenset().union(*found)))

    async def _kinds_of(self, api_version: str) -> frozenset[tuple[str, str]]:
        try:
            answer = await self._read(f"/apis/{api_version}", {})
        except errors.NotFound:
            return frozenset()
        return frozenset((api_version, resource["kind"]) for resource in answer["resources"])

    async def _read(self, path: str, query: Mapping[str, str]) -> Manifest:
        async def send() -> bytes:
            return await self.link.request("GET", path, query=query)

        decoded: Manifest = orjson.loads(await self._persistently(send, repeatable=True))
        return decoded

    async def _write(
        self,
        method: str,
        verb: str,
        ref: Ref,
        body: Any,
        *,
        subresource: str = "",
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        name = "" if method == "POST" else ref.name
        path = _kind(ref.api_version, ref.kind).path(ref.namespace, name, subresource)
        encoded = orjson.dumps(body)

        async def send() -> bytes:
            self._guard()
            return await self.link.request(
                method,
                path,
                query=query or {"fieldManager": labels.FIELD_MANAGER},
                body=encoded,
                content_type=content_type,
                seconds=min(connection.REQUEST_SECONDS, self._write_seconds_left()),
                guard=self._guard,
            )

        try:
            answer = await self._persistently(send, repeatable=verb == "apply")
        except errors.ClusterError as exc:
            self._meter.failed(exc.reason)
            if isinstance(exc, errors.Invalid) and any(sentence in str(exc) for sentence in OTHER_UID):
                raise errors.Conflict(str(exc), status=exc.status, reason=exc.reason) from exc
            raise
        self._meter.wrote(verb, ref.kind)
        decoded: Manifest = orjson.loads(answer)
        return decoded

    def _guard(self) -> None:
        if self._write_seconds_left() <= 0:
            raise errors.NotLeader("the lease is not held by this process, so nothing was written")

    async def _persistently(self, send: Callable[[], Awaitable[bytes]], *, repeatable: bool) -> bytes:
        """Repeats what was certainly not done (429), and once what may be done twice."""
        throttles = 0
        while True:
            try:
                return await send()
            except errors.Throttled as exc:
                throttles += 1
                if throttles > MOST_THROTTLES or exc.retry_after_seconds > LONGEST_THROTTLE_SECONDS:
                    raise
                await asyncio.sleep(exc.retry_after_seconds)
            except errors.Unavailable as exc:
                if not repeatable or exc.status:
                    raise
                repeatable = False


def _kind(api_version: str, kind: str) -> kinds.Kind:
    return kinds.BY_NAME[api_version, kind]
