"""Embeddings: answered by the engines that are named for them and by no tier, with the keys, rules and money of all."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from router import engines, operations
from router.engines import Engine, Script, engine, says, stalls, writes
from router.running import Running, asked, body, config, running
from router.site import sentence, site, status, turns
from router.wire import Answer, connected, post

PATH = "/v1/embeddings"
FAILING = status(500)


def named(*made: Engine, **more: Any) -> dict[str, Any]:
    return {"endpoints": [one.key for one in made], "model": "bge", **more}


async def embed(router: Running, *headers: str, model: str = "bge", **fields: Any) -> Answer:
    return await router.ask(model, *headers, path=PATH, **{"input": "Where is Oslo?", **fields})


async def test_embeddings_go_to_the_engines_that_are_named_for_them_as_they_came(tmp_path: Path):
    async with (
        engine(operations.engine) as made,
        engine(says("no")) as small,
        running(tmp_path, config([small], embeddings=named(made))) as router,
    ):
        answer = await embed(router, "authorization: Bearer key", "x-request-id: one", dimensions=2)
        assert json.loads(answer.body) == operations.EMBEDDINGS
        found = {name: value for name, value in answer.headers.items() if name.startswith("x-")}
        assert found == {
            "x-request-id": "one", "x-heterofleet-tier": "embed", "x-heterofleet-endpoint": made.key,
            "x-heterofleet-attempts": "1",
        }  # fmt: skip
        (received,) = made.received
        assert (received.path, received.fields["dimensions"]) == (PATH, 2)
        assert "authorization" not in received.headers
        assert asked(small) == []
        assert await router.metrics("requests_total") == {("none", "ok", "embed"): 1}
        assert await router.metrics("offered_total") == {}
        assert await router.metrics("prompt_tokens_total") == {("none", "embed"): 2}
        assert await router.metrics("endpoints") == {("serving", "embed"): 1, ("serving", "small"): 1}
        (line,) = await router.log(1)
        told = {name: line[name] for name in ("operation", "outcome", "tier", "endpoint", "promptTokens")}
        assert told == {
            "operation": "embeddings", "outcome": "ok", "tier": "embed", "endpoint": made.key, "promptTokens": 2,
        }  # fmt: skip


async def test_where_nobody_makes_embeddings_the_answer_says_what_to_configure(tmp_path: Path):
    async with engine(operations.engine) as small, running(tmp_path, config([small])) as router:
        answer = await embed(router, model="act")
        assert (answer.status, json.loads(answer.body)["error"]) == (
            404,
            {
                "message": "nobody makes embeddings here: run an engine that does, and name it in router.embeddings",
                "type": "not_found_error", "param": None, "code": "no_embeddings",
            },
        )  # fmt: skip
        assert asked(small) == []
        assert await router.metrics("requests_total") == {("none", "client_error", "none"): 1}


async def test_only_the_named_model_makes_them_and_only_they_are_its(tmp_path: Path):
    async with (
        engine(operations.engine) as made,
        engine(says("hello")) as small,
        running(tmp_path, config([small], embeddings=named(made))) as router,
    ):
        wrong, chat = await embed(router, model="act"), await router.ask("bge")
        assert (wrong.status, sentence(wrong)) == (404, "the model 'act' makes no embeddings here: ask for bge")
        assert (chat.status, sentence(chat)[:33]) == (404, "the model 'bge' does not exist he")
        listed = await router.send(b"GET /v1/models HTTP/1.1\r\nhost: r\r\n\r\n")
        assert [model["id"] for model in json.loads(listed.body)["data"]][-1] == "bge"
        one = await router.send(b"GET /v1/models/bge HTTP/1.1\r\nhost: r\r\n\r\n")
        assert one.status == 200


@pytest.mark.parametrize(
    "failure",
    [FAILING, status(429), writes(close=True), writes(engines.whole(200, b"<html>")), says("no", finish="stop")],
)
async def test_another_engine_is_asked_where_one_fails(tmp_path: Path, failure: Script):
    script = turns(failure, operations.engine)
    async with (
        engine(script) as one,
        engine(script) as other,
        running(tmp_path, config(embeddings=named(one, other))) as router,
    ):
        answer = await embed(router)
        assert (answer.status, answer.headers["x-heterofleet-attempts"]) == (200, "2")
        assert (len(one.received), len(other.received)) == (1, 1)
        assert sum((await router.metrics("retries_total")).values()) == 1


@pytest.mark.parametrize(
    ("failure", "code"), [(FAILING, 502), (status(503), 503), (engines.writes(engines.STREAM_HEAD + engines.LAST), 502)]
)
async def test_where_all_fail_the_status_says_how(tmp_path: Path, failure: Script, code: int):
    retry = {"attempts": 1, "backoffSeconds": 0}
    async with engine(failure) as made, running(tmp_path, config(embeddings=named(made), retry=retry)) as router:
        answer = await embed(router)
        assert (answer.status, answer.headers["x-heterofleet-attempts"]) == (code, "2")
        assert await router.metrics("requests_total") == {("none", "failed", "none"): 1}


async def test_an_engine_that_goes_on_failing_is_left_alone_and_clients_are_told_when_to_come_again(tmp_path: Path):
    policy: dict[str, Any] = {"retry": {"attempts": 0}, "breaker": {"failures": 2, "openSeconds": 40}}
    async with engine(FAILING) as made, running(tmp_path, config(embeddings=named(made), **policy)) as router:
        found = [await embed(router) for _ in range(3)]
        assert [answer.status for answer in found] == [502, 502, 503]
        assert found[2].headers["retry-after"] in ("39", "40")
        assert found[2].headers["x-heterofleet-attempts"] == "0"
        assert await router.metrics("breaker_open") == {(made.key, "embed"): 1}


async def test_what_an_engine_refuses_is_its_clients_to_read(tmp_path: Path):
    async with engine(status(400)) as made, running(tmp_path, config(embeddings=named(made))) as router:
        answer = await embed(router)
        assert (answer.status, sentence(answer), len(made.received)) == (400, "no", 1)
        assert await router.metrics("requests_total") == {("none", "client_error", "embed"): 1}


async def test_the_less_busy_of_two_engines_is_asked(tmp_path: Path):
    async with site(tmp_path, [stalls(), operations.engine]) as made:
        busy, idle = made.small
        await made.says(embeddings=named(busy))
        async with connected(made.router.port) as client:
            client.send(post(body("bge", input="Hi"), path=PATH))
            while not busy.received:
                await made.running.admin("/healthz")
            await made.says(embeddings=named(busy, idle))
            for _ in range(8):
                assert (await embed(made.running)).headers["x-heterofleet-endpoint"] == idle.key
            assert await made.counts("in_flight_requests") == {
                (busy.key, "embed"): 1, (idle.key, "embed"): 0, (busy.key, "small"): 0, (idle.key, "small"): 0,
            }  # fmt: skip


async def test_a_client_that_leaves_frees_its_engine(tmp_path: Path):
    async with site(tmp_path, [stalls()]) as made:
        (busy,) = made.small
        await made.says(embeddings=named(busy))
        async with connected(made.router.port) as client:
            client.send(post(body("bge", input="Hi"), path=PATH))
            while not busy.received:
                await made.running.admin("/healthz")
        while not busy.gone:
            await made.running.admin("/healthz")
        assert await made.counts() == {("none", "cancelled", "none"): 1}
        assert (await made.counts("in_flight_requests"))[busy.key, "embed"] == 0


async def test_keys_budgets_and_rules_hold_for_embeddings_too(tmp_path: Path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "blue").write_text(hashlib.sha256(b"sesame").hexdigest())
    policy: dict[str, Any] = {
        "auth": {"keysSecret": "keys"},
        "store": {"file": {"persistentVolumeClaim": "books"}},
        "tenants": {"each": {"usdPerDay": 0.001}},
        "compliance": {"rules": [{"name": "card", "pattern": r"\d{4}-\d{4}", "action": "Deny"}]},
    }
    async with engine(operations.engine) as made:
        said = config(embeddings=named(made, usdPerMillionTokens=1000), **policy)
        async with running(tmp_path, said) as router:
            await router.ready()
            key = "authorization: Bearer sesame"
            assert (await embed(router)).status == 401
            denied = await embed(router, key, input="1234-5678")
            assert (denied.status, sentence(denied)) == (403, "the prompt is denied by the compliance rule card")
            # Two tokens at 1,000 USD a million are more than the budget of a day.
            assert (await embed(router, key)).status == 200
            spent = await embed(router, key)
            assert (spent.status, sentence(spent)) == (
                429, "the budget of 24 hours is used up: 0.002 of 0.001 USD",
            )  # fmt: skip
            assert len(made.received) == 1
            assert await router.metrics("cost_usd_total") == {("none", "embed"): 0.002}
            assert await router.metrics("cost_all_large_usd_total") == {("none",): 0.002}
