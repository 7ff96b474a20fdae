"""Keeps the cache equal to the API server: for each kind a paged list, then a watch from where the list ended.

Stands between `connection` and `cache`. A watch that ends is resumed from the last resourceVersion it told
(bookmarks keep that fresh on silent kinds); one that is too old (410) or fails is listed again, after a backoff
with jitter, and what a complete list no longer has is removed: an object that was deleted while nobody watched
leaves the cache like any other. A source counts as unreadable only when it has been refused for a while; what was known
of it stays known. Only our labels are asked for, so other people's objects cost nothing.
"""

import asyncio
import contextlib
import logging
import random
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import orjson

from heterofleet.api import labels
from heterofleet.api.labels import Manifest
from heterofleet.cluster import errors, kinds
from heterofleet.cluster.cache import Cache
from heterofleet.cluster.objects import Ref

_log = logging.getLogger(__name__)

PAGE_SIZE: Final = 100
MOST_PAGES: Final = 2
"""Pages that are read and decoded at a time: all kinds are listed at once, and a page is 4 MB when decoded."""
WATCH_SECONDS: Final = 290
"""The server ends a watch after this; its own default is a random 5 to 10 minutes."""
SILENCE_SECONDS: Final = 75.0
"""Bookmarks come about once a minute, so a longer silence is a dead connection."""
FIRST_BACKOFF_SECONDS: Final = 0.2
LONGEST_BACKOFF_SECONDS: Final = 20.0
LONGEST_ABSENCE_SECONDS: Final = 3.0
"""The operator's pause between two tries of a server that is away: 5 s after its return statuses say what is. Routers,
of which there are many, wait longer."""
REFUSAL_SECONDS: Final = 5.0
"""A server that has just started refuses everybody for a moment, until it has read its roles, and no right is missing.
A process that does lack one is ready later by as much."""
DISCOVERY_SECONDS: Final = 60.0


class Link(Protocol):
    """The part of `connection.Connection` that a reflector needs."""

    async def request(self, method: str, path: str, *, query: Mapping[str, str] | None = None) -> bytes: ...

    def stream(self, path: str, query: Mapping[str, str], silence_seconds: float) -> AsyncGenerator[bytes, None]: ...


class Memory(Protocol):
    """What a reflector fills: the operator's `Cache`, or a router's view of its own fleet."""

    def expect(self, source: str) -> None: ...

    def mark_synced(self, source: str) -> None: ...

    def mark_unreadable(self, source: str, kind: kinds.Kind) -> None: ...

    def put(self, manifest: Manifest) -> object: ...

    def remove(self, ref: Ref, uid: str, resource_version: int) -> object: ...

    def retain(self, kind: kinds.Kind, namespace: str, seen: Collection[Ref], resource_version: int) -> None: ...


class Source(NamedTuple):
    """One thing to watch: a kind, in one namespace or in all, limited by a label selector or to one name."""

    kind: kinds.Kind
    namespace: str = ""
    selector: str = ""
    name: str = ""

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.kind.plural}.{self.kind.api_version}{where}"


def sources(namespaces: Sequence[str], served: frozenset[tuple[str, str]]) -> tuple[Source, ...]:
    """Gives all that the operator watches, in the order in which decisions need it.

    `namespaces` empty means all; of the optional kinds those in `served` are watched, in their first version.
    """
    found: list[Source] = []
    optional: set[str] = set()
    for kind in (kinds.FLEET, *kinds.CHILDREN, kinds.POD, kinds.NODE):
        if kind.optional and (kind[:2] not in served or kind.kind in optional):
            continue
        if kind.optional:
            optional.add(kind.kind)
        selector = "" if kind in (kinds.FLEET, kinds.NODE) else labels.FLEET
        scopes = namespaces if kind.namespaced and namespaces else ("",)
        found.extend(Source(kind, namespace, selector) for namespace in scopes)
    return tuple(found)


