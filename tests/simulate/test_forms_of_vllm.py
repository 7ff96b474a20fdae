"""Simulated engines answer in the forms in which vLLM answers."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from heterofleet.simulate import profile
from heterofleet.simulate.server import EngineServer
from testbed import exchanges

LIKE_THE_TINY_MODEL = replace(profile.load()["tiny"], max_model_len=2048, step_seconds=0.02)
"""Slow enough for a stream's tokens to come in more than one event on any machine."""


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = EngineServer(LIKE_THE_TINY_MODEL, ("chat-small", "act"))
    yield (await server.start())[1]
    await server.stop()


@pytest.mark.parametrize("name", exchanges.EXCHANGES)
async def test_an_answer_has_the_form_of_vllms(port: int, name: str) -> None:
    answer = await asyncio.to_thread(exchanges.ask, port, exchanges.EXCHANGES[name])
    assert exchanges.form(answer) == exchanges.recorded()[name]


async def test_metrics_are_some_of_vllms(port: int) -> None:
    text = (await asyncio.to_thread(exchanges.ask, port, exchanges.Exchange("/metrics"))).body.decode()
    found = exchanges.families(text)
    assert len(found) > 10
    assert found.items() <= exchanges.recorded_families().items()


def test_every_exchange_is_recorded() -> None:
    assert exchanges.recorded().keys() == exchanges.EXCHANGES.keys()
