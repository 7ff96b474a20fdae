"""Engines refuse who has no key of the ring; routers have one, and nobody else sees it."""

import asyncio
from pathlib import Path

import pytest

from engine.conftest import FIRST_RING, Engines
from engine.routers import EngineRouter
from testbed.eventually import eventually_async
from testbed.exchanges import EXCHANGES, Exchange


@pytest.mark.parametrize("key", [None, "a-clients-own-key", FIRST_RING["current"][:-1]])
def test_an_engine_refuses_who_has_no_key_of_the_ring(engines: Engines, key: str | None):
    assert engines.small.ask(EXCHANGES["chat"], key).status == 401


@pytest.mark.parametrize("key", FIRST_RING.values())
def test_an_engine_takes_every_key_of_the_ring(engines: Engines, key: str):
    assert engines.small.ask(EXCHANGES["chat"], key).status == 200


def test_health_and_metrics_ask_for_no_key(engines: Engines):
    assert [engines.small.ask(Exchange(path)).status for path in ("/health", "/metrics")] == [200, 200]


async def test_a_clients_own_key_ends_at_the_router(engines: Engines, tmp_path):
    async with EngineRouter(tmp_path, engines) as router:
        answer = await (await router.ready()).ask("authorization: Bearer a-clients-own-key", max_tokens=1)
    assert answer.status == 200


async def test_a_router_without_the_ring_tells_its_client_nothing_of_engines_keys(engines: Engines, tmp_path):
    async with EngineRouter(tmp_path, engines) as router:
        await router.ready()
        answer = await router.ask(f"authorization: Bearer {FIRST_RING['next']}", max_tokens=1)
    assert answer.status == 200


def test_no_key_is_in_arguments_variables_or_logs(engines: Engines):
    for pod in (engines.large, engines.small):
        told = [pod.said(), " ".join(pod.container.engine_arguments()), str(pod.container.status())]
        told += [Path(f"/proc/{pid}/environ").read_text() for pid in (pod.container.engine_pid(), pod.core())]
        assert [key for key in FIRST_RING.values() for text in told if key in text] == []


async def test_an_idle_engine_is_asked_for_a_token_with_a_key(engines: Engines, tmp_path):
    generated = _generated(engines)
    async with EngineRouter(tmp_path, engines, breaker={"probeIdleSeconds": 0.1}) as router:
        await router.ready()
        await eventually_async(lambda: asyncio.to_thread(lambda: _generated(engines) >= generated + 2))
        assert set((await router.metrics("breaker_open")).values()) == {0.0}


def _generated(engines: Engines) -> float:
    """Tokens that both engines have generated."""
    lines = "\n".join(pod.metrics() for pod in (engines.large, engines.small)).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:generation_tokens_total{"))
