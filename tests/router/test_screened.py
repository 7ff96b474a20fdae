"""Compliance at the gates of a router: prompts, and answers of every tier, cache and person, whole and streamed."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from router import engines, wire
from router.engines import Received, engine, says
from router.running import asked, body, config, running, until

RULES = {
    "rules": [
        {"name": "no-bombs", "pattern": "bomb"},
        {"name": "cards", "pattern": "[0-9]{4}-[0-9]{4}", "action": "Redact", "replacement": "[card]"},
        {"name": "late", "pattern": "goodbye", "scope": "Answer"},
    ],
    "maxMatchCharacters": 16,
}


def said(answer: bytes) -> str:
    text: str = orjson.loads(answer)["choices"][0]["message"]["content"]
    return text


def streamed(answer: bytes) -> str:
    """The text of a stream's events."""
    events = [line[6:] for line in answer.split(b"\n\n") if line.startswith(b"data: {")]
    return "".join(c["delta"].get("content") or "" for event in events for c in orjson.loads(event).get("choices", ()))


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


async def test_a_denied_prompt_reaches_no_engine_and_is_told_the_rule_but_not_the_match(tmp_path: Path):
    async with engine(says("Hello")) as small, running(tmp_path, config([small], compliance=RULES)) as router:
        answer = await router.ask(messages=user("a bomb"))
        assert answer.status == 403
        assert orjson.loads(answer.body)["error"] == {
            "message": "the prompt is denied by the compliance rule no-bombs",
            "type": "invalid_request_error",
            "param": None,
            "code": "denied_by_rule",
        }
        assert asked(small) == []
        assert await router.metrics("requests_total") == {("none", "denied", "none"): 1}
        assert await router.metrics("compliance_total") == {("prompt_denied",): 1}


async def test_a_redacted_prompt_is_what_engines_and_classes_see(tmp_path: Path):
    async with engine(says("Hello")) as small, running(tmp_path, config([small], compliance=RULES)) as router:
        answer = await router.ask(messages=user("pay 1234-5678 now, or 8765-4321"), temperature=0.5)
        assert said(answer.body) == "Hello"
        assert asked(small)[0].fields["messages"] == user("pay [card] now, or [card]")
        assert asked(small)[0].fields["temperature"] == 0.5
        assert await router.metrics("compliance_total") == {("prompt_redacted",): 2}


@pytest.mark.parametrize("tier", ["small", "large"])
async def test_answers_of_every_tier_are_held_to_the_rules(tmp_path: Path, tier: str):
    async with (
        engine(says("use 1234-5678")) as small,
        engine(says("use 1234-5678")) as large,
        running(tmp_path, config([small], [large], compliance=RULES)) as router,
    ):
        answer = await router.ask(f"chat-{tier}")
        assert (answer.headers["x-heterofleet-tier"], said(answer.body)) == (tier, "use [card]")
        assert int(answer.headers["content-length"]) == len(answer.body)
        small.script = large.script = says("goodbye")
        answer = await router.ask(f"chat-{tier}")
        assert answer.status == 403
        assert orjson.loads(answer.body)["error"]["message"] == "the answer is denied by the compliance rule late"
        assert await router.metrics("compliance_total") == {("answer_redacted",): 1, ("answer_denied",): 1}


async def test_a_stream_is_redacted_across_its_pieces(tmp_path: Path):
    async with (
        engine(says("use 1234-5678 or 1234-5678 , nothing else")) as small,
        running(tmp_path, config([small], compliance=RULES)) as router,
    ):
        answer = await router.ask(stream=True)
        assert streamed(answer.body) == "use[card]or[card],nothingelse"
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert b"1234" not in answer.body
        assert await router.metrics("compliance_total") == {("answer_redacted",): 2}


