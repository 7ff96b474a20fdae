"""What is missing, stale or absurd is masked and named; nothing of it is ever zero."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import numpy as np
import pytest

from heterofleet.api.labels import FleetKey
from heterofleet.api.routing import RequestClass
from heterofleet.metrics import rules
from heterofleet.metrics.queries import INSTANT, Signal
from heterofleet.metrics.reader import Reader
from heterofleet.metrics.samples import Loss, Lost, Run, Sample
from heterofleet.metrics.signals import Signals, Tokens
from heterofleet.metrics.source import Source

FLEET = FleetKey("a", "f")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
AT = NOW.timestamp()
LOST = Lost(Loss.FAILED, "it answered 500")

Values = Mapping[Signal, Mapping[tuple[str, ...], float]]

GOOD: Values = {
    Signal.ROUTERS: {(): 2.0},
    Signal.NEWEST_SAMPLE: {(): AT - 45},
    Signal.DEMAND: {("act",): 1.3, ("plan",): 0.1},
    Signal.OFFERED_PROMPT: {("act",): 130.0, ("plan",): 50.0},
    Signal.OFFERED_COMPLETION: {("act",): 29.0, ("plan",): 40.0},
    Signal.HOURLY_PROMPT: {("act",): 100.0, ("plan",): 50.0},
    Signal.HOURLY_COMPLETION: {("act",): 30.0, ("plan",): 40.0},
    Signal.ESCALATED_PROMPT: {("act",): 10.0, ("plan",): 0.0},
    Signal.ESCALATED_COMPLETION: {("act",): 3.0, ("plan",): 0.0},
}


class Played:
    """Answers as it is told to; `asked` holds the questions."""

    def __init__(self, values: Values, lost: tuple[Signal, ...] = (), at: float = AT) -> None:
        self._answers: dict[str, tuple[Sample, ...] | Lost] = {}
        for signal, query in INSTANT.items():
            self._answers[query.expression] = LOST if signal in lost else tuple(
                Sample({"namespace": "a", "fleet": "f", **dict(zip(query.labels, labels, strict=True))}, at, value)
                for labels, value in values.get(signal, {}).items()
            )  # fmt: skip
        self.asked: list[str] = []
        self.over: Callable[[str, float], tuple[Run, ...] | Lost] = lambda _expression, _start: ()

    async def instant(self, expression: str) -> tuple[Sample, ...] | Lost:
        self.asked.append(expression)
        return self._answers[expression]

    async def over_time(self, expression: str, start: float, end: float, step_seconds: float) -> tuple[Run, ...] | Lost:
        self.asked.append(expression)
        return self.over(expression, start)


def reader(played: Played) -> Reader:
    return Reader(played, Source(url="http://prometheus"))


async def read(values: Values, lost: tuple[Signal, ...] = (), routers: int = 2) -> Signals:
    found = await reader(Played(values, lost)).read_all(NOW, {FLEET: routers})
    assert not isinstance(found, Lost)
    return found[FLEET]


async def loss(values: Values, lost: tuple[Signal, ...] = (), at: float = AT) -> Loss | None:
    found = await reader(Played(values, lost, at)).read_all(NOW)
    return found.reason if isinstance(found, Lost) else None


async def test_a_fleet_with_all_its_numbers_misses_nothing():
    found = await read(GOOD)
    assert (found.age_seconds, found.routers, found.missing) == (45.0, 2, ())
    assert found.offered == {RequestClass.PLAN: Tokens(50.0, 40.0), RequestClass.ACT: Tokens(130.0, 29.0)}
    # (3 + 0.1 x 10) / (30 + 0.1 x 100)
    assert found.escalation_rate(0.1) == 0.1


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("signal", [Signal.OFFERED_PROMPT, Signal.OFFERED_COMPLETION])
async def test_an_absurd_load_is_unknown_for_its_class_alone(signal: Signal, value: float):
    found = await read({**GOOD, signal: {**GOOD[signal], ("act",): value}})
    assert set(found.offered) == {RequestClass.PLAN}
    assert found.missing == (f"{signal} of act", "load of class act")


async def test_a_class_of_whose_load_half_is_told_is_unknown():
    found = await read({**GOOD, Signal.OFFERED_COMPLETION: {("plan",): 40.0}})
    assert (set(found.offered), found.missing) == ({RequestClass.PLAN}, ("load of class act",))


@pytest.mark.parametrize(
    ("newest", "missing"), [(AT - 181, "fresh samples"), (AT + 61, "samples of this time"), (AT - 1e9, "fresh samples")]
)
async def test_a_load_of_another_time_is_unknown(newest: float, missing: str):
    found = await read({**GOOD, Signal.NEWEST_SAMPLE: {(): newest}})
    assert (found.offered, found.requests, found.missing) == ({}, {}, (missing,))


async def test_clocks_may_differ_a_little():
    assert (await read({**GOOD, Signal.NEWEST_SAMPLE: {(): AT + 30}})).age_seconds == 0.0


async def test_an_age_that_is_no_number_is_no_age():
    found = await read({**GOOD, Signal.NEWEST_SAMPLE: {(): float("nan")}})
    assert (found.age_seconds, found.offered, found.missing) == (None, {}, ("newest sample", "recording rules"))


async def test_half_of_the_routers_are_not_half_of_the_load():
    found = await read(GOOD, routers=4)
    assert (found.offered, found.missing) == ({}, ("2 of 4 routers",))


async def test_a_signal_that_could_not_be_asked_is_named_and_the_load_is_known():
    found = await read(GOOD, lost=(Signal.ESCALATED_PROMPT, Signal.QUEUE))
    assert found.missing == ("escalated prompt tokens", "queue")
    assert (found.offered, found.escalation_rate(0.1)) == ((await read(GOOD)).offered, None)


async def test_no_act_work_is_no_escalation_rate():
    idle = {("act",): 0.0, ("plan",): 0.0}
    found = await read({**GOOD, Signal.HOURLY_PROMPT: idle, Signal.HOURLY_COMPLETION: idle})
    assert found.escalation_rate(0.1) is None


@pytest.mark.parametrize("signal", [Signal.NEWEST_SAMPLE, Signal.OFFERED_PROMPT, Signal.OFFERED_COMPLETION])
async def test_without_what_a_plan_cannot_do_without_all_is_lost(signal: Signal):
    assert await loss(GOOD, lost=(signal,)) is Loss.FAILED


async def test_what_answers_the_first_question_badly_is_asked_no_more():
    played = Played(GOOD, lost=(Signal.ROUTERS,))
    assert await reader(played).read_all(NOW) == LOST
    assert len(played.asked) == 1


async def test_no_series_of_any_router_is_told_apart_from_no_load():
    assert await loss({}) is Loss.NO_ROUTERS
    assert await loss({Signal.ROUTERS: {(): 2.0}}) is Loss.RULES_MISSING


@pytest.mark.parametrize("seconds", [-61.0, 61.0])
async def test_a_prometheus_whose_clock_is_off_is_lost(seconds: float):
    assert await loss(GOOD, at=AT + seconds) is Loss.CLOCK
    assert await loss(GOOD, at=AT + seconds / 2) is None


async def test_a_fleet_that_has_routers_and_no_load_yet_is_unknown():
    found = await read({Signal.ROUTERS: {(): 2.0}, Signal.NEWEST_SAMPLE: {(): AT}})
    assert (found.offered, found.missing) == ({}, ("load of class plan", "load of class act"))


def runs_at(value: float) -> Callable[[str, float], tuple[Run, ...]]:
    labels = {"namespace": "a", "fleet": "f", "class": "act"}
    return lambda _expression, start: (Run(labels, np.array([start]), np.array([value])),)


async def test_a_day_that_cannot_be_read_is_a_gap_of_the_history():
    played, whole = Played(GOOD), runs_at(2.0)
    began = datetime.fromtimestamp(AT - 2 * 86_400, UTC)
    played.over = lambda expression, start: LOST if start == AT - 86_400 else whole(expression, start)
    found = await reader(played).history([FLEET], began, NOW)
    assert not isinstance(found, Lost)
    act = found[FLEET][RequestClass.ACT]
    assert list(act.points(1.0)) == [(AT - 2 * 86_400, 4.0), (AT, 4.0)]


@pytest.mark.parametrize("reason", [Loss.SLOW, Loss.UNREACHABLE, Loss.DENIED, Loss.BUSY])
async def test_a_history_is_given_up_where_nobody_answers(reason: Loss):
    played = Played(GOOD)
    played.over = lambda _expression, _start: Lost(reason, "no")
    found = await reader(played).history([FLEET], datetime.fromtimestamp(AT - 7 * 86_400, UTC), NOW)
    assert found == Lost(reason, "no")
    assert len(played.asked) == 1


async def test_a_history_of_which_no_day_can_be_read_is_lost():
    played = Played(GOOD)
    played.over = lambda _expression, _start: LOST
    assert await reader(played).history([FLEET], datetime.fromtimestamp(AT - 86_400, UTC), NOW) == LOST


async def test_fleets_share_questions_and_never_too_many_of_them():
    played = Played(GOOD)
    fleets = [FleetKey("a", f"f{number}") for number in range(25)]
    assert await reader(played).history(fleets, datetime.fromtimestamp(AT - 3600, UTC), NOW) == {}
    assert len(played.asked) == 6
    assert all(rules.OFFERED_PROMPT in asked or rules.OFFERED_COMPLETION in asked for asked in played.asked)
