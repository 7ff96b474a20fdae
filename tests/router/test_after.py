"""What a router does with requests beside answering them: comparisons of the tiers, and copies for one being tried."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from router import engines, wire
from router.engines import Received, Script, engine, says
from router.running import Running, asked, body, config, running, until
from router.test_keys import bearer, hashed, mount

OSLO, LIMA = "The capital is Oslo", "It must be Lima"
ALL: dict[str, Any] = {"consistency": {"share": 1}}
BLOCKING: dict[str, Any] = {"consistency": {"share": 1, "blocking": True}}


def said(answer: bytes) -> str:
    text: str = orjson.loads(answer)["choices"][0]["message"]["content"]
    return text


async def compared(router: Running, name: str = "comparisons_total") -> dict[tuple[str, ...], float]:
    """What comparisons, or copies, came to, once one has."""
    while not (found := await router.metrics(name)):
        pass
    return found


def gated(gate: asyncio.Event, text: str) -> Script:
    """An engine that answers when the gate opens."""

    async def script(received: Received, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await says(text)(received, writer)

    return script


@pytest.mark.parametrize(
    ("large", "finding"),
    [(says("the capital is oslo."), "same"), (says(LIMA), "different"), (says(""), "failed"),
     (engines.writes(engines.whole(500, b"{}")), "failed"), (engines.writes(close=True), "failed")],
)  # fmt: skip
async def test_the_share_of_the_small_tiers_answers_is_compared_with_the_large_ones(
    tmp_path: Path, large: Script, finding: str
):
    async with (
        engine(says(OSLO)) as small,
        engine(large) as other,
        running(tmp_path, config([small], [other], **ALL)) as router,
    ):
        answer = await router.ask("act", "x-request-id: one", temperature=0.25)
        assert (said(answer.body), answer.headers["x-heterofleet-tier"]) == (OSLO, "small")
        assert await compared(router) == {(finding,): 1}
        copy = asked(other)[0]
        assert (copy.headers["x-request-id"], copy.body) == ("one-copy", asked(small)[0].body)


async def test_copies_are_nobodys_demand_and_nobodys_money(tmp_path: Path):
    async with (
        engine(says(OSLO)) as small,
        engine(says(LIMA)) as large,
        running(tmp_path, config([small], [large], **ALL)) as router,
    ):
        await router.ask()
        await compared(router)
        assert await router.metrics("offered_total") == {("act",): 1}
        assert await router.metrics("requests_total") == {("act", "ok", "small"): 1}
        assert await router.metrics("prompt_tokens_total") == {("act", "small"): 7}
        assert await router.metrics("in_flight_requests") == {(small.key, "small"): 0, (large.key, "large"): 0}


async def test_a_client_never_waits_for_a_comparison(tmp_path: Path):
    gate = asyncio.Event()
    async with (
        engine(says(OSLO)) as small,
        engine(gated(gate, OSLO)) as large,
        running(tmp_path, config([small], [large], **ALL)) as router,
    ):
        assert said((await router.ask()).body) == OSLO
        await until(lambda: len(asked(large)) == 1)
        assert await router.metrics("comparisons_total") == {}
        gate.set()
        assert await compared(router) == {("same",): 1}


async def test_comparisons_take_only_room_that_the_large_tier_does_not_need(tmp_path: Path):
    gate = asyncio.Event()
    async with engine(says(OSLO)) as small, engine(gated(gate, OSLO)) as large:
        limited = config([small], [large], **ALL)
        limited["large"]["maxInFlight"] = 2
        async with running(tmp_path, limited) as router, wire.connected(router.router.port) as client:
            client.send(wire.post(body("plan")))
            await until(lambda: len(asked(large)) == 1)
            # The half of its places is taken by its own request.
            assert said((await router.ask()).body) == OSLO
            assert await compared(router) == {("dropped",): 1}
            gate.set()
            await client.answer()
            assert len(asked(large)) == 1


async def test_comparisons_are_dropped_beyond_a_number_at_once(tmp_path: Path):
    gate = asyncio.Event()
    async with (
        engine(says(OSLO)) as small,
        engine(gated(gate, OSLO)) as large,
        running(tmp_path, config([small], [large], **ALL)) as router,
    ):
        for _ in range(20):
            await router.ask()
        assert await router.metrics("comparisons_total") == {("dropped",): 4}
        gate.set()
        while (await router.metrics("comparisons_total")) != {("dropped",): 4, ("same",): 16}:
            pass


@pytest.mark.parametrize("model", ["plan", "chat-large"])
async def test_what_the_large_tier_answered_is_compared_with_nothing(tmp_path: Path, model: str):
    async with (
        engine(says(OSLO)) as small,
        engine(says(OSLO)) as large,
        running(tmp_path, config([small], [large], **ALL)) as router,
    ):
        assert (await router.ask(model)).status == 200
        assert await router.metrics("comparisons_total") == {}
        assert len(asked(large)) == 1


@pytest.mark.parametrize(
    ("large", "given", "tier"), [(OSLO, OSLO, "small"), (LIMA, LIMA, "large"), ("", OSLO, "small")]
)
async def test_a_blocking_comparison_gives_the_large_tiers_answer_where_the_two_differ(
    tmp_path: Path, large: str, given: str, tier: str
):
    async with (
        engine(says(OSLO)) as small,
        engine(says(large)) as other,
        running(tmp_path, config([small], [other], **BLOCKING)) as router,
    ):
        answer = await router.ask()
        assert (said(answer.body), answer.headers["x-heterofleet-tier"]) == (given, tier)
        finding = {OSLO: "same", LIMA: "different", "": "failed"}[large]
        assert await router.metrics("comparisons_total") == {(finding,): 1}
        assert await router.metrics("requests_total") == {("act", "ok", tier): 1}
        tokens = {("act", "small"): 7.0, **({("act", "large"): 7.0} if tier == "large" else {})}
        assert {(c, t): v for (c, t), v in (await router.metrics("prompt_tokens_total")).items()} == tokens


async def test_a_blocking_comparison_leaves_alone_who_named_the_small_tier(tmp_path: Path):
    async with (
        engine(says(OSLO)) as small,
        engine(says(LIMA)) as large,
        running(tmp_path, config([small], [large], **BLOCKING)) as router,
    ):
        assert said((await router.ask("chat-small")).body) == OSLO
        assert asked(large) == []


async def test_answers_that_differ_are_held_for_a_person_where_policy_says_so(tmp_path: Path):
    mount(tmp_path / "keys", blue=hashed("sesame"), judge=hashed("judge"))
    policy: dict[str, Any] = {
        "consistency": {"share": 1, "blocking": True, "review": True},
        "auth": {"keysSecret": "clients"},
        "review": {"enabled": True, "reviewers": ["judge"]},
        "store": {"file": {"persistentVolumeClaim": "books"}},
    }
    async with (
        engine(says(OSLO)) as small,
        engine(says(LIMA)) as large,
        running(tmp_path, config([small], [large], **policy)) as router,
        wire.connected(router.router.port) as client,
    ):
        client.send(wire.post(body(), bearer("sesame")))
        reviews: list[dict[str, Any]] = []
        while not reviews:
            listing = f"GET /v1/review HTTP/1.1\r\nhost: router\r\n{bearer('judge')}\r\n\r\n"
            reviews = orjson.loads((await router.send(listing.encode())).body)["data"]
        assert (reviews[0]["reason"], reviews[0]["attempts"]) == ("different", 2)
        accept = wire.post(b'{"action":"accept","attempt":0}', bearer("judge"), path=f"/v1/review/{reviews[0]['id']}")
        shown = orjson.loads((await router.send(accept)).body)
        assert [(attempt["tier"], attempt["text"]) for attempt in shown["attempts"]] == [
            ("small", OSLO),
            ("large", LIMA),
        ]
        answer = await client.answer()
        assert (said(answer.body), answer.headers["x-heterofleet-review"]) == (OSLO, "Accepted")


@pytest.mark.parametrize(
    ("text", "outcome", "stream"),
    [
        (OSLO, "good", False),
        (OSLO, "good", True),
        ("", "empty", False),
        ("", "empty", True),
        ("I'm sorry, but I can't help with that.", "refusal", False),
    ],
)
async def test_a_tier_being_tried_gets_copies_whose_answers_are_measured_and_thrown_away(
    tmp_path: Path, text: str, outcome: str, stream: bool
):
    async with (
        engine(says(text)) as small,
        engine(says(LIMA)) as large,
        running(tmp_path, config([small], [large], shadow={"share": 1, "tier": "small"})) as router,
    ):
        answer = await router.ask("plan", stream=stream)
        assert answer.headers["x-heterofleet-tier"] == "large"
        assert await compared(router, "shadows_total") == {(outcome, "small"): 1}
        assert await router.metrics("shadow_seconds_count") == {("small",): 1}
        assert await router.metrics("requests_total") == {("plan", "ok", "large"): 1}
        # What the tried tier answers itself is not copied to it.
        await router.ask("chat-small")
        assert len(asked(small)) == 2


async def test_a_copy_that_nobody_answers_fails_and_its_engine_is_known_for_it(tmp_path: Path):
    broken = engines.writes(close=True)
    policy: dict[str, Any] = {
        "shadow": {"share": 1, "tier": "small"},
        "breaker": {"failures": 1, "probeIdleSeconds": 0},
    }
    async with (
        engine(broken) as small,
        engine(says(LIMA)) as large,
        running(tmp_path, config([small], [large], **policy)) as router,
    ):
        await router.ask("plan")
        assert await compared(router, "shadows_total") == {("failed", "small"): 1}
        assert await router.metrics("breaker_open") == {(small.key, "small"): 1, (large.key, "large"): 0}


async def test_a_router_that_leaves_gives_up_its_copies(tmp_path: Path):
    async with engine(says(OSLO)) as small, engine(engines.stalls()) as large:
        async with running(tmp_path, config([small], [large], **ALL)) as router:
            await router.ask()
            await until(lambda: len(asked(large)) == 1)
        await until(lambda: not large.open)