async def test_a_denied_stream_ends_with_an_error_and_what_was_clean_before_it(tmp_path: Path):
    seen = asyncio.Event()

    async def script(_: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(engines.STREAM_HEAD + engines.piece(engines.delta("harmless, more of it than can match")))
        await seen.wait()
        writer.write(engines.piece(engines.delta("good") + engines.delta("bye and more than that")))
        await asyncio.Event().wait()

    async with (
        engine(script) as small,
        running(tmp_path, config([small], compliance=RULES)) as router,
        wire.connected(router.router.port) as client,
    ):
        client.send(wire.post(body(stream=True)))
        await client.head()
        assert streamed(await client.piece()) == "harmless, more of i"
        seen.set()
        assert await client.piece() == (
            b'data: {"error":{"message":"the answer is denied by the compliance rule late",'
            b'"type":"invalid_request_error","param":null,"code":"denied_by_rule"}}\n\n'
        )
        assert await client.piece() == b""
        await until(lambda: small.gone > 0)
        assert await router.metrics("requests_total") == {("act", "denied", "small"): 1}
        # Its engine never tells what it took: the prompt by its length, and a token an event that came.
        assert await router.metrics("prompt_tokens_total") == {("act", "small"): 1}
        assert await router.metrics("completion_tokens_total") == {("act", "small"): 2}
        assert await router.metrics("in_flight_requests") == {(small.key, "small"): 0}


async def test_a_cached_answer_is_held_to_the_rules_of_today(tmp_path: Path):
    cache = {"exact": {"use": "Deterministic"}}
    async with engine(says("ask Bob Smith")) as small, running(tmp_path, config([small], cache=cache)) as router:
        await router.ask(temperature=0)
        rules = {"rules": [{"name": "names", "pattern": "Bob", "action": "Redact"}]}
        router.reconfigure(config([small], cache=cache, compliance=rules))
        answer = await router.ask(temperature=0)
        while said(answer.body) != "ask [redacted] Smith":
            answer = await router.ask(temperature=0)
        assert answer.headers["x-heterofleet-cache"] == "exact"
        stream = await router.ask(temperature=0, stream=True)
        assert (stream.headers["x-heterofleet-cache"], streamed(stream.body)) == ("exact", "ask [redacted] Smith")
        assert len(asked(small)) == 1


async def test_what_cannot_be_read_cannot_be_held_to_rules_and_does_not_pass(tmp_path: Path):
    garbage = engines.writes(engines.whole(200, b"not JSON: 1234-5678"))
    policy: dict[str, Any] = {"compliance": RULES, "quality": {"enabled": False}}
    async with engine(garbage) as small, running(tmp_path, config([small], **policy)) as router:
        answer = await router.ask()
        assert (answer.status, b"1234" in answer.body) == (502, False)


@pytest.mark.parametrize("audit", [None, "audit.log"])
async def test_every_decision_is_a_line_of_the_audit_log_without_the_text(tmp_path: Path, audit: str | None):
    changes: dict[str, Any] = {} if audit is None else {"audit_log": str(tmp_path / audit)}
    async with (
        engine(says("use 1234-5678")) as small,
        running(tmp_path, config([small], compliance=RULES), **changes) as router,
    ):
        await router.ask("act", "x-request-id: one", messages=user("1111-2222 and 3333-4444"))
        await router.ask("act", "x-request-id: two", messages=user("bomb"))
        lines = await router.log(5 if audit is None else 3, audit or "access.log")
    audited = [{name: value for name, value in line.items() if name != "at"} for line in lines if "audit" in line]
    assert audited == [
        {"audit": "compliance", "id": "one", "rule": "cards", "action": "prompt_redacted", "count": 2},
        {"audit": "compliance", "id": "one", "rule": "cards", "action": "answer_redacted", "count": 1},
        {"audit": "compliance", "id": "two", "rule": "no-bombs", "action": "prompt_denied", "count": 1},
    ]


async def test_the_audit_log_is_kept_where_the_access_log_is_not(tmp_path: Path, capfdbinary: Any):
    async with (
        engine(says("Hello")) as small,
        running(tmp_path, config([small], compliance=RULES), access_log="none") as router,
    ):
        await router.ask(messages=user("bomb"))
    lines = capfdbinary.readouterr().out.splitlines()
    assert [orjson.loads(line)["rule"] for line in lines] == ["no-bombs"]


async def test_a_rule_that_cannot_be_compiled_is_refused_and_the_former_rules_stay(tmp_path: Path):
    async with engine(says("Hello")) as small, running(tmp_path, config([small], compliance=RULES)) as router:
        digest = orjson.loads((await router.admin("/config")).body)["digest"]
        router.reconfigure(config([small], compliance={"rules": [{"name": "open", "pattern": "("}]}))
        report: dict[str, Any] = {"error": ""}
        while not report["error"]:
            report = orjson.loads((await router.admin("/config")).body)
        assert report["digest"] == digest
        assert report["error"].startswith("compliance rule open: RE2 does not take its pattern (")
        assert (await router.ask(messages=user("bomb"))).status == 403
        assert await router.metrics("config_rejections_total") == {(): 1}
