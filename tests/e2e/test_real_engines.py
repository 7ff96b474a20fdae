"""Real vLLM on real nodes behind the router: a fleet of two tiers goes through a day of troubles, one after another.

The tests share one fleet and stand in the order of a run: each leaves it settled, as it found it.
"""

import asyncio
import contextlib
import random
import statistics
import time
from collections import Counter
from typing import Any, Final

import pytest
from openai import AsyncOpenAI

from e2e import traffic
from e2e.realfleet import environment, mounted, of_hub
from e2e.report import Report
from e2e.site import START_SECONDS, Site, exhaust, frozen, is_healthy, kill, ready, restarts, seconds_until
from testbed.eventually import eventually, eventually_async

pytestmark = pytest.mark.timeout(900)

TIERS = {"plan": "large", "act": "small", "chat-large": "large", "chat-small": "small"}
STREAMS = 50
_LONG: Final[dict[str, Any]] = {"max_tokens": 1900, "extra_body": {"ignore_eos": True}}
CAUSES: Final = {
    mounted("broken-config"): "no-such-model",
    mounted("no-tokenizer"): "tokenizer",
    mounted("truncated-weights"): "SafetensorError",
    mounted("no-such-folder"): "there is no folder /models/no-such-folder in the pod",
    of_hub("too-large"): "no room for the model",
    # It fills the volume, and is the last for that.
    of_hub("larger-than-told"): "the cache is full",
}
"""By the source of the model that a tier is given, what its condition must say."""


async def test_each_class_and_name_reaches_its_tier_streamed_or_not(site: Site):
    async with site.client() as client:
        answers = {
            (model, stream): await traffic.ask(client, model, stream=stream)
            for model in TIERS
            for stream in (False, True)
        }
    told = {asked: (answer.tier, answer.failure, answer.degraded) for asked, answer in answers.items()}
    assert told == {(model, stream): (tier, "", False) for model, tier in TIERS.items() for stream in (False, True)}


async def test_the_ranks_of_the_large_tier_are_on_two_nodes(site: Site):
    assert {pod["spec"]["nodeName"] for pod in site.group()} == {"real-0", "real-1"}


@pytest.mark.parametrize("operator", [True, False], ids=["operator", "no operator"])
async def test_a_group_restarts_as_one_when_a_rank_is_killed(site: Site, report: Report, operator: bool):
    before = {pod["metadata"]["uid"]: restarts(pod) for pod in site.group()}
    rank = random.Random(report.seed).choice([0, 1])
    with contextlib.nullcontext() if operator else site.without_operator():
        async with site.client() as client, traffic.loaded(client, "plan", "act") as load:
            await eventually_async(lambda: _more(load, 1))
            stream = asyncio.create_task(traffic.ask(client, "chat-large", stream=True, **_LONG))
            await asyncio.sleep(1)
            kill(site.group()[rank], "VLLM::")
            began = time.monotonic()
            await eventually_async(lambda: _answers(client, site), within=START_SECONDS, message=site.told)
            took = round(time.monotonic() - began, 1)
            cut = await stream
    after = {pod["metadata"]["uid"]: restarts(pod) for pod in site.group()}
    site.wait_settled()
    report.see(
        killed_rank=rank,
        serving_after_seconds=took,
        unforced_start_seconds=site.starts,
        beyond_a_start_seconds=round(took - statistics.median(site.starts), 1),
        load=load.summary(),
        stream=cut.sentence,
    )
    assert after == {uid: count + 1 for uid, count in before.items()}
    # What had begun cannot be tried again: its client is told in the stream. Everything else is answered.
    assert (cut.failure, load.failures()) == ("stream", {})


async def _more(load: traffic.Load, count: int) -> bool:
    return load.answered("plan", "large") >= count and load.answered("act", "small") >= count


async def _answered(load: traffic.Load, count: int) -> bool:
    return load.answered("act", "small") >= count


async def _answers(client: AsyncOpenAI, site: Site) -> bool:
    """The large tier itself answers, each of its containers having restarted."""
    outcome = await traffic.ask(client, "chat-large", max_tokens=1)
    return outcome.tier == "large" and all(map(ready, site.group()))


async def test_an_engine_that_is_healthy_but_generates_nothing_gets_no_traffic(site: Site, report: Report):
    small = site.pods("small")[0]
    async with site.client() as client:
        with frozen(small, "VLLM::"):
            answers = [await traffic.ask(client, "act") for _ in range(6)]
        began = time.monotonic()
        await eventually_async(lambda: _from_small(client), within=120)
    report.see(answers=[answer.tier or answer.failure for answer in answers], back_after=time.monotonic() - began)
    assert [answer.tier for answer in answers] == ["large"] * 6


