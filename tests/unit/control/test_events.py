"""Which Events are written, and that each is said once."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from heterofleet.api.labels import Manifest
from heterofleet.cluster import errors
from heterofleet.control import events
from heterofleet.control.events import Events
from unit import virtual
from unit.cluster.builders import fleet, stored
from unit.memory import MemoryCluster

FLEET = stored(fleet(), uid="u", owner=None)


class Dropped:
    def __init__(self) -> None:
        self.count = 0

    def dropped_event(self) -> None:
        self.count += 1


def play(scenario: Callable[[Events, MemoryCluster], Awaitable[None]]) -> tuple[list[Manifest], MemoryCluster, int]:
    """Runs a scenario against a running sink; gives the Events in the cluster, the cluster, and the drops."""

    async def run() -> tuple[list[Manifest], MemoryCluster, int]:
        cluster, dropped = MemoryCluster(), Dropped()
        sink = Events(
            cluster,
            dropped,
            "operator-1",
            clock=asyncio.get_running_loop().time,
            wall_clock=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        )
        task = asyncio.create_task(sink.run())
        await scenario(sink, cluster)
        await sink.flush()
        task.cancel()
        return list(cluster.objects.values()), cluster, dropped.count

    return virtual.run(run())


def tell(sink: Events, message: str = "2 of 2 groups are ready.") -> None:
    sink.emit(FLEET, kind="Normal", reason="Ready", message=message)


def test_an_event_says_all_that_kubectl_shows() -> None:
    async def once(sink: Events, _cluster: MemoryCluster) -> None:
        tell(sink)

    (written,), _, _ = play(once)
    metadata = written.pop("metadata")
    assert metadata["name"].startswith("chat.")
    assert written == {
        "apiVersion": "v1",
        "kind": "Event",
        "involvedObject": {
            "apiVersion": "heterofleet.io/v1alpha1",
            "kind": "HeterogeneousDeployment",
            "namespace": "ns",
            "name": "chat",
            "uid": "u",
        },
        "type": "Normal",
        "reason": "Ready",
        "message": "2 of 2 groups are ready.",
        "source": {"component": "heterofleet-operator"},
        "reportingComponent": "heterofleet-operator",
        "reportingInstance": "operator-1",
        "firstTimestamp": "2026-01-02T03:04:05Z",
        "lastTimestamp": "2026-01-02T03:04:05Z",
        "count": 1,
    }


def test_a_repeat_is_dropped_and_another_sentence_is_not() -> None:
    async def scenario(sink: Events, _cluster: MemoryCluster) -> None:
        for _ in range(5):
            tell(sink)
            await asyncio.sleep(1)
        tell(sink, "1 of 2 groups is ready.")

    _, cluster, _ = play(scenario)
    assert [verb for verb, _ in cluster.written()] == ["create", "create"]


def test_a_later_repeat_raises_the_count() -> None:
    async def scenario(sink: Events, _cluster: MemoryCluster) -> None:
        for _ in range(3):
            tell(sink)
            await asyncio.sleep(events.QUIET_SECONDS + 1)

    (written,), _, _ = play(scenario)
    assert written["count"] == 3


def test_an_event_that_the_server_forgot_is_written_again() -> None:
    async def scenario(sink: Events, cluster: MemoryCluster) -> None:
        tell(sink)
        await asyncio.sleep(events.QUIET_SECONDS + 1)
        cluster.objects.clear()
        tell(sink)

    (written,), _, _ = play(scenario)
    assert written["reason"] == "Ready"


def test_a_restarted_operator_finds_its_event_again() -> None:
    async def scenario(sink: Events, cluster: MemoryCluster) -> None:
        tell(sink)
        await sink.flush()
        successor = Events(cluster, Dropped(), "operator-2", clock=asyncio.get_running_loop().time)
        task = asyncio.create_task(successor.run())
        tell(successor)
        await successor.flush()
        task.cancel()

    everything, _, _ = play(scenario)
    assert len(everything) == 1


def test_what_waits_is_bounded_and_the_loss_is_counted() -> None:
    async def scenario(sink: Events, _cluster: MemoryCluster) -> None:
        for index in range(events.MOST_WAITING + 7):
            tell(sink, f"sentence {index}")

    everything, _, dropped = play(scenario)
    assert (len(everything), dropped) == (events.MOST_WAITING, 7)


def test_an_event_that_cannot_be_written_stops_nothing() -> None:
    async def scenario(sink: Events, cluster: MemoryCluster) -> None:
        cluster.refuse = lambda _verb, _ref: errors.Forbidden("no", status=403)
        tell(sink, "lost")
        await sink.flush()
        cluster.refuse = lambda _verb, _ref: None
        tell(sink, "written")

    everything, _, _ = play(scenario)
    assert [event["message"] for event in everything] == ["written"]
