"""Who may write and until when, in virtual time, with two processes and a server that fails."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from heterofleet.cluster import errors
from heterofleet.cluster.objects import Ref
from heterofleet.control import leader
from heterofleet.control.leader import Election, LeaseLost
from heterofleet.control.settings import LeaseSettings
from unit import virtual
from unit.memory import MemoryCluster

SETTINGS = LeaseSettings(namespace="ns", name="lease")
REF = Ref(leader.API_VERSION, leader.KIND, "ns", "lease")
DOWN = errors.Unavailable("the server does not answer")


def candidate(cluster: MemoryCluster, name: str) -> Election:
    loop = asyncio.get_running_loop()
    start = loop.time()
    return Election(
        cluster,
        SETTINGS,
        name,
        clock=loop.time,
        wall_clock=lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=loop.time() - start),
        jitter=lambda: 0.0,
    )


def holder(cluster: MemoryCluster) -> str:
    name: str = cluster.objects[REF]["spec"]["holderIdentity"]
    return name


async def cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def test_the_first_comer_leads_and_renews() -> None:
    async def scenario() -> None:
        cluster = MemoryCluster()
        election = candidate(cluster, "a")
        assert election.write_seconds_left() == 0
        task = asyncio.create_task(election.run())
        await asyncio.sleep(100.5)
        assert (holder(cluster), election.leading.is_set()) == ("a", True)
        assert 8 <= election.write_seconds_left() <= 10
        assert cluster.objects[REF]["spec"] == {
            "holderIdentity": "a",
            "leaseDurationSeconds": 15,
            "acquireTime": "2026-01-01T00:00:00.000000Z",
            "renewTime": "2026-01-01T00:01:40.000000Z",
            "leaseTransitions": 0,
        }
        await cancelled(task)

    virtual.run(scenario())


def test_a_second_waits_as_long_as_the_first_renews() -> None:
    async def scenario() -> None:
        cluster = MemoryCluster()
        first, second = candidate(cluster, "a"), candidate(cluster, "b")
        tasks = [asyncio.create_task(first.run()), asyncio.create_task(second.run())]
        await asyncio.sleep(300)
        assert (holder(cluster), second.leading.is_set(), second.write_seconds_left()) == ("a", False, 0)
        for task in tasks:
            await cancelled(task)

    virtual.run(scenario())


def test_a_second_follows_a_dead_one_after_the_duration() -> None:
    async def scenario() -> float:
        cluster = MemoryCluster()
        first, second = candidate(cluster, "a"), candidate(cluster, "b")
        dead = asyncio.create_task(first.run())
        task = asyncio.create_task(second.run())
        await asyncio.sleep(30)
        await cancelled(dead)
        died = asyncio.get_running_loop().time()
        await second.leading.wait()
        assert cluster.objects[REF]["spec"]["leaseTransitions"] == 1
        await cancelled(task)
        return asyncio.get_running_loop().time() - died

    assert 13 <= virtual.run(scenario()) <= 17


def test_a_released_lease_is_taken_at_the_next_look() -> None:
    async def scenario() -> float:
        cluster = MemoryCluster()
        first, second = candidate(cluster, "a"), candidate(cluster, "b")
        task_a, task_b = asyncio.create_task(first.run()), asyncio.create_task(second.run())
        await asyncio.sleep(30)
        await cancelled(task_a)
        await first.release()
        assert first.write_seconds_left() == 0
        released = asyncio.get_running_loop().time()
        await second.leading.wait()
        await cancelled(task_b)
        return asyncio.get_running_loop().time() - released

    assert virtual.run(scenario()) <= 2


def test_a_leader_that_cannot_renew_falls_silent_before_anybody_may_follow() -> None:
    async def scenario() -> None:
        cluster = MemoryCluster()
        first, second = candidate(cluster, "a"), candidate(cluster, "b")
        task_a, task_b = asyncio.create_task(first.run()), asyncio.create_task(second.run())
        await asyncio.sleep(30)
        cut_off = {id(task_a)}
        cluster.refuse = lambda _verb, _ref: DOWN if id(asyncio.current_task()) in cut_off else None
        while not second.leading.is_set():
            await asyncio.sleep(0.1)
            assert not (first.write_seconds_left() > 0 and second.write_seconds_left() > 0)
        with pytest.raises(LeaseLost):
            await task_a
        await cancelled(task_b)

    virtual.run(scenario())


def test_a_stopped_leader_finds_its_time_run_out_when_it_wakes_up() -> None:
    async def scenario() -> None:
        cluster = MemoryCluster()
        loop = asyncio.get_running_loop()
        asleep = 0.0
        first = Election(cluster, SETTINGS, "a", clock=lambda: loop.time() + asleep)
        task = asyncio.create_task(first.run())
        await asyncio.sleep(31)
        assert first.write_seconds_left() > 0
        asleep = 11.0  # As after SIGSTOP: the clock went on, nothing else did.
        assert first.write_seconds_left() == 0
        with pytest.raises(LeaseLost):
            await task
        assert not first.leading.is_set()

    virtual.run(scenario())


def test_a_leader_does_not_write_over_another_holder() -> None:
    async def scenario() -> None:
        cluster = MemoryCluster()
        election = candidate(cluster, "a")
        task = asyncio.create_task(election.run())
        await asyncio.sleep(5)
        lease = cluster.objects[REF]
        await cluster.replace({**lease, "spec": {**lease["spec"], "holderIdentity": "thief"}})
        with pytest.raises(LeaseLost, match="held by thief"):
            await task
        assert (holder(cluster), election.write_seconds_left()) == ("thief", 0)

    virtual.run(scenario())


def test_a_touched_lease_is_read_again_and_kept() -> None:
    async def scenario() -> None:
        cluster = MemoryCluster()
        election = candidate(cluster, "a")
        task = asyncio.create_task(election.run())
        await asyncio.sleep(5)
        await cluster.merge_patch(REF, {"metadata": {"annotations": {"by": "a person"}}})
        await asyncio.sleep(30)
        assert (holder(cluster), election.leading.is_set()) == ("a", True)
        assert cluster.objects[REF]["metadata"]["annotations"] == {"by": "a person"}
        await cancelled(task)

    virtual.run(scenario())


def test_a_deleted_lease_is_made_again_by_its_leader() -> None:
    async def scenario() -> None:
        cluster = MemoryCluster()
        election = candidate(cluster, "a")
        task = asyncio.create_task(election.run())
        await asyncio.sleep(5)
        await cluster.delete(REF)
        await asyncio.sleep(10)
        assert (holder(cluster), election.leading.is_set()) == ("a", True)
        await cancelled(task)

    virtual.run(scenario())


def test_an_answer_that_never_came_does_not_lock_out_its_sender() -> None:
    async def scenario() -> str:
        cluster = MemoryCluster()
        election = candidate(cluster, "a")
        await cluster.create(election._new())
        task = asyncio.create_task(election.run())
        await election.leading.wait()
        await cancelled(task)
        return str(cluster.objects[REF]["metadata"]["resourceVersion"])

    assert virtual.run(scenario()) == "3"


def test_an_outage_shorter_than_the_deadline_costs_nothing() -> None:
    async def scenario() -> None:
        cluster = MemoryCluster()
        election = candidate(cluster, "a")
        task = asyncio.create_task(election.run())
        await asyncio.sleep(20)
        cluster.refuse = lambda _verb, _ref: DOWN
        await asyncio.sleep(7)
        cluster.refuse = lambda _verb, _ref: None
        await asyncio.sleep(60)
        assert election.leading.is_set()
        await cancelled(task)

    virtual.run(scenario())
