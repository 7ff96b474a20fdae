"""Which fleet runs when, in virtual time."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from heterofleet.api.labels import FleetKey
from heterofleet.cluster import errors
from heterofleet.control.queue import Queue
from unit import virtual

A, B = FleetKey("ns", "a"), FleetKey("ns", "b")


@dataclass
class Bench:
    """Records when each key ran, from the start of the test; `behave` is what a reconcile does."""

    behave: Callable[[FleetKey], Awaitable[float | None]]
    exists: bool = True
    workers: int = 8
    runs: list[tuple[float, str]] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start = asyncio.get_running_loop().time()
        self.queue = Queue(
            self._reconcile,
            exists=lambda _key: self.exists,
            workers=self.workers,
            resync_seconds=600,
            meter=self,
            jitter=lambda: 0.5,  # none
        )

    def now(self) -> float:
        return asyncio.get_running_loop().time() - self.start

    def reconciled(self, outcome: str, seconds: float) -> None:
        self.outcomes.append(outcome)

    async def _reconcile(self, key: FleetKey) -> float | None:
        self.runs.append((round(self.now(), 3), key.name))
        return await self.behave(key)

    async def run(self, seconds: float) -> None:
        """Runs the queue for a while from the start, then stops it gracefully."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.queue.run())
            await asyncio.sleep(self.start + seconds - asyncio.get_running_loop().time())
            self.queue.stop()


async def succeed(_key: FleetKey) -> None:
    return None


async def fail(_key: FleetKey) -> None:
    raise errors.Invalid("refused", status=422)


def test_a_key_runs_at_once_and_again_after_the_resync() -> None:
    async def scenario() -> list[tuple[float, str]]:
        bench = Bench(succeed)
        bench.queue.add(A)
        await bench.run(1300)
        return bench.runs

    assert virtual.run(scenario()) == [(0, "a"), (600, "a"), (1200, "a")]


def test_a_reconcile_names_when_it_wants_to_run_again() -> None:
    async def soon(_key: FleetKey) -> float:
        return 30

    async def scenario() -> list[tuple[float, str]]:
        bench = Bench(soon)
        bench.queue.add(A)
        await bench.run(70)
        return bench.runs

    assert virtual.run(scenario()) == [(0, "a"), (30, "a"), (60, "a")]


def test_of_several_wishes_the_earliest_counts() -> None:
    async def scenario() -> list[tuple[float, str]]:
        bench = Bench(succeed)
        for delay in (50, 5, 20):
            bench.queue.add(A, delay)
        await bench.run(60)
        return bench.runs

    assert virtual.run(scenario()) == [(5, "a")]


def test_a_key_added_while_it_runs_is_run_once_more() -> None:
    async def scenario() -> list[tuple[float, str]]:
        async def slow(_key: FleetKey) -> None:
            if len(bench.runs) == 1:
                for _ in range(3):
                    bench.queue.add(A)
                    await asyncio.sleep(1)

        bench = Bench(slow)
        bench.queue.add(A)
        await bench.run(60)
        return bench.runs

    assert virtual.run(scenario()) == [(0, "a"), (3, "a")]


def test_one_key_never_runs_twice_at_a_time() -> None:
    running: set[FleetKey] = set()

    async def guarded(key: FleetKey) -> None:
        assert key not in running
        running.add(key)
        await asyncio.sleep(7)
        running.remove(key)

    async def scenario() -> Bench:
        bench = Bench(guarded)
        bench.queue.add(A)
        async with asyncio.TaskGroup() as group:
            group.create_task(bench.run(50))
            for _ in range(40):
                bench.queue.add(A)
                await asyncio.sleep(1)
        return bench

    bench = virtual.run(scenario())
    assert set(bench.outcomes) == {"done"}
    assert [when for when, _ in bench.runs] == [0, 7, 14, 21, 28, 35, 42]


def test_failures_back_off_from_one_second_to_five_minutes() -> None:
    async def scenario() -> list[float]:
        bench = Bench(fail)
        bench.queue.add(A)
        await bench.run(1200)
        return [when for when, _ in bench.runs]

    runs = virtual.run(scenario())
    assert [round(later - earlier) for earlier, later in itertools.pairwise(runs)] == [
        1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300,
    ]  # fmt: skip


def test_backoff_is_jittered_by_a_tenth() -> None:
    async def scenario(jitter: float) -> float:
        bench = Bench(fail)
        bench.queue._jitter = lambda: jitter
        bench.queue.add(A)
        await bench.run(5)
        return bench.runs[2][0] - bench.runs[1][0]

    assert [round(virtual.run(scenario(jitter)), 3) for jitter in (0.0, 0.5, 1.0)] == [1.8, 2.0, 2.2]


