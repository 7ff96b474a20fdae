"""What is said of instances that start, and how often they are asked."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from heterofleet.api.labels import FleetKey
from heterofleet.cluster.records import PodRecord
from heterofleet.control import progress
from heterofleet.control.progress import Progress
from heterofleet.metrics.scrape import Download, RouterAnswer, SupervisorAnswer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = FleetKey("ns", "chat")
GIB = 2**30


def pod(name: str, **status: Any) -> PodRecord:
    conditions = [{"type": "Ready", "status": str(status.pop("ready", False))}]
    return PodRecord.of(
        {
            "metadata": {
                "name": name,
                "namespace": "ns",
                "uid": name,
                "resourceVersion": "1",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"apps.kubernetes.io/pod-index": name.rpartition("-")[2]},
            },
            "spec": {"containers": [{"name": "engine"}]},
            "status": {"podIP": name, "phase": "Running", "conditions": conditions, **status},
        }
    )


@dataclass
class Engines:
    answers: dict[str, SupervisorAnswer | None] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def supervisor(self, address: str) -> SupervisorAnswer | None:
        self.asked.append(address)
        return self.answers.get(address)

    async def engine_in_flight(self, address: str) -> int | None:
        raise AssertionError(address)

    async def router_in_flight(self, router: str, endpoint: str) -> int | None:
        raise AssertionError(router)

    async def router_config(self, router: str) -> RouterAnswer | None:
        raise AssertionError(router)

    async def epochs_agree(self, addresses: tuple[str, ...]) -> bool | None:
        raise AssertionError(addresses)


def downloading(done: int, total: int, state: str = "downloading") -> SupervisorAnswer:
    return SupervisorAnswer(phase="downloading", download=Download(state=state, bytes=done, total=total))


def test_words_round_a_share_down_so_that_status_is_written_rarely():
    assert progress.words(downloading(49 * GIB, 100 * GIB)) == "downloads its model, 45 % of 100 GiB"
    assert progress.words(downloading(5, 0)) == "downloads its model"
    assert progress.words(downloading(0, 9, "waiting")) == "waits for another pod's download of the same model"
    waiting = SupervisorAnswer(phase="waiting-for-peers", sentence="waits for ranks 2 and 3")
    assert progress.words(waiting) == "waits for ranks 2 and 3"
    assert progress.words(SupervisorAnswer(phase="serving", sentence="x")) == ""
    assert progress.words(None) == ""


async def test_only_pods_that_start_are_asked_and_each_rarely():
    engines = Engines({"p-1": downloading(GIB, 10 * GIB)})
    watch = Progress(engines)
    pods = [pod("p-0", ready=True), pod("p-1"), pod("p-2")]
    said = {"p-1": "downloads its model, 10 % of 10 GiB"}
    assert await watch.of(KEY, pods, NOW) == said
    assert await watch.of(KEY, pods, NOW + timedelta(seconds=9)) == said
    assert engines.asked == ["p-1", "p-2"]
    await watch.of(KEY, pods, NOW + timedelta(seconds=10))
    assert engines.asked == ["p-1", "p-2"] * 2
    assert watch.wake_at(KEY, NOW) == NOW + timedelta(seconds=10)
    assert await watch.of(KEY, [pod("p-1", ready=True)], NOW + timedelta(seconds=11)) == {}
    assert watch.wake_at(KEY, NOW) is None


def test_a_group_is_as_far_as_its_lowest_rank_that_says_something():
    pods = [pod("p-2"), pod("p-1"), pod("p-0")]
    assert progress.of_instance(pods, {"p-2": "b", "p-1": "a"}) == "rank 1 a"
    assert progress.of_instance(pods, {}) == ""
