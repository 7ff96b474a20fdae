"""What every store promises, on all three of them; and what a volume and a server survive."""

import asyncio
import multiprocessing
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import redis.asyncio

from heterofleet.router.budget import Spent
from heterofleet.router.stores import Batch, Held, InUse, Spend, Store, Totals, Unreachable
from heterofleet.router.stores.file import FileStore
from heterofleet.router.stores.journal import Damaged
from heterofleet.router.stores.memory import MemoryStore
from heterofleet.router.stores.redis import RedisStore
from testbed.eventually import eventually_async
from testbed.redisserver import MissingError, RedisServer

NOW = 1_764_000_000.0
BUCKET = 490_000
KINDS = ("memory", "file", "redis")


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[RedisServer]:
    try:
        with RedisServer(tmp_path_factory.mktemp("redis")) as running:
            yield running
    except MissingError:
        pytest.skip("redis-server is not there")


@pytest.fixture(params=KINDS)
async def store(request, tmp_path) -> AsyncIterator[Store]:
    opened: Store
    if request.param == "memory":
        opened = MemoryStore()
    elif request.param == "file":
        opened = FileStore.open(tmp_path / "router.journal")
    else:
        opened = connect(request.getfixturevalue("server"))
    yield opened
    await opened.close()


def connect(
    server: RedisServer, fleet: str | None = None, password_file: Path | None = None, timeout_seconds: float = 20
) -> RedisStore:
    """A store that is patient, since a machine that runs tests may be loaded."""
    return RedisStore(
        "127.0.0.1",
        server.port,
        namespace="ai",
        fleet=fleet or f"fleet-{secrets.token_hex(4)}",
        password_file=password_file,
        timeout_seconds=timeout_seconds,
        cache_timeout_seconds=timeout_seconds,
    )


def batch(number: int, *spends: Spend, router: str = "a", oldest: int = 0) -> Batch:
    return Batch(router, number, oldest, spends)


def spend(tenant: str, nano_usd: int, tokens: int, bucket: int = BUCKET) -> Spend:
    return Spend(tenant, bucket, Spent(nano_usd, tokens))


async def spent(store: Store, cursor: str = "") -> dict[str, dict[int, Spent]]:
    totals = await store.read_spend(cursor, router="reader", now=NOW)
    return {tenant: dict(buckets) for tenant, buckets in totals.spent.items()}


async def test_spend_of_all_routers_adds_up(store):
    await store.add_spend(batch(1, spend("blue", 5, 50), spend("blue", 1, 10, BUCKET + 1), spend("red", 2, 20)))
    await store.add_spend(batch(1, spend("blue", 3, 30), router="b"))
    assert await spent(store) == {
        "blue": {BUCKET: Spent(8, 80), BUCKET + 1: Spent(1, 10)},
        "red": {BUCKET: Spent(2, 20)},
    }


async def test_a_batch_that_is_sent_again_counts_once(store):
    await store.add_spend(batch(1, spend("blue", 5, 50)))
    await store.add_spend(batch(2, spend("blue", 1, 1)))
    await store.add_spend(batch(1, spend("blue", 5, 50)))
    await store.add_spend(batch(2, spend("blue", 1, 1)))
    assert await spent(store) == {"blue": {BUCKET: Spent(6, 51)}}


async def test_money_is_exact_beyond_what_a_float_holds(store):
    large = 2**53
    await store.add_spend(batch(1, spend("blue", large, 0)))
    await store.add_spend(batch(2, spend("blue", 1, 0)))
    assert await spent(store) == {"blue": {BUCKET: Spent(large + 1, 0)}}


async def test_a_cursor_brings_only_what_changed_since(store):
    await store.add_spend(batch(1, spend("blue", 5, 50), spend("red", 1, 1)))
    first = await store.read_spend("", router="reader", now=NOW)
    assert first.complete
    nothing = await store.read_spend(first.cursor, router="reader", now=NOW)
    assert nothing == Totals(first.cursor, False, 1, {})
    await store.add_spend(batch(2, spend("red", 1, 1)))
    second = await store.read_spend(first.cursor, router="reader", now=NOW)
    assert (second.complete, second.spent) == (False, {"red": {BUCKET: Spent(2, 2)}})


async def test_buckets_that_no_longer_count_are_dropped(store):
    await store.add_spend(batch(1, spend("blue", 5, 50), spend("blue", 1, 1, BUCKET + 1)))
    await store.add_spend(batch(2, spend("blue", 1, 1, BUCKET + 1), oldest=BUCKET + 1))
    assert await spent(store) == {"blue": {BUCKET + 1: Spent(2, 2)}}


