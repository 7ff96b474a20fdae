"""Questions over HTTP to a fleet's own processes: an answer that is late, wrong or missing is None."""

import asyncio
import json
import random
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from heterofleet.api import labels
from heterofleet.api.labels import Tier
from heterofleet.metrics.scrape import SUPERVISOR_PORT, RouterAnswer, Scrape

NOBODY = "127.255.255.254"


class Pod:
    """Something that answers on a loopback address at the ports that pods have: a status and a text, by path."""

    def __init__(self) -> None:
        self.address = f"127.{random.randint(2, 254)}.{random.randint(1, 254)}.{random.randint(1, 254)}"
        self.answers: dict[str, tuple[int, str]] = {}
        self.delay_seconds = 0.0
        self.runner: web.AppRunner

    async def open(self) -> None:
        application = web.Application()
        application.router.add_get("/{path:.*}", self._answer)
        self.runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self.runner.setup()
        for port in (labels.ENGINE_PORT, labels.METRICS_PORT, SUPERVISOR_PORT):
            await web.TCPSite(self.runner, self.address, port).start()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(self.delay_seconds)
        status, text = self.answers.get(request.path, (404, ""))
        return web.Response(status=status, text=text)


@pytest.fixture
async def pod() -> AsyncIterator[Pod]:
    opened = Pod()
    await opened.open()
    yield opened
    await opened.runner.cleanup()


@pytest.fixture
async def engines() -> AsyncIterator[Scrape]:
    async with aiohttp.ClientSession() as session:
        yield Scrape(session)


async def test_numbers_come_from_the_pod_s_own_address(pod: Pod, engines: Scrape):
    pod.answers["/metrics"] = 200, "vllm:num_requests_running 1\nvllm:num_requests_waiting 2\n"
    assert await engines.engine_in_flight(pod.address) == 3


@pytest.mark.parametrize("status", [500, 302, 404])
async def test_what_is_no_good_answer_is_not_zero(pod: Pod, engines: Scrape, status: int):
    pod.answers["/metrics"] = status, "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n"
    assert await engines.engine_in_flight(pod.address) is None
    assert await engines.router_in_flight(pod.address, "10.0.0.1") is None


async def test_an_answer_that_comes_late_is_none(pod: Pod, engines: Scrape):
    pod.answers["/metrics"] = 200, "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n"
    pod.delay_seconds = 30
    assert await engines.engine_in_flight(pod.address) is None


async def test_where_nobody_listens_nothing_is_known(engines: Scrape):
    assert await engines.engine_in_flight(NOBODY) is None
    assert await engines.router_config(NOBODY) is None
    assert await engines.router_queue(NOBODY) is None
    assert await engines.epochs_agree((NOBODY,)) is None


async def test_a_router_says_what_waits_in_it(pod: Pod, engines: Scrape):
    queue = "heterofleet_router_queue_requests"
    pod.answers["/metrics"] = 200, f'{queue}{{tier="large"}} 0\n{queue}{{tier="small"}} 4\n'
    assert await engines.router_queue(pod.address) == {Tier.LARGE: 0.0, Tier.SMALL: 4.0}
    pod.answers["/metrics"] = 200, f'{queue}{{tier="small"}} 4\n'
    assert await engines.router_queue(pod.address) is None


async def test_a_router_says_which_config_it_runs(pod: Pod, engines: Scrape):
    pod.answers["/config"] = 200, json.dumps({"digest": "d", "rejected": "r", "error": "e", "later": 1})
    assert await engines.router_config(pod.address) == RouterAnswer(digest="d", rejected="r", error="e")
    pod.answers["/config"] = 200, "[]"
    assert await engines.router_config(pod.address) is None


@pytest.mark.parametrize(("body", "agreed"), [({"agreed": True}, True), ({"agreed": False}, False), ({}, False)])
async def test_ranks_agree_when_every_supervisor_says_so(
    pod: Pod, engines: Scrape, body: dict[str, bool], agreed: bool
):
    pod.answers["/status"] = 200, json.dumps(body)
    assert await engines.epochs_agree((pod.address,)) is agreed
    assert await engines.epochs_agree((pod.address, NOBODY)) is False