class Reflector:
    """Reflects one source into the cache for as long as `run` runs."""

    def __init__(
        self,
        source: Source,
        link: Link,
        cache: Memory,
        *,
        pages: asyncio.Semaphore,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        absence: float = LONGEST_BACKOFF_SECONDS,
    ) -> None:
        self.source = source
        self.heard = clock()
        self._link = link
        self._cache = cache
        self._pages = pages
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._backoff = FIRST_BACKOFF_SECONDS
        self._absence = absence
        self._refused_since: float | None = None
        cache.expect(str(source))

    async def run(self) -> None:
        """Lists and watches until cancelled; errors are logged and waited out."""
        while True:
            try:
                resource_version = await self._list()
                while True:
                    resource_version = await self._watch(resource_version)
            except errors.Gone:
                _log.info("The history of %s is gone; listing again", self.source)
            except (errors.Forbidden, errors.NotFound) as exc:
                _log.warning("Cannot read %s: %s", self.source, exc)
                self._note_refusal()
            except errors.ClusterError as exc:
                _log.warning("Watching %s failed: %s", self.source, exc)
                self._refused_since = None
                self._backoff = min(self._backoff, self._absence)
            await self._sleep(self._backoff * (0.5 + self._jitter()))
            self._backoff = min(self._backoff * 2, LONGEST_BACKOFF_SECONDS)

    async def _list(self) -> str:
        query = {"limit": str(PAGE_SIZE), **self._selection()}
        path = self.source.kind.path(self.source.namespace)
        seen: set[Ref] = set()
        while True:
            async with self._pages:
                answer = orjson.loads(await self._link.request("GET", path, query=query))
                for item in answer["items"]:
                    item["apiVersion"], item["kind"] = self.source.kind[:2]
                    seen.add(Ref.of(item))
                    self._put(item)
                metadata = answer["metadata"]
                del answer
            if not metadata.get("continue"):
                break
            query["continue"] = metadata["continue"]
        resource_version: str = metadata["resourceVersion"]
        self._cache.retain(self.source.kind, self.source.namespace, seen, int(resource_version))
        self._cache.mark_synced(str(self.source))
        self._hear()
        return resource_version

    async def _watch(self, resource_version: str) -> str:
        """Follows one watch to its end and gives the resourceVersion to go on from."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(WATCH_SECONDS),
            **self._selection(),
        }
        path = self.source.kind.path(self.source.namespace)
        started = self._clock()
        async with contextlib.aclosing(self._link.stream(path, query, SILENCE_SECONDS)) as lines:
            async for line in lines:
                resource_version = self._take(orjson.loads(line))
                self._hear()
        if self._clock() - started < 1:
            # A server that ends every watch at once would otherwise be asked in a tight loop.
            await self._sleep(self._jitter())
        return resource_version

    def _take(self, event: Manifest) -> str:
        item = event["object"]
        if event["type"] == "ERROR":
            raise errors.from_answer(
                item.get("code") or 500, item.get("message") or "the watch failed", item.get("reason") or "", 1
            )
        resource_version: str = item["metadata"]["resourceVersion"]
        if event["type"] == "DELETED":
            self._cache.remove(Ref.of(item), item["metadata"]["uid"], int(resource_version))
        elif event["type"] != "BOOKMARK":
            self._put(item)
        return resource_version

    def _put(self, item: Manifest) -> None:
        """One object that cannot be read must not keep the others out; its fleet then lacks it, and says so."""
        try:
            self._cache.put(item)
        except (KeyError, TypeError, ValueError, AttributeError):
            _log.exception("Cannot read %s %s", self.source, item["metadata"].get("name"))

    def _note_refusal(self) -> None:
        now = self._clock()
        if self._refused_since is None:
            self._refused_since = now
            self._backoff = FIRST_BACKOFF_SECONDS  # It answers again: what was waited for may be there in a moment.
        if now - self._refused_since >= REFUSAL_SECONDS:
            self._cache.mark_unreadable(str(self.source), self.source.kind)

    def _hear(self) -> None:
        self.heard = self._clock()
        self._refused_since = None
        self._backoff = FIRST_BACKOFF_SECONDS

    def _selection(self) -> dict[str, str]:
        chosen = {"labelSelector": self.source.selector} if self.source.selector else {}
        return chosen | ({"fieldSelector": f"metadata.name={self.source.name}"} if self.source.name else {})


class Reflection:
    """All reflectors of the process: those that must be, and those of optional kinds as they come and go."""

    def __init__(
        self,
        link: Link,
        cache: Cache,
        *,
        namespaces: Sequence[str],
        served_kinds: Callable[[], Awaitable[frozenset[tuple[str, str]]]],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._link = link
        self._cache = cache
        self._namespaces = namespaces
        self._served_kinds = served_kinds
        self._clock = clock
        self._sleep = sleep
        self._running: dict[Source, tuple[Reflector, asyncio.Task[None]]] = {}
        self._pages = asyncio.Semaphore(MOST_PAGES)
        for source in sources(namespaces, frozenset()):
            cache.expect(str(source))

    def silence_seconds(self) -> float:
        """How long ago the source that was silent for longest was last heard."""
        now = self._clock()
        return max((now - reflector.heard for reflector, _ in self._running.values()), default=0.0)

    async def run(self) -> None:
        """Reflects until cancelled, looking once a minute for kinds that came or went."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    served = await self._served_kinds()
                except errors.ClusterError as exc:
                    _log.warning("Cannot ask which kinds are served: %s", exc)
                else:
                    self._follow(served, group)
                    self._cache.set_served(served)
                await self._sleep(DISCOVERY_SECONDS if self._running else FIRST_BACKOFF_SECONDS * 5)

    def _follow(self, served: frozenset[tuple[str, str]], group: asyncio.TaskGroup) -> None:
        wanted = sources(self._namespaces, served)
        for source in wanted:
            if source not in self._running:
                reflector = Reflector(
                    source,
                    self._link,
                    self._cache,
                    pages=self._pages,
                    clock=self._clock,
                    sleep=self._sleep,
                    absence=LONGEST_ABSENCE_SECONDS,
                )
                self._running[source] = (reflector, group.create_task(reflector.run(), name=str(source)))
        for source in set(self._running).difference(wanted):
            _, task = self._running.pop(source)
            task.cancel()
            self._cache.mark_synced(str(source))
            self._cache.retain(source.kind, source.namespace, (), sys.maxsize)