async def test_routers_that_read_of_late_are_counted(store):
    async def routers(name: str, now: float) -> int:
        totals: Totals = await store.read_spend("", router=name, now=now)
        return totals.routers

    assert [await routers("a", NOW), await routers("b", NOW + 30), await routers("a", NOW + 31)] == [1, 2, 2]
    assert await routers("a", NOW + 91) == 1


async def test_a_cached_answer_is_found_by_its_key(store):
    await store.cache_put(b"\x00key", b"\xff answer", ttl_seconds=60)
    assert (await store.cache_get(b"\x00key"), await store.cache_get(b"other")) == (b"\xff answer", None)


def held(id: str, summary: bytes = b"summary") -> Held:
    return Held(id, summary, b"\xffdetail", None)


async def test_reviews_wait_in_the_order_of_their_deadlines(store):
    assert await store.review_put(held("late", b"late"), deadline=NOW + 20, most=10, now=NOW)
    assert await store.review_put(held("soon", b"soon"), deadline=NOW + 10, most=10, now=NOW)
    assert list(await store.review_list(NOW)) == [b"soon", b"late"]
    assert list(await store.review_list(NOW + 10)) == [b"late"]
    assert await store.review_get("soon") == held("soon", b"soon")
    assert await store.review_get("other") is None


async def test_no_more_reviews_wait_than_may(store):
    assert await store.review_put(held("one"), deadline=NOW + 10, most=2, now=NOW)
    assert await store.review_put(held("two"), deadline=NOW + 20, most=2, now=NOW)
    assert not await store.review_put(held("three"), deadline=NOW + 20, most=2, now=NOW)
    assert await store.review_put(held("two"), deadline=NOW + 20, most=2, now=NOW), "it has its place already"
    await store.review_settle("two", b"outcome")
    assert await store.review_put(held("three"), deadline=NOW + 20, most=2, now=NOW)
    assert await store.review_put(held("four"), deadline=NOW + 30, most=2, now=NOW + 10), "the first is past its time"
    assert await store.review_get("four") == held("four")


async def test_the_first_outcome_stands(store):
    await store.review_put(held("one"), deadline=NOW + 10, most=2, now=NOW)
    assert await store.review_settle("one", b"first") == b"first"
    assert await store.review_settle("one", b"second") == b"first"
    assert await store.review_settle("other", b"second") is None
    assert list(await store.review_list(NOW)) == []
    assert await store.review_get("one") == held("one")._replace(outcome=b"first")
    assert await store.review_outcomes(["one", "other"]) == {"one": b"first"}


async def test_of_many_who_answer_at_once_one_stands(store):
    await store.review_put(held("one"), deadline=NOW + 10, most=2, now=NOW)
    answers = await asyncio.gather(*(store.review_settle("one", b"%d" % n) for n in range(20)))
    assert len(set(answers)) == 1


async def test_a_review_that_is_removed_is_gone(store):
    await store.review_put(held("one"), deadline=NOW + 10, most=1, now=NOW)
    await store.review_remove("one")
    await store.review_remove("one")
    assert (await store.review_get("one"), list(await store.review_list(NOW))) == (None, [])
    assert await store.review_put(held("two"), deadline=NOW + 10, most=1, now=NOW)


async def test_a_volume_gives_back_what_was_acknowledged(tmp_path):
    path = tmp_path / "router.journal"
    store = FileStore.open(path)
    await store.add_spend(batch(1, spend("blue", 5, 50)))
    await store.review_put(held("one"), deadline=NOW + 10, most=9, now=NOW)
    await store.review_put(held("two"), deadline=NOW + 10, most=9, now=NOW)
    await store.review_put(held("three"), deadline=NOW + 10, most=9, now=NOW)
    await store.review_settle("one", b"\xffoutcome")
    await store.review_remove("two")
    await store.close()
    again = FileStore.open(path)
    await again.add_spend(batch(1, spend("blue", 5, 50)))
    assert await spent(again) == {"blue": {BUCKET: Spent(5, 50)}}
    assert await again.review_get("one") == held("one")._replace(outcome=b"\xffoutcome")
    assert (await again.review_get("two"), await again.review_get("three")) == (None, held("three"))
    await again.close()


async def test_a_torn_last_line_is_cut_off(tmp_path):
    path = tmp_path / "router.journal"
    store = FileStore.open(path)
    for number in range(1, 4):
        await store.add_spend(batch(number, spend("blue", 1, 1)))
    await store.close()
    whole = path.read_bytes()
    last_line = whole.rindex(b"\n", 0, -1) + 1
    for length in range(last_line, len(whole)):
        path.write_bytes(whole[:length])
        torn = FileStore.open(path)
        assert await spent(torn) == {"blue": {BUCKET: Spent(2, 2)}}
        await torn.add_spend(batch(3, spend("blue", 1, 1)))
        await torn.close()
        assert path.read_bytes() == whole


