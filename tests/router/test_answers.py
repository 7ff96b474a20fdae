"""Where a cached answer is looked for, and what a store that is away costs."""

import pytest

from heterofleet.api import store as wanted_store
from heterofleet.router.answers import AnswerCache
from heterofleet.router.cache import Answer, EmbeddedCache
from heterofleet.router.stores import Store, Unreachable
from heterofleet.router.stores.file import FileStore
from heterofleet.router.stores.memory import MemoryStore
from heterofleet.router.stores.opening import open_store
from heterofleet.router.stores.redis import RedisStore

NOW = 1_764_000_000.0


class Server(MemoryStore):
    """A store that routers share, and that may be away; counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.away, self.asked = False, 0

    @property
    def shared(self) -> bool:
        return True

    async def cache_get(self, key: bytes) -> bytes | None:
        self.asked += 1
        if self.away:
            raise Unreachable("away")
        return await super().cache_get(key)

    async def cache_put(self, key: bytes, value: bytes, *, ttl_seconds: float) -> None:
        self.asked += 1
        if self.away:
            raise Unreachable("away")
        await super().cache_put(key, value, ttl_seconds=ttl_seconds)


class Router:
    """One router's cache, and its clock."""

    def __init__(self, store: Store | None) -> None:
        self.now = NOW
        self.cache = AnswerCache(EmbeddedCache(10_000, 60), store, lambda: self.now)


async def test_what_one_router_keeps_another_gives():
    server = Server()
    one, other = Router(server), Router(server)
    await one.cache.put(b"k", b"answer")
    other.now += 10
    assert await other.cache.get(b"k") == Answer(b"answer", NOW)
    assert await other.cache.get(b"other") is None


async def test_an_answer_is_as_old_as_it_is_wherever_it_comes_from():
    server = Server()
    one, other = Router(server), Router(server)
    await one.cache.put(b"k", b"answer")
    other.now += 59
    assert await other.cache.get(b"k") == Answer(b"answer", NOW)
    other.now += 1
    assert await other.cache.get(b"k") is None
    assert other.cache.stale(b"k") == Answer(b"answer", NOW)
    assert Router(server).cache.stale(b"k") is None


async def test_an_answer_in_memory_is_not_asked_for():
    server = Server()
    router = Router(server)
    await router.cache.put(b"k", b"answer")
    await router.cache.get(b"k")
    assert server.asked == 1


async def test_a_store_that_is_away_is_a_miss_and_is_left_alone_for_a_second():
    server = Server()
    router = Router(server)
    server.away = True
    for _ in range(5):
        assert await router.cache.get(b"k") is None
        await router.cache.put(b"j", b"answer")
    assert server.asked == 2, "one look, one put"
    assert await router.cache.get(b"j") == Answer(b"answer", NOW)
    server.away = False
    router.now += 1
    await router.cache.put(b"k", b"answer")
    assert await Router(server).cache.get(b"k") == Answer(b"answer", NOW + 1)


async def test_a_look_that_failed_does_not_keep_answers_from_the_store():
    """A put has a second and makes the connection; looks of 50 ms alone might never make it."""
    server = Server()
    router = Router(server)
    server.away = True
    assert await router.cache.get(b"k") is None
    server.away = False
    await router.cache.put(b"k", b"answer")
    assert await Router(server).cache.get(b"k") == Answer(b"answer", NOW)


async def test_a_store_of_this_router_alone_is_not_asked():
    store = MemoryStore()
    router = Router(store)
    await router.cache.put(b"k", b"answer")
    assert await store.cache_get(b"k") is None


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (wanted_store.Store(), MemoryStore),
        (wanted_store.Store(file=wanted_store.FileStore(persistent_volume_claim="claim")), FileStore),
        (wanted_store.Store(redis=wanted_store.RedisStore(address="[::1]:6379", tls=True)), RedisStore),
    ],
)
async def test_the_store_is_the_one_that_the_policy_names(wanted, expected, tmp_path):
    store = open_store(wanted, namespace="ai", fleet="chat", journal=tmp_path / "router.journal")
    assert type(store) is expected
    await store.close()
