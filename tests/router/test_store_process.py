"""What a store promises of a router: money and reviews outlive the process, however it ends; nobody shares a file."""

import hashlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from router import wire
from router.engines import engine, says
from router.routerprocess import RouterProcess
from router.running import Running, body, config, running, started, until
from testbed.eventually import eventually_async
from testbed.redisserver import MissingError, RedisServer

FILE = {"file": {"persistentVolumeClaim": "books"}}
BUDGET = {"each": {"tokensPerDay": 20}}
"""Of two answers: each has 7 tokens of prompt and 3 of completion."""
ENDS = [signal.SIGTERM, signal.SIGKILL]
REVIEWER, CLIENT = "authorization: Bearer judge", "authorization: Bearer sesame"
REVIEW: dict[str, Any] = {
    "auth": {"keysSecret": "clients"},
    "review": {"enabled": True, "reviewers": ["judge"]},
    "escalation": {"enabled": False},
    "store": FILE,
}


def keys(folder: Path) -> None:
    """A client called blue and a reviewer called judge."""
    (folder / "keys").mkdir()
    for tenant, key in (("blue", "sesame"), ("judge", "judge")):
        (folder / "keys" / tenant).write_text(hashlib.sha256(key.encode()).hexdigest())


def written(folder: Path) -> int:
    """Tokens of which the journal has the spend."""
    lines = (folder / "router.journal").read_bytes().splitlines()
    records = [record for line in lines for record in json.loads(line[9:])]
    return sum(spend[3] for kind, *rest in records if kind == "spend" for spend in rest[3])


@pytest.mark.parametrize("end", ENDS)
async def test_what_a_tenant_has_spent_outlives_the_router(tmp_path: Path, end: signal.Signals):
    async with (
        engine(says("Hello")) as small,
        RouterProcess(tmp_path, config([small], tenants=BUDGET, store=FILE)) as router,
    ):
        await router.ready()
        assert [(await router.ask()).status for _ in range(3)] == [200, 200, 429]
        if end is signal.SIGKILL:
            # What was written is kept; a second's spend may be lost.
            await until(lambda: written(tmp_path) == 20)
        await router.stop(end)
        router.start()
        refused = await (await router.ready()).ask()
        assert refused.status == 429
        sentence = orjson.loads(refused.body)["error"]["message"]
        assert sentence == "the budget of 24 hours is used up: 20 of 20 tokens"
        assert int(refused.headers["retry-after"]) > 23 * 3600


@pytest.mark.parametrize("end", ENDS)
async def test_what_waits_for_a_person_outlives_the_router(tmp_path: Path, end: signal.Signals):
    keys(tmp_path)
    async with engine(says("")) as small:
        said = config([small], **REVIEW)
        async with (
            RouterProcess(tmp_path, said, "--drain-seconds", "0") as router,
            wire.connected((await router.ready()).port) as client,
        ):
            client.send(wire.post(body(), CLIENT))
            listed: list[dict[str, Any]] = []
            while not listed:
                listed = orjson.loads((await router.get("/v1/review", REVIEWER)).body)["data"]
            await router.stop(end)
            assert await client.closed() == b""
            router.start()
            await router.ready()
            assert orjson.loads((await router.get("/v1/review", REVIEWER)).body)["data"] == listed
            decided = wire.post(b'{"action":"edit","text":"Hello"}', REVIEWER, path=f"/v1/review/{listed[0]['id']}")
            assert orjson.loads((await router.send(decided)).body)["state"] == "Edited"
            assert orjson.loads((await router.get("/v1/review", REVIEWER)).body)["data"] == []


async def waiting(router: Running) -> list[dict[str, Any]]:
    """The reviews that wait."""
    async with wire.connected(router.router.port) as client:
        client.send(f"GET /v1/review HTTP/1.1\r\nhost: router\r\n{REVIEWER}\r\n\r\n".encode())
        found: list[dict[str, Any]] = orjson.loads((await client.answer()).body)["data"]
        return found


async def nobody_waits(router: Running) -> bool:
    return not await waiting(router)


async def test_a_client_that_leaves_takes_its_review_along(tmp_path: Path):
    keys(tmp_path)
    async with (
        engine(says("")) as small,
        running(tmp_path, config([small], **REVIEW)) as router,
        wire.connected(router.router.port) as client,
    ):
        client.send(wire.post(body(), CLIENT))
        await eventually_async(lambda: waiting(router))
        await client.leave()
        assert await eventually_async(lambda: nobody_waits(router))