async def test_nothing_of_a_torn_line_is_left_behind_a_shorter_one(tmp_path):
    path = tmp_path / "router.journal"
    path.write_bytes(b"x" * 10_000)
    store = FileStore.open(path)
    await store.add_spend(batch(1, spend("blue", 1, 1)))
    await store.close()
    assert b"xx" not in path.read_bytes()
    again = FileStore.open(path)
    assert await spent(again) == {"blue": {BUCKET: Spent(1, 1)}}
    await again.close()


async def test_a_journal_that_is_damaged_before_its_end_is_refused(tmp_path):
    path = tmp_path / "router.journal"
    store = FileStore.open(path)
    await store.add_spend(batch(1, spend("blue", 1, 1)))
    await store.add_spend(batch(2, spend("blue", 1, 1)))
    await store.close()
    path.write_bytes(b"x" + path.read_bytes())
    with pytest.raises(Damaged, match="in line 1: restore it"):
        FileStore.open(path)


async def test_two_routers_never_share_a_volume(tmp_path):
    path = tmp_path / "router.journal"
    store = FileStore.open(path)
    with pytest.raises(InUse, match="give each router a volume of its own"):
        FileStore.open(path)
    await store.close()
    await FileStore.open(path).close()


async def test_a_closed_volume_takes_nothing_more(tmp_path):
    store = FileStore.open(tmp_path / "router.journal")
    await store.close()
    with pytest.raises(Unreachable, match="closed"):
        await store.add_spend(batch(1, spend("blue", 1, 1)))


async def test_compaction_bounds_the_journal_and_loses_nothing(tmp_path):
    path = tmp_path / "router.journal"
    store = FileStore.open(path, compact_bytes=4096)
    await store.review_put(held("one"), deadline=NOW + 10, most=9, now=NOW)
    await store.review_settle("one", b"outcome")
    largest = 0
    for number in range(1, 400):
        await store.add_spend(batch(number, spend("blue", 1, 1)))
        largest = max(largest, path.stat().st_size)
    await store.close()
    assert largest < 5000
    again = FileStore.open(path)
    await again.add_spend(batch(399, spend("blue", 1, 1)))
    assert await spent(again) == {"blue": {BUCKET: Spent(399, 399)}}
    assert await again.review_outcomes(["one"]) == {"one": b"outcome"}
    await again.close()


async def test_a_change_whose_caller_leaves_is_whole(tmp_path):
    path = tmp_path / "router.journal"
    store = FileStore.open(path)
    calls = [asyncio.create_task(store.add_spend(batch(number, spend("blue", 1, 1)))) for number in range(1, 20)]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await store.add_spend(batch(20, spend("blue", 1, 1)))
    known = await spent(store)
    await store.close()
    again = FileStore.open(path)
    assert await spent(again) == known
    await again.close()


def write_until_killed(path: Path, acknowledged: Connection) -> None:
    async def write() -> None:
        store = FileStore.open(path, compact_bytes=2048)
        for number in range(1, 1_000_000):
            await store.add_spend(batch(number, spend("blue", 1, 1)))
            acknowledged.send(number)

    asyncio.run(write())


@pytest.mark.parametrize("after", [1, 37, 150])
async def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path, after):
    path = tmp_path / "router.journal"
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    writer = context.Process(target=write_until_killed, args=(path, sender), daemon=True)
    writer.start()
    sender.close()
    last = 0
    while last < after:
        last = await asyncio.to_thread(receiver.recv)
    writer.kill()
    writer.join(30)
    try:
        while True:
            last = receiver.recv()
    except EOFError:
        receiver.close()
    store = FileStore.open(path)
    total = (await spent(store))["blue"][BUCKET].tokens
    await store.close()
    assert last <= total <= last + 1, "the one that was being written may be there"


async def test_two_routers_see_the_same(server):
    one, other = connect(server, "shared"), connect(server, "shared")
    await asyncio.gather(
        *(one.add_spend(batch(n, spend("blue", 1, 2))) for n in range(1, 30)),
        *(other.add_spend(batch(n, spend("blue", 1, 2), router="b")) for n in range(1, 30)),
    )
    assert await spent(one) == await spent(other)
    await other.cache_put(b"k", b"answer", ttl_seconds=60)
    assert await one.cache_get(b"k") == b"answer"
    await one.review_put(held("one"), deadline=NOW + 10, most=9, now=NOW)
    assert await other.review_settle("one", b"outcome") == b"outcome"
    assert await one.review_outcomes(["one"]) == {"one": b"outcome"}
    await one.close()
    await other.close()