async def test_an_engine_that_never_generates_anything_never_gets_traffic(site: Site, report: Report):
    serving = site.pods("small")[0]["metadata"]["name"]
    async with site.client() as client, traffic.loaded(client, "plan", "act") as load:
        site.change("small", engine={"env": environment(site.hub, stuck=True)})
        try:
            await asyncio.to_thread(eventually, lambda: _healthy(site, serving), START_SECONDS, site.told)
            count = load.answered("act", "small")
            await eventually_async(lambda: _answered(load, count + 20), message=lambda: f"{load.summary()}")
            readiness = {pod["metadata"]["name"]: ready(pod) for pod in site.pods("small")}
        finally:
            site.change("small", engine={"env": environment(site.hub)})
        await asyncio.to_thread(site.wait_settled)
    report.see(readiness=readiness, load=load.summary())
    assert (readiness.pop(serving), list(readiness.values()), load.failures()) == (True, [False], {})


def _healthy(site: Site, serving: str) -> bool:
    """A second engine of the small tier says that it is."""
    others = [pod for pod in site.pods("small") if pod["metadata"]["name"] != serving]
    return bool(others) and is_healthy(site.nodes, others[0])


async def _from_small(client: AsyncOpenAI) -> bool:
    return (await traffic.ask(client, "act")).tier == "small"


async def test_long_streams_on_an_instance_that_is_scaled_down_end_as_they_would(site: Site, report: Report):
    site.scale("small", 2)
    eventually(lambda: [ready(pod) for pod in site.pods("small")] == [True] * 2, START_SECONDS, site.told)
    async with site.client() as client:
        # All have begun, and none is near its end.
        begun = asyncio.Semaphore(0)
        asked = [
            asyncio.create_task(traffic.ask(client, "act", stream=True, begun=begun.release, **_LONG))
            for _ in range(STREAMS)
        ]
        async with asyncio.timeout(120):
            for _ in asked:
                await begun.acquire()
        unfinished = sum(not task.done() for task in asked)
        site.scale("small", 1)
        answers = await asyncio.gather(*asked)
    took = seconds_until(lambda: len(site.pods("small")) == 1, 180, site.told)
    site.wait_settled()
    by_endpoint = Counter(answer.endpoint for answer in answers)
    failed = Counter(f"{answer.failure} {answer.sentence}" for answer in answers if answer.failure)
    report.see(streams=dict(by_endpoint), unfinished_at_scale_down=unfinished, gone_after=took, lost=dict(failed))
    assert (failed, len(by_endpoint), unfinished) == (Counter(), 2, STREAMS)


async def test_a_tier_rolls_to_another_model_without_a_failed_request(site: Site, report: Report):
    before = {pod["metadata"]["name"] for pod in site.pods("small")}
    async with site.client() as client, traffic.loaded(client, "plan", "act") as load:
        await eventually_async(lambda: _more(load, 1))
        site.give("small", of_hub("other"))
        await asyncio.to_thread(site.wait_settled)
        count = load.answered("act", "small")
        await eventually_async(lambda: _answered(load, count + 3), message=lambda: f"{load.summary()}")
    report.see(load=load.summary())
    eventually(lambda: len(site.pods("small")) == 1, 180, site.told)
    after = {pod["metadata"]["name"] for pod in site.pods("small")}
    assert (before & after, load.failures()) == (set(), {})


async def test_an_engine_out_of_memory_comes_back_and_the_cause_is_told(site: Site, report: Report):
    small = site.pods("small")[0]
    async with site.client() as client, traffic.loaded(client, "plan", "act") as load:
        await eventually_async(lambda: _more(load, 1))
        await asyncio.to_thread(exhaust, site.nodes, small)
        told = await asyncio.to_thread(
            eventually, lambda: _told(site, "SmallTierReady", "OOMKilled"), START_SECONDS, site.told
        )
        await asyncio.to_thread(site.wait_settled)
    report.see(told=told, load=load.summary(), restarts=restarts(site.pods("small")[0]))
    assert (restarts(site.pods("small")[0]), load.failures()) == (1, {})


def _told(site: Site, kind: str, words: str) -> str | None:
    message = str(site.condition(kind).get("message", ""))
    return message if words in message else None


@pytest.mark.parametrize("source", CAUSES, ids=lambda source: source.rpartition("/")[2])
async def test_a_model_that_cannot_be_served_is_told_in_words_and_the_old_one_serves_on(
    site: Site, report: Report, source: str
):
    serving = site.pods("small")[0]
    name, before = serving["metadata"]["name"], restarts(serving)
    served = site.source("small")
    async with site.client() as client, traffic.loaded(client, "plan", "act") as load:
        site.give("small", source)
        try:
            told = await asyncio.to_thread(
                eventually, lambda: _told(site, "Degraded", CAUSES[source]), START_SECONDS, site.told
            )
            ends = {pod["metadata"]["name"]: restarts(pod) for pod in site.pods("small")}
        finally:
            site.give("small", served)
        await asyncio.to_thread(site.wait_settled)
    report.see(told=told, restarts=ends, load=load.summary())
    assert (ends[name], load.failures()) == (before, {})
