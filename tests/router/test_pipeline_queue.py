"""Requests that find no place in a whole router: who waits, who is turned away, and what is answered elsewhere."""

import asyncio
import json

import pytest

from router.engines import says, whole, writes
from router.running import until
from router.site import Gate, Site, sentence, site, status, text


def waiting(made: Site) -> int:
    return sum(map(len, made.router._dispatcher.waiting.values()))


def narrow(tier: str) -> dict:
    """A tier whose engines run one request at once."""
    return {tier: {"servedName": f"chat-{tier}", "maxInFlight": 1}}


async def test_requests_are_held_while_their_tier_boots(tmp_path):
    async with site(tmp_path, [says("here")], config={"endpoints": []}) as made:
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(made.ask()) for _ in range(3)]
            await until(lambda: waiting(made) == 3)
            assert await made.counts("queue_requests") == {("large",): 0.0, ("small",): 3.0}
            await made.tells({**made.said, "endpoints": [{"address": made.small[0].key, "tier": "small"}]})
        assert [text(answer.result()) for answer in answers] == ["here"] * 3


async def test_who_finds_the_queue_full_is_told_when_to_come_again(tmp_path):
    async with site(tmp_path, queue={"maxRequests": 1}) as made, made.asking():
        await until(lambda: waiting(made) == 1)
        answer = await made.ask()
        assert (answer.status, answer.headers["retry-after"]) == (429, "60")
        assert sentence(answer) == "1 requests wait already for an instance, and no more may"
        assert await made.counts() == {("act", "rejected", "none"): 1.0}


@pytest.mark.parametrize("model", ["act", "plan"])
async def test_who_has_waited_to_its_deadline_is_turned_away(tmp_path, model):
    queue = {"actDeadlineSeconds": 0.01, "planDeadlineSeconds": 0.01}
    async with site(tmp_path, queue=queue) as made:
        answer = await made.ask(model)
        assert answer.status == 503
        assert json.loads(answer.body)["error"]["type"] == "server_error"


async def test_a_full_tier_turns_away_at_the_deadline_with_the_time_to_come_again(tmp_path):
    gate = Gate(says("hello"))
    queue = {"actDeadlineSeconds": 0.01}
    async with site(tmp_path, [gate], config=narrow("small"), queue=queue) as made, made.asking() as wire:
        await until(lambda: gate.came == 1)
        answer = await made.ask()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert sentence(answer) == "no instance of the small tier had room in time"
        gate.open.set()
        assert (await wire.answer()).status == 200


async def test_plan_requests_go_before_act_requests(tmp_path):
    gate = Gate(says("hello"))
    async with site(tmp_path, (), [gate], config=narrow("large")) as made, made.asking("chat-large") as first:
        await until(lambda: gate.came == 1)
        async with asyncio.TaskGroup() as group:
            for number, name in enumerate(("act", "act", "plan"), start=1):
                group.create_task(made.ask("chat-large", f"x-heterofleet-class: {name}", user=name))
                await until(lambda number=number: waiting(made) == number)
            gate.open.set()
        assert (await first.answer()).status == 200
        assert [received.fields.get("user") for received in made.large[0].received] == [None, "plan", "act", "act"]


@pytest.mark.parametrize(("model", "tier"), [("act", "large"), ("auto", "large"), ("chat-small", "small")])
async def test_idle_large_instances_answer_for_a_full_small_tier_unless_it_was_named(tmp_path, model, tier):
    gate = Gate(says("small"))
    async with site(tmp_path, [gate], [says("large")], config=narrow("small")) as made, made.asking() as first:
        await until(lambda: gate.came == 1)
        asked = asyncio.create_task(made.ask(model, "x-heterofleet-class: act"))
        if tier == "small":
            await until(lambda: waiting(made) == 1)
            gate.open.set()
        assert (await asked).headers["x-heterofleet-tier"] == tier
        gate.open.set()
        assert (await first.answer()).status == 200


@pytest.mark.parametrize(
    ("overflow", "code", "degraded"), [("Wait", 200, None), ("Degrade", 200, "true"), ("Refuse", 429, None)]
)
async def test_a_plan_request_that_finds_its_tier_full_waits_is_degraded_or_refused(tmp_path, overflow, code, degraded):
    gate = Gate(says("large"))
    queue = {"whenPlanOverflows": overflow}
    async with (
        site(tmp_path, [says("small")], [gate], config=narrow("large"), queue=queue) as made,
        made.asking("plan") as first,
    ):
        await until(lambda: gate.came == 1)
        asked = asyncio.create_task(made.ask("plan"))
        if overflow == "Wait":
            await until(lambda: waiting(made) == 1)
            gate.open.set()
        answer = await asked
        assert (answer.status, answer.headers.get("x-heterofleet-degraded")) == (code, degraded)
        if code == 200:
            assert answer.headers["x-heterofleet-tier"] == ("small" if degraded else "large")
        gate.open.set()
        assert (await first.answer()).status == 200


async def test_what_engines_have_from_others_counts_as_load(tmp_path):
    async def busy(received, writer):
        if received.path == "/metrics":
            writer.write(
                whole(200, b"vllm:num_requests_running 5\nvllm:num_requests_waiting 2\nvllm:kv_cache_usage_perc 1\n")
            )
        else:
            await says("busy")(received, writer)

    async def idle(received, writer):
        if received.path == "/metrics":
            await status(404)(received, writer)
        else:
            await says("idle")(received, writer)

    async with site(tmp_path, [busy, idle], tells_loads=True) as made:
        await until(lambda: made.endpoint(made.small[0]).foreign == 7)
        assert [endpoint.cache_use for endpoint in map(made.endpoint, made.small)] == [1.0, 0.0]
        assert {text(await made.ask()) for _ in range(5)} == {"idle"}
        # It is load, but none of ours that would be left behind.
        made.endpoint(made.small[0]).heard(0)
        made.router._registry.replace([])


async def test_idle_engines_are_asked_for_a_token_and_those_that_cannot_are_avoided(tmp_path):
    breaker = {"failures": 1, "probeIdleSeconds": 0.01}
    async with site(
        tmp_path, [status(500), writes(whole(200, b'{"choices":[{"text":"1"}]}'))], breaker=breaker
    ) as made:
        await until(lambda: made.endpoint(made.small[0]).breaker.reopen_at is not None)
        assert made.endpoint(made.small[1]).breaker.reopen_at is None
        probe = made.small[0].received[0]
        assert (probe.path, probe.fields) == (
            "/v1/completions",
            {"model": "chat-small", "prompt": "1", "max_tokens": 1, "temperature": 0},
        )
        await made.tells({**made.said, "policy": {**made.said["policy"], "breaker": {"probeIdleSeconds": 0}}})