async def test_fleets_do_not_see_each_other(server):
    one, other = connect(server, "one"), connect(server, "other")
    await one.add_spend(batch(1, spend("blue", 1, 2)))
    await one.cache_put(b"k", b"answer", ttl_seconds=60)
    assert (await spent(other), await other.cache_get(b"k")) == ({}, None)
    await one.close()
    await other.close()


async def test_everything_on_a_server_goes_by_itself_some_day(server):
    """But for a few numbers and names a fleet: no key of a tenant, router, answer or review is without an end."""
    store = connect(server, "ending")
    await store.add_spend(batch(1, spend("blue", 1, 2)))
    await store.read_spend("", router="a", now=NOW)
    await store.cache_put(b"k", b"answer", ttl_seconds=60)
    await store.review_put(held("one"), deadline=NOW + 10, most=9, now=NOW)
    await store.close()
    prefix = "heterofleet:ai:ending:"
    async with redis.asyncio.Redis(port=server.port, decode_responses=True) as raw:
        lives = {key.removeprefix(prefix): await raw.ttl(key) async for key in raw.scan_iter(f"{prefix}*")}
    endless = {name for name, ttl in lives.items() if ttl < 0}
    assert endless == {"epoch", "version", "changed", "routers", "reviews"}
    assert 0 < lives["answer:6b"] <= 60
    assert 0 < lives["review:one"] <= 3610
    assert 24 * 3600 < lives["spend:blue"] <= 26 * 3600


async def test_a_server_that_was_restarted_is_used_again(server):
    store = connect(server)
    await store.add_spend(batch(1, spend("blue", 5, 50)))
    first = await store.read_spend("", router="a", now=NOW)
    server.stop(signal.SIGKILL)
    with pytest.raises(Unreachable, match="the store does not answer"):
        await store.add_spend(batch(2, spend("blue", 1, 1)))
    server.start()
    await store.add_spend(batch(2, spend("blue", 1, 1)))
    second = await store.read_spend(first.cursor, router="a", now=NOW)
    assert (second.complete, second.spent) == (False, {"blue": {BUCKET: Spent(6, 51)}})
    await store.close()


async def test_a_server_that_lost_its_data_is_read_anew(server):
    store = connect(server)
    await store.add_spend(batch(1, spend("blue", 5, 50), spend("red", 5, 50)))
    first = await store.read_spend("", router="a", now=NOW)
    async with redis.asyncio.Redis(port=server.port) as raw:
        await raw.flushall()
    await store.add_spend(batch(2, spend("blue", 1, 1)))
    second = await store.read_spend(first.cursor, router="a", now=NOW)
    assert (second.complete, second.spent) == (True, {"blue": {BUCKET: Spent(1, 1)}})
    await store.close()


async def test_a_server_that_hangs_is_unreachable_and_later_answers_are_not_mixed_up(server):
    patient, hasty = connect(server, "hanging"), connect(server, "hanging", timeout_seconds=0.05)
    await patient.cache_put(b"one", b"1", ttl_seconds=600)
    await patient.cache_put(b"two", b"2", ttl_seconds=600)
    server.freeze()
    try:
        for name in (b"one", b"two"):
            with pytest.raises(Unreachable):
                await hasty.cache_get(name)
    finally:
        server.thaw()

    async def found() -> list[bytes | None]:
        try:
            return [await hasty.cache_get(name) for name in (b"two", b"one")]
        except Unreachable:
            return []

    assert await eventually_async(found) == [b"2", b"1"]
    await hasty.close()
    await patient.close()


async def test_a_password_may_be_changed_while_the_router_runs(tmp_path):
    secret = tmp_path / "password"
    secret.write_text("first\n")
    try:
        protected = RedisServer(tmp_path, password="first")
    except MissingError:
        pytest.skip("redis-server is not there")
    with protected:
        store = connect(protected, password_file=secret)
        await store.cache_put(b"k", b"answer", ttl_seconds=600)
        async with redis.asyncio.Redis(port=protected.port, password="first") as raw:
            await raw.config_set("requirepass", "second")
            await raw.client_kill_filter(_type="normal", skipme=True)
        secret.write_text("wrong")
        with pytest.raises(Unreachable, match="AuthenticationError"):
            await store.cache_get(b"k")
        secret.write_text("second")
        assert await store.cache_get(b"k") == b"answer"
        await store.close()