async def test_a_second_router_waits_for_the_file_and_says_so(tmp_path: Path):
    async with engine(says("Hello")) as small:
        said = config([small], tenants=BUDGET, store=FILE)
        async with RouterProcess(tmp_path, said) as first, RouterProcess(tmp_path, said) as second:
            await second.stop(signal.SIGKILL)
            await first.ready()
            second.start()
            why = await eventually_async(second.readiness)
            assert why == (
                f"no configuration is in force: store: {tmp_path}/router.journal is in use by another router:"
                " give each router a volume of its own\n"
            )
            assert (await first.ask()).status == 200
            await first.stop(signal.SIGTERM)
            await second.ready()
            assert [(await second.ask()).status for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        (
            {"tenants": BUDGET},
            "policy: a tenant's budget needs store.redis or store.file: what was spent outlives a router",
        ),
        (
            {"auth": {"keysSecret": "k"}, "review": {"enabled": True, "reviewers": ["judge"]}},
            "policy: review.enabled needs store.redis or store.file: what waits for a person outlives a router",
        ),
    ],
)
async def test_what_needs_a_store_is_refused_without_one(tmp_path: Path, policy: dict[str, Any], sentence: str):
    async with started(tmp_path, config(**policy)) as router:
        assert orjson.loads((await router.admin("/config")).body)["error"] == sentence
        assert await router.admin("/readyz") == (
            503,
            {**(await router.admin("/readyz")).headers},
            f"no configuration is in force: {sentence}\n".encode(),
        )


async def test_a_folder_that_is_not_there_is_refused_until_it_is(tmp_path: Path):
    folder = tmp_path / "volume"
    async with (
        engine(says("Hello")) as small,
        started(tmp_path, config([small], tenants=BUDGET, store=FILE), store_folder=folder) as router,
    ):
        assert orjson.loads((await router.admin("/config")).body)["error"] == (
            f"store.file: {folder}/router.journal cannot be used (No such file or directory): mount the volume there,"
            " or name another folder with --store-folder"
        )
        folder.mkdir()
        await router.router.listening.wait()
        assert (await router.ask()).status == 200


async def test_a_budget_in_money_without_prices_is_refused(tmp_path: Path):
    said = config(tenants={"each": {"usdPerDay": 1}}, store=FILE)
    del said["small"]["price"]
    async with started(tmp_path, said) as router:
        assert orjson.loads((await router.admin("/config")).body)["error"] == (
            "tenants' usdPerDay needs prices: post what a million tokens of the small tier cost"
        )


async def test_nothing_is_written_where_no_tenant_has_a_budget(tmp_path: Path):
    async with engine(says("Hello")) as small, running(tmp_path, config([small], store=FILE)) as router:
        assert (await router.ask()).status == 200
    assert (tmp_path / "router.journal").read_bytes() == b""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    folder = tmp_path / "redis"
    folder.mkdir()
    try:
        server = RedisServer(folder, password="open sesame")
    except MissingError as exc:
        pytest.skip(str(exc))
    yield server
    server.stop()


def on_a_server(server: RedisServer, **changes: Any) -> dict[str, Any]:
    secret = {"name": "password", "key": "redis"}
    return {"redis": {"address": f"127.0.0.1:{server.port}", "passwordSecret": secret, **changes}}


async def test_a_router_is_not_ready_before_its_store_has_said_what_was_spent(tmp_path: Path, redis: RedisServer):
    (tmp_path / "password").mkdir()
    (tmp_path / "password" / "password").write_text("open sesame\n")
    async with engine(says("Hello")) as small:
        said = config([small], tenants=BUDGET, store=on_a_server(redis))
        async with running(tmp_path, said) as router:
            unready = await router.admin("/readyz")
            assert unready.body == b"what tenants have spent is not known yet: the store has not answered\n"
            assert (await router.ask()).status == 429
            redis.start()
            await router.ready()
            assert (await router.ask()).status == 200
        async with running(tmp_path, said) as router:
            await router.ready()
            assert [(await router.ask()).status for _ in range(2)] == [200, 429]


async def test_a_store_that_is_named_later_is_used_from_then_on(tmp_path: Path, redis: RedisServer):
    (tmp_path / "password").write_text("open sesame")
    redis.start()
    async with engine(says("Hello")) as small, running(tmp_path, config([small], tenants=BUDGET, store=FILE)) as router:
        assert [(await router.ask()).status for _ in range(3)] == [200, 200, 429]
        router.reconfigure(config([small], tenants=BUDGET, store=on_a_server(redis)))
        # The server knows of no spend but what had not reached the file.
        while (await router.ask()).status != 200:
            pass
