"""How the cache is kept equal to a server that pages, ends watches, forgets history and fails."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from heterofleet.api import labels
from heterofleet.api.labels import FleetKey, Manifest
from heterofleet.cluster import errors, kinds, reflector
from heterofleet.cluster.cache import Cache, Listeners
from heterofleet.cluster.reflector import Reflection, Reflector, Source
from unit import virtual
from unit.cluster.builders import KEY, config_map, stored

CONFIG_MAPS = Source(kinds.BY_NAME["v1", "ConfigMap"], selector=labels.FLEET)
Answer = Mapping[str, Any] | errors.ClusterError


@dataclass
class Server:
    """Plays answers in their order: pages for lists, lists of events for watches; then says nothing for ever."""

    pages: list[Answer] = field(default_factory=list)
    watches: list[list[Answer]] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    async def request(self, method: str, path: str, *, query: Mapping[str, str] | None = None) -> bytes:
        self.paths.append(path)
        self.queries.append(dict(query or {}))
        answer = self.pages.pop(0) if self.pages else await asyncio.Event().wait()
        if isinstance(answer, errors.ClusterError):
            raise answer
        return orjson.dumps(answer)

    async def stream(self, path: str, query: Mapping[str, str], silence_seconds: float) -> AsyncGenerator[bytes, None]:
        self.queries.append(dict(query))
        if not self.watches:
            await asyncio.sleep(10_000)
        for event in self.watches.pop(0):
            if isinstance(event, errors.ClusterError):
                raise event
            yield orjson.dumps(event)
        await asyncio.sleep(2)  # An honest server's watch lasts.


def page(*items: Manifest, version: int = 10, more: str = "") -> Answer:
    return {"metadata": {"resourceVersion": str(version), "continue": more}, "items": [bare(i) for i in items]}


def bare(item: Manifest) -> Manifest:
    """Lists do not say apiVersion and kind on their items."""
    return {key: value for key, value in item.items() if key not in ("apiVersion", "kind")}


def event(change: str, item: Manifest) -> Answer:
    return {"type": change, "object": item}


def bookmark(version: int) -> Answer:
    return event("BOOKMARK", {"kind": "ConfigMap", "metadata": {"resourceVersion": str(version)}})


def names(cache: Cache) -> set[str]:
    return {ref.name for ref in cache.children(KEY)}


def reflect(
    server: Server, seconds: float = 60, each_second: Callable[[Cache], None] = lambda _: None, absence: float = 20
) -> Cache:
    """Runs a reflector of ConfigMaps against the server for a while, and looks at the cache meanwhile."""

    async def scenario() -> Cache:
        cache = Cache(Listeners(lambda _: None, lambda _: None, lambda: None, lambda: None))
        running = Reflector(
            CONFIG_MAPS,
            server,
            cache,
            pages=asyncio.Semaphore(1),
            clock=asyncio.get_running_loop().time,
            jitter=lambda: 0.5,
            absence=absence,
        )
        task = asyncio.create_task(running.run())
        for _ in range(int(seconds)):
            await asyncio.sleep(1)
            each_second(cache)
        task.cancel()
        return cache

    return virtual.run(scenario())


def test_pages_fill_the_cache_and_the_watch_goes_on_from_their_version() -> None:
    a, b, c = (stored(config_map(name), uid=name) for name in "abc")
    server = Server(
        pages=[page(a, more="next"), page(b, version=10)],
        watches=[[event("ADDED", stored(config_map("c"), uid="c", version=11)), bookmark(20)]],
    )
    assert names(reflect(server)) == {"a", "b", "c"}
    assert [query.get("continue", query.get("resourceVersion")) for query in server.queries] == [
        None,
        "next",
        "10",
        "20",
    ]
    assert all(query["labelSelector"] == labels.FLEET for query in server.queries)
    assert c["metadata"]["name"] == "c"


def test_deleted_objects_leave() -> None:
    a = stored(config_map("a"), version=1)
    gone = stored(config_map("a"), version=12)
    server = Server(pages=[page(a)], watches=[[event("DELETED", gone)]])
    assert names(reflect(server)) == set()


def test_a_forgotten_history_is_listed_again_and_what_vanished_leaves() -> None:
    a, b = (stored(config_map(name), uid=name, version=1) for name in "ab")
    expired = {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}}
    server = Server(pages=[page(a, b), page(b, version=50)], watches=[[expired]])
    assert names(reflect(server)) == {"b"}


def test_a_list_that_expired_between_pages_starts_anew() -> None:
    a, b = (stored(config_map(name), uid=name, version=1) for name in "ab")
    server = Server(pages=[page(a, more="next"), errors.Gone("expired", status=410), page(a, b)])
    cache = reflect(server)
    assert (names(cache), cache.synced) == ({"a", "b"}, True)
    assert "continue" not in server.queries[2]


def test_a_broken_watch_goes_on_and_nothing_is_lost() -> None:
    a = stored(config_map("a"), version=1)
    broken = errors.Unavailable("connection reset")
    server = Server(pages=[page(a), page(a, stored(config_map("b"), uid="b", version=11))], watches=[[broken]])
    assert names(reflect(server)) == {"a", "b"}


def test_failures_are_waited_out_longer_each_time() -> None:
    down = errors.Unavailable("down")
    server = Server(pages=[down] * 200)
    reflect(server, seconds=300)
    assert 15 <= len(server.queries) <= 25


def test_a_server_that_is_away_is_tried_as_often_as_its_return_must_be_seen() -> None:
    server = Server(pages=[errors.Unavailable("down")] * 200)
    reflect(server, seconds=300, absence=3)
    assert 95 <= len(server.queries) <= 105


def test_a_watch_that_ends_at_once_is_not_asked_in_a_tight_loop() -> None:
    class Hasty(Server):
        async def stream(
            self, path: str, query: Mapping[str, str], silence_seconds: float
        ) -> AsyncGenerator[bytes, None]:
            self.queries.append(dict(query))
            return
            yield b""

    server = Hasty(pages=[page()])
    reflect(server, seconds=60)
    assert len(server.queries) <= 125


def test_one_unreadable_object_does_not_keep_the_others_out() -> None:
    odd = stored(config_map("odd"), uid="odd")
    del odd["metadata"]["uid"]
    server = Server(pages=[page(odd, stored(config_map("a")))])
    cache = reflect(server)
    assert (names(cache), cache.synced) == ({"a"}, True)


def test_missing_rights_are_told_once_they_have_been_missing_for_a_while() -> None:
    server = Server(pages=[errors.Forbidden("no", status=403)] * 30)
    told: list[bool] = []
    cache = reflect(server, seconds=20, each_second=lambda cache: told.append(bool(cache.unreadable())))
    assert cache.unreadable() == {"ConfigMap"}
    assert told.index(True) >= reflector.REFUSAL_SECONDS - 1
    server = Server(pages=[*[errors.Forbidden("no", status=403)] * 30, page()])
    assert reflect(server, seconds=600).unreadable() == frozenset()


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_refuses_everybody_after_its_start_is_no_lack_of_rights(status: int) -> None:
    """It says so until it has read its roles, and may be gone again in between."""
    a = stored(config_map("a"), version=1)
    gone, refused = errors.Unavailable("connection refused"), errors.from_answer(status, "no", "", 1)
    server = Server(pages=[page(a), gone, refused, *[gone] * 5, refused, refused, page(a)], watches=[[gone]])
    seen: set[tuple[frozenset[str], frozenset[str]]] = set()
    reflect(server, each_second=lambda cache: seen.add((cache.unreadable(), frozenset(names(cache)))))
    assert seen == {(frozenset(), frozenset({"a"}))}
    assert server.pages == []


def test_all_namespaces_or_the_listed_ones() -> None:
    everywhere = reflector.sources((), frozenset())
    assert {source.namespace for source in everywhere} == {""}
    listed = reflector.sources(("a", "b"), frozenset())
    assert {source.namespace for source in listed if source.kind.namespaced} == {"a", "b"}
    assert [source.namespace for source in listed if source.kind == kinds.NODE] == [""]


def test_only_fleets_and_nodes_are_read_without_our_label() -> None:
    unlimited = {source.kind.kind for source in reflector.sources((), frozenset()) if not source.selector}
    assert unlimited == {labels.FLEET_KIND, "Node"}


def test_of_several_versions_of_an_optional_kind_the_first_is_watched() -> None:
    served = frozenset((version, "PodGroup") for version in kinds.POD_GROUP_VERSIONS[1:])
    watched = [source.kind for source in reflector.sources((), served) if source.kind.optional]
    assert [kind.api_version for kind in watched] == [kinds.POD_GROUP_VERSIONS[1]]


def test_an_optional_kind_is_followed_when_it_comes_and_forgotten_when_it_goes() -> None:
    monitor = ("monitoring.coreos.com/v1", "PodMonitor")
    item = {"apiVersion": monitor[0], "kind": monitor[1], "metadata": config_map("m")["metadata"]}

    class Everything(Server):
        async def request(self, method: str, path: str, *, query: Mapping[str, str] | None = None) -> bytes:
            return orjson.dumps(page(stored(item)) if "podmonitors" in path else page())

    async def scenario() -> list[tuple[set[str], bool]]:
        told: list[FleetKey] = []
        cache = Cache(Listeners(told.append, lambda _: None, lambda: None, lambda: None))
        served: set[tuple[str, str]] = set()

        async def served_kinds() -> frozenset[tuple[str, str]]:
            return frozenset(served)

        reflection = Reflection(
            Everything(), cache, namespaces=(), served_kinds=served_kinds, clock=asyncio.get_running_loop().time
        )
        task = asyncio.create_task(reflection.run())
        seen = []
        for change in (None, served.add, served.discard):
            if change:
                change(monitor)
            await asyncio.sleep(61)
            seen.append((names(cache), cache.served(*monitor)))
        assert cache.synced
        task.cancel()
        return seen

    assert virtual.run(scenario()) == [(set(), False), ({"m"}, True), (set(), False)]
