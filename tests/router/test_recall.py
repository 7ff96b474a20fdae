"""Answers given again by a router: what may be, what is found by its meaning, and what is measured of it."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from heterofleet.router.embedding import Embedder
from router import engines
from router.engines import Engine, Received, Script, engine, says
from router.running import Running, asked, config, running, until
from router.site import speaks

VECTORS = {"Where is Oslo?": [1.0, 0.0], "In which country is Oslo?": [0.999, 0.04], "Where is Lima?": [0.0, 1.0]}


def embeds(received: Received, writer: asyncio.StreamWriter) -> None:
    vector = VECTORS[received.fields["input"]]
    writer.write(engines.whole(200, orjson.dumps({"data": [{"embedding": vector}]})))


async def embedding(received: Received, writer: asyncio.StreamWriter) -> None:
    """An embedding endpoint that knows three questions."""
    embeds(received, writer)


def said(answer: bytes) -> str:
    text: str = orjson.loads(answer)["choices"][0]["message"]["content"]
    return text


def semantic(endpoint: Engine, **more: Any) -> dict[str, Any]:
    return {"semantic": {"endpoint": f"http://{endpoint.key}/v1/embeddings", "verifyShare": 0, **more}}


async def plan(router: Running, text: str, *headers: str, **fields: Any) -> tuple[str, str | None]:
    """What is answered to a question for the large tier, and the cache that it came from."""
    answer = await router.ask("plan", *headers, messages=[{"role": "user", "content": text}], **fields)
    return said(answer.body), answer.headers.get("x-heterofleet-cache")


async def test_a_question_that_means_the_same_gets_the_answer_that_was_kept(tmp_path: Path):
    async with (
        engine(embedding) as meanings,
        engine(says("In Norway")) as large,
        running(tmp_path, config([], [large], cache=semantic(meanings))) as router,
    ):
        assert await plan(router, "Where is Oslo?") == ("In Norway", None)
        large.script = says("In Peru")
        assert await plan(router, "In which country is Oslo?") == ("In Norway", "semantic")
        assert await plan(router, "Where is Lima?") == ("In Peru", None)
        assert await router.metrics("cache_hits_total") == {("semantic", "plan"): 1}
        assert meanings.received[0].fields == {
            "model": "embedding", "input": "Where is Oslo?", "encoding_format": "float",
        }  # fmt: skip
        stream = await router.ask("plan", messages=[{"role": "user", "content": "Where is Oslo?"}], stream=True)
        assert stream.headers["x-heterofleet-cache"] == "semantic"
        assert b'"content":"In Norway"' in stream.body


@pytest.mark.parametrize(
    ("headers", "fields"),
    [
        (["x-heterofleet-cache: no"], {}),
        (["cache-control: no-store"], {}),
        ([], {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ([], {"n": 2}),
    ],
)
async def test_what_may_not_be_repeated_is_neither_looked_up_nor_kept(
    tmp_path: Path, headers: list[str], fields: dict[str, Any]
):
    async with (
        engine(embedding) as meanings,
        engine(says("In Norway")) as large,
        running(tmp_path, config([], [large], cache=semantic(meanings))) as router,
    ):
        for _ in range(2):
            assert await plan(router, "Where is Oslo?", *headers, **fields) == ("In Norway", None)
        assert meanings.received == []


async def test_what_differs_in_anything_but_the_question_is_not_the_same(tmp_path: Path):
    async with (
        engine(embedding) as meanings,
        engine(says("In Norway")) as large,
        running(tmp_path, config([], [large], cache=semantic(meanings))) as router,
    ):
        await plan(router, "Where is Oslo?")
        assert await plan(router, "Where is Oslo?", temperature=0.5) == ("In Norway", None)
        assert await plan(router, "Where is Oslo?") == ("In Norway", "semantic")


async def test_bad_answers_and_those_of_the_small_tier_are_not_kept(tmp_path: Path):
    async with (
        engine(embedding) as meanings,
        engine(says("")) as large,
        engine(says("In Norway")) as small,
        running(tmp_path, config([small], [large], cache=semantic(meanings))) as router,
    ):
        for _ in range(2):
            assert await plan(router, "Where is Oslo?") == ("", None)
        messages = [{"role": "user", "content": "Where is Oslo?"}]
        for _ in range(2):
            assert "x-heterofleet-cache" not in (await router.ask("act", messages=messages)).headers


@pytest.mark.parametrize(
    ("fresh", "outcome", "then"), [("in norway.", "right", "In Norway"), ("I guess Peru", "false", "I guess Peru")]
)
async def test_a_share_of_the_hits_is_answered_anew_and_compared(tmp_path: Path, fresh: str, outcome: str, then: str):
    async with (
        engine(embedding) as meanings,
        engine(says("In Norway")) as large,
        running(tmp_path, config([], [large], cache=semantic(meanings, verifyShare=0.5))) as router,
    ):
        await plan(router, "Where is Oslo?")
        assert await plan(router, "Where is Oslo?") == ("In Norway", "semantic")
        large.script = says(fresh)
        assert await plan(router, "In which country is Oslo?") == (fresh, None)
        assert await router.metrics("cache_checks_total") == {("semantic", outcome): 1}
        assert await plan(router, "In which country is Oslo?") == (then, "semantic")


@pytest.mark.parametrize(
    "broken",
    [
        engines.writes(close=True),
        engines.writes(engines.whole(500, b"{}")),
        engines.writes(engines.whole(200, b'{"data":[]}')),
        engines.stalls(),
    ],
)
async def test_an_embedding_endpoint_that_fails_costs_an_answer_nothing_but_the_cache(tmp_path: Path, broken: Script):
    async with (
        engine(broken) as meanings,
        engine(says("In Norway")) as large,
        running(tmp_path, config([], [large], cache=semantic(meanings))) as router,
    ):
        for _ in range(3):
            assert await plan(router, "Where is Oslo?") == ("In Norway", None)
        assert len(asked(large)) == 3


async def test_an_endpoint_that_failed_is_left_alone_for_a_second():
    now = 100.0
    async with engine(engines.writes(engines.whole(500, b"{}"))) as meanings:
        embedder = Embedder(f"http://{meanings.key}/v1/embeddings", "m", lambda: now, budget_seconds=20)
        assert await embedder.vector("Where is Oslo?") is None
        meanings.script = embedding
        assert await embedder.vector("Where is Oslo?") is None
        assert len(meanings.received) == 1
        now = 101.0
        assert await embedder.vector("Where is Oslo?") == [1.0, 0.0]
        await embedder.close()


async def test_without_an_endpoint_numpy_is_not_loaded_and_nothing_is_asked(tmp_path: Path):
    async with engine(says("In Norway")) as large, running(tmp_path, config([], [large])) as router:
        assert await plan(router, "Where is Oslo?") == ("In Norway", None)
        assert router.router._recall._meaning is None


@pytest.mark.parametrize("stream", [False, True])
async def test_an_exact_answer_is_given_again_whole_or_as_a_stream(tmp_path: Path, stream: bool):
    cache = {"exact": {"use": "Deterministic"}}
    async with engine(says("Hello")) as small, running(tmp_path, config([small], cache=cache)) as router:
        await router.ask(temperature=0)
        again = await router.ask(temperature=0, stream=stream)
        assert again.headers["x-heterofleet-cache"] == "exact"
        assert (b"data: [DONE]" in again.body, b"Hello" in again.body) == (stream, True)
        assert "x-heterofleet-cache" not in (await router.ask(temperature=1)).headers
        assert await router.metrics("cache_hits_total") == {("exact", "act"): 1}
        assert await router.metrics("requests_total") == {("act", "ok", "small"): 2, ("act", "cached", "none"): 1}


QUIET = "I'm sorry, but I can't help with that."


@pytest.mark.parametrize("first", ["Hello", "", QUIET])
async def test_a_stream_is_kept_only_where_a_whole_answer_would_be(tmp_path: Path, first: str):
    cache = {"exact": {"use": "Deterministic"}}
    async with engine(speaks(first)) as small, running(tmp_path, config([small], cache=cache)) as router:
        stream = await router.ask(temperature=0, stream=True)
        small.script = says("Fresh")
        again = await router.ask(temperature=0)
        kept = first == "Hello"
        assert (said(again.body), again.headers.get("x-heterofleet-cache")) == (
            ("Hello", "exact") if kept else ("Fresh", None)
        )
        assert b'"usage"' not in stream.body
        if kept:
            # What a client that streams did not ask for is there for one that does not.
            assert orjson.loads(again.body)["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


async def test_a_stream_that_broke_off_is_not_kept(tmp_path: Path):
    cache = {"exact": {"use": "Deterministic"}}
    cut = engines.writes(engines.STREAM_HEAD + engines.piece(engines.delta("Hel")), close=True)
    async with engine(cut) as small, running(tmp_path, config([small], cache=cache)) as router:
        await router.ask(temperature=0, stream=True)
        small.script = says("Hello")
        again = await router.ask(temperature=0)
        assert (said(again.body), again.headers.get("x-heterofleet-cache")) == ("Hello", None)


async def test_what_is_kept_of_a_stream_is_what_the_rules_let_pass(tmp_path: Path):
    rules = [{"name": "card", "pattern": r"\d{4}-\d{4}", "action": "Redact", "replacement": "[card]"}]
    policy: dict[str, Any] = {"cache": {"exact": {"use": "Deterministic"}}, "compliance": {"rules": rules}}
    async with engine(says("use 1234-5678 now")) as small, running(tmp_path, config([small], **policy)) as router:
        await router.ask(temperature=0, stream=True)
        former = router.router._configured.current
        router.reconfigure(config([small], cache=policy["cache"]))
        await until(lambda: router.router._configured.current is not former)
        again = await router.ask(temperature=0)
        assert (said(again.body), again.headers["x-heterofleet-cache"]) == ("use[card]now", "exact")


async def test_a_stream_of_the_large_tier_is_found_by_its_meaning(tmp_path: Path):
    async with (
        engine(embedding) as meanings,
        engine(says("Norway")) as large,
        running(tmp_path, config([], [large], cache=semantic(meanings))) as router,
    ):
        await router.ask("plan", messages=[{"role": "user", "content": "Where is Oslo?"}], stream=True)
        assert await plan(router, "In which country is Oslo?") == ("Norway", "semantic")


async def test_a_stream_of_a_model_that_does_not_stream_is_kept_as_it_came(tmp_path: Path):
    cache = {"exact": {"use": "Deterministic"}}
    whole = engines.writes(engines.whole(200, engines.chat("Hello")))
    async with engine(whole) as small, running(tmp_path, config([small], cache=cache)) as router:
        first = await router.ask(temperature=0, stream=True)
        again = await router.ask(temperature=0)
        assert (b"data: [DONE]" in first.body, again.body) == (True, engines.chat("Hello"))
        assert again.headers["x-heterofleet-cache"] == "exact"


async def test_an_old_answer_is_better_than_none_when_no_engine_works(tmp_path: Path):
    cache = {"exact": {"use": "Deterministic", "ttlSeconds": 1}}
    policy: dict[str, Any] = {"cache": cache, "retry": {"attempts": 0}}
    async with engine(says("Hello")) as small, running(tmp_path, config([small], **policy)) as router:
        await router.ask(temperature=0)
        small.script = engines.writes(engines.whole(500, b"{}"))
        answer = await router.ask(temperature=0)
        while answer.headers["x-heterofleet-cache"] == "exact":
            answer = await router.ask(temperature=0)
        assert (said(answer.body), answer.headers["x-heterofleet-cache"]) == ("Hello", "stale")
        assert answer.headers["x-heterofleet-degraded"] == "true"