def test_a_success_resets_the_backoff() -> None:
    async def scenario() -> list[float]:
        async def third_time_lucky(key: FleetKey) -> None:
            if len(bench.runs) != 3:
                await fail(key)

        bench = Bench(third_time_lucky)
        bench.queue.add(A)
        await bench.run(610)
        return [when for when, _ in bench.runs]

    assert virtual.run(scenario()) == [0, 1, 3, 603, 604, 606]


def test_a_change_of_a_failing_fleet_waits_a_second_and_not_minutes() -> None:
    async def scenario() -> list[float]:
        bench = Bench(fail)
        bench.queue.add(A)
        async with asyncio.TaskGroup() as group:
            group.create_task(bench.run(45))
            await asyncio.sleep(31.5)  # The last failure was at 31, the next try would be at 63.
            bench.queue.add(A)
        return [when for when, _ in bench.runs]

    assert virtual.run(scenario()) == [0, 1, 3, 7, 15, 31, 32]


def test_any_error_of_one_fleet_leaves_the_others_alone() -> None:
    async def broken(key: FleetKey) -> None:
        if key == A:
            raise ZeroDivisionError

    async def scenario() -> Bench:
        bench = Bench(broken)
        bench.queue.add(A)
        bench.queue.add(B)
        await bench.run(0.5)
        return bench

    bench = virtual.run(scenario())
    assert (bench.runs, sorted(bench.outcomes)) == ([(0, "a"), (0, "b")], ["done", "failed"])


def test_a_healthy_edit_does_not_wait_behind_fifty_failing_fleets() -> None:
    failing = [FleetKey("ns", f"f{index}") for index in range(50)]

    async def slow_failure(key: FleetKey) -> None:
        if key != A:
            await asyncio.sleep(30)
            await fail(key)

    async def scenario() -> float:
        bench = Bench(slow_failure)
        for key in failing:
            bench.queue.add(key)
        edited = 300.0
        async with asyncio.TaskGroup() as group:
            group.create_task(bench.run(400))
            await asyncio.sleep(edited)
            bench.queue.add(A)
        return next(when for when, name in bench.runs if name == "a") - edited

    assert virtual.run(scenario()) == 0


def test_changes_go_before_routine() -> None:
    async def slow(_key: FleetKey) -> None:
        await asyncio.sleep(1)

    async def scenario() -> list[str]:
        bench = Bench(slow, workers=1)
        for name in ("r1", "r2", "r3"):
            bench.queue.add(FleetKey("ns", name), urgent=False)
        bench.queue.add(FleetKey("ns", "changed"))
        bench.queue.add(FleetKey("ns", "r3"))  # A change of a fleet that waits in routine moves it up.
        await bench.run(10)
        return [name for _, name in bench.runs]

    assert virtual.run(scenario()) == ["changed", "r3", "r1", "r2"]


def test_workers_bound_what_runs_at_a_time() -> None:
    running = 0
    most = 0

    async def count(_key: FleetKey) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1

    async def scenario() -> None:
        bench = Bench(count, workers=3)
        for index in range(20):
            bench.queue.add(FleetKey("ns", str(index)))
        assert bench.queue.depth() == 0  # Nothing is due before the queue runs.
        await bench.run(30)
        assert len(bench.runs) == 20

    virtual.run(scenario())
    assert most == 3


def test_a_fleet_that_is_gone_runs_once_and_is_forgotten() -> None:
    async def scenario() -> list[tuple[float, str]]:
        bench = Bench(fail, exists=False)
        bench.queue.add(A)
        await bench.run(700)
        assert bench.queue.failing() == 0
        return bench.runs

    assert virtual.run(scenario()) == [(0, "a")]


def test_a_reconcile_that_hangs_is_cut_off() -> None:
    async def hang(_key: FleetKey) -> None:
        await asyncio.sleep(3600)

    async def scenario() -> Bench:
        bench = Bench(hang)
        bench.queue.add(A)
        await bench.run(121.5)
        return bench

    bench = virtual.run(scenario())
    assert [when for when, _ in bench.runs] == [0, 121]


def test_a_stop_lets_running_reconciles_finish_and_starts_no_other() -> None:
    finished: list[str] = []

    async def slow(key: FleetKey) -> None:
        await asyncio.sleep(10)
        finished.append(key.name)

    async def scenario() -> None:
        bench = Bench(slow, workers=1)
        bench.queue.add(A)
        bench.queue.add(B, delay=1)
        await bench.run(5)
        assert bench.now() == pytest.approx(10)

    virtual.run(scenario())
    assert finished == ["a"]


def test_the_timeline_stays_bounded_under_steady_changes() -> None:
    async def scenario() -> int:
        bench = Bench(succeed)
        async with asyncio.TaskGroup() as group:
            group.create_task(bench.run(500))
            for _ in range(4000):
                bench.queue.add(A)
                await asyncio.sleep(0.1)
        return len(bench.queue._timeline)

    assert virtual.run(scenario()) < 1100
