"""GPUs that are free, over all fleets of a process: none is promised twice, other people's pods are counted."""

from datetime import UTC, datetime, timedelta

import pytest

from heterofleet.api import labels
from heterofleet.api.labels import FleetKey, Tier
from heterofleet.cluster.cache import Cache, Listeners
from heterofleet.control.ledger import FOREIGN_SECONDS, PROMISE_SECONDS, Holder, Ledger
from heterofleet.planning.placing import Demand, Places, Shape
from unit.cluster import builders
from unit.memory import MemoryCluster

PAIR = Shape(2, 8)
DEMAND = Demand("nvidia.com/gpu")
A: Holder = (FleetKey("ns", "a"), Tier.LARGE)
B: Holder = (FleetKey("ns", "b"), Tier.LARGE)


class Clock:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster()


@pytest.fixture
def cache() -> Cache:
    made = Cache(Listeners(lambda _: None, lambda _: None, lambda: None, lambda: None))
    for index in range(3):
        made.put(builders.stored(builders.node(f"n{index}"), uid=f"n{index}", owner=None))
    return made


@pytest.fixture
def ledger(cluster: MemoryCluster, cache: Cache, clock: Clock) -> Ledger:
    return Ledger(cluster, cache, clock)


def ours(name: str, node: str, fleet: str) -> dict[str, object]:
    pod = builders.stored(builders.pod(name, node=node, phase="Running"), uid=name)
    pod["metadata"]["labels"] |= {labels.FLEET: fleet, labels.TIER: "large"}
    return pod


async def test_what_one_fleet_was_promised_is_not_there_for_another(ledger: Ledger):
    first = await ledger.reserve(A, DEMAND, PAIR, 1)
    assert first == Places((("n0", "n1"),), 24)
    assert await ledger.reserve(B, DEMAND, PAIR, 1) == Places((), 8, contended=True)
    ledger.release(A)
    assert (await ledger.reserve(B, DEMAND, PAIR, 1)).groups == (("n0", "n1"),)


async def test_a_fleet_that_asks_again_has_its_own_promise_replaced(ledger: Ledger):
    for _ in range(3):
        assert len((await ledger.reserve(A, DEMAND, PAIR, 1)).groups) == 1


async def test_places_of_pods_without_a_node_stay_promised_while_nothing_more_is_wanted(ledger: Ledger):
    await ledger.reserve(A, DEMAND, PAIR, 1)
    assert await ledger.reserve(A, DEMAND, PAIR, 0, unbound=2) == Places((), 8)
    assert (await ledger.reserve(B, DEMAND, PAIR, 1)).groups == ()


async def test_a_promise_ends_when_its_pods_are_bound(ledger: Ledger, cache: Cache):
    await ledger.reserve(A, DEMAND, Shape(1, 8), 1)
    cache.put(ours("a-0", "n2", "a"))
    await ledger.reserve(A, DEMAND, Shape(1, 8), 0, unbound=0)
    assert len((await ledger.reserve(B, DEMAND, Shape(1, 8), 3)).groups) == 2


async def test_a_promise_that_nobody_takes_up_ends_by_itself(ledger: Ledger, clock: Clock):
    await ledger.reserve(A, DEMAND, PAIR, 1)
    clock.now += timedelta(seconds=PROMISE_SECONDS)
    assert len((await ledger.reserve(B, DEMAND, PAIR, 1)).groups) == 1


async def test_other_people_s_pods_are_read_from_the_nodes_and_read_again(
    ledger: Ledger, cluster: MemoryCluster, clock: Clock
):
    theirs = await cluster.create(builders.pod("theirs", node="n0", phase="Running", gpus=2))
    # The memory cluster heeds no field selector: all nodes seem to hold it.
    assert await ledger.reserve(A, DEMAND, PAIR, 1) == Places((), 18)
    cluster.objects.clear()
    assert (await ledger.reserve(A, DEMAND, PAIR, 1)).groups == ()
    clock.now += timedelta(seconds=FOREIGN_SECONDS)
    assert len((await ledger.reserve(A, DEMAND, PAIR, 1)).groups) == 1
    assert theirs["spec"]["nodeName"] == "n0"


async def test_nodes_that_are_cordoned_silent_or_of_another_kind_are_not_counted(ledger: Ledger, cache: Cache):
    cordoned = builders.stored(
        {**builders.node("n0"), "spec": {"unschedulable": True}}, uid="n0", owner=None, version=2
    )
    cache.put(cordoned)
    cache.put(builders.stored(builders.node("n1", ready=False), uid="n1", owner=None, version=2))
    assert await ledger.reserve(A, DEMAND, Shape(1, 8), 3) == Places((("n2",),), 8)
    other = Demand("nvidia.com/gpu", {labels.GPU_PRODUCT: "H200"})
    assert await ledger.reserve(B, other, Shape(1, 8), 3) == Places((), 0, contended=True)
