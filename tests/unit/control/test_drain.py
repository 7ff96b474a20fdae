"""The proof that an instance holds no request: two looks in a row, and what cannot be read is busy."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from heterofleet.api import labels
from heterofleet.api.conditions import LastDrain
from heterofleet.cluster.records import PodRecord
from heterofleet.control.drain import Drains
from heterofleet.metrics.scrape import RouterAnswer, SupervisorAnswer
from unit.cluster import builders
from unit.memory import MemoryCluster

START = datetime(2026, 1, 1, tzinfo=UTC)


class Engines:
    """Answers as a test sets them."""

    def __init__(self) -> None:
        self.engine: int | None = 0
        self.routers: dict[str, int | None] = {}

    async def engine_in_flight(self, address: str) -> int | None:
        return self.engine

    async def router_in_flight(self, router: str, endpoint: str) -> int | None:
        return self.routers[router]

    async def router_config(self, router: str) -> RouterAnswer | None:
        return None

    async def epochs_agree(self, addresses: tuple[str, ...]) -> bool | None:
        return None

    async def supervisor(self, address: str) -> SupervisorAnswer | None:
        return None


def pod(name: str = "a") -> PodRecord:
    made = PodRecord.of(builders.stored(builders.pod(name, node="n", phase="Running"), uid=name))
    deadline = (START + timedelta(seconds=300)).isoformat()
    marks = {labels.DRAIN_DEADLINE: deadline}
    return replace(made, ready=True, started=True, ip=f"ip-{name}", annotations=marks)


@pytest.fixture
def engines() -> Engines:
    return Engines()


@pytest.fixture
def drains(engines: Engines) -> Drains:
    return Drains(MemoryCluster(), engines)


async def look(
    drains: Drains, seconds: float, *routers: PodRecord, drained: PodRecord | None = None
) -> LastDrain | None:
    return await drains.look("large-0", drained or pod(), routers, START + timedelta(seconds=seconds))


async def test_it_is_empty_after_two_looks_that_find_nothing_and_not_in_its_first_two_seconds(drains: Drains):
    assert [await look(drains, t) for t in (0, 1, 1.9)] == [None, None, None]
    assert await look(drains, 2) is None
    proof = await look(drains, 3)
    assert proof == LastDrain(instance="large-0", in_flight_at_start=0, completed=START + timedelta(seconds=3))


async def test_two_looks_in_the_same_moment_are_one(drains: Drains):
    await look(drains, 0)
    assert [await look(drains, 2), await look(drains, 2.1)] == [None, None]
    assert await look(drains, 2.6) is not None


async def test_a_request_between_two_empty_looks_starts_the_count_anew(drains: Drains, engines: Engines):
    await look(drains, 0)
    engines.engine = 5
    assert await look(drains, 2) is None
    engines.engine = 0
    assert await look(drains, 3) is None
    engines.engine = 1
    assert await look(drains, 4) is None
    engines.engine = 0
    assert await look(drains, 5) is None
    proof = await look(drains, 6)
    assert proof is not None
    assert (proof.in_flight_at_start, proof.aborted) == (5, False)


async def test_a_silent_engine_and_a_silent_router_are_busy_until_the_deadline(drains: Drains, engines: Engines):
    router = pod("router")
    engines.routers["ip-router"] = None
    await look(drains, 0, router)
    assert [await look(drains, t, router) for t in (2, 3, 4, 299)] == [None] * 4
    proof = await look(drains, 300, router)
    assert proof is not None
    assert (proof.aborted, proof.in_flight_at_start) == (True, None)
    assert "deadline" in proof.reason


async def test_what_only_a_router_has_under_way_counts(drains: Drains, engines: Engines):
    router = pod("router")
    engines.routers["ip-router"] = 1
    await look(drains, 0, router)
    assert [await look(drains, t, router) for t in (2, 3, 4)] == [None] * 3
    assert await drains.in_flight(pod(), [router]) == 1
    away = replace(router, ready=False)
    assert await drains.in_flight(pod(), [away]) == 0, "a router that is not ready gets no requests to pass on"


async def test_a_container_that_does_not_run_holds_nothing_but_one_that_is_only_unready_may(
    drains: Drains, engines: Engines
):
    engines.engine = None
    unready = replace(pod("b"), ready=False)
    assert await look(drains, 0, drained=unready) is None
    assert await look(drains, 5, drained=unready) is None
    assert await look(drains, 0, drained=replace(pod("c"), started=False, ready=False)) is not None
    assert await look(drains, 0, drained=replace(pod("d"), deleting_since=START)) is not None
