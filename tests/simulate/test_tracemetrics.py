"""A trace pulled from Prometheus: what a fleet was asked for, as its own planner has seen it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from heterofleet.api.labels import FleetKey
from heterofleet.api.routing import RequestClass
from heterofleet.metrics import rules
from heterofleet.metrics.samples import Loss, Lost, Run, Sample
from heterofleet.simulate import tracemetrics
from heterofleet.simulate.trace import InvalidTrace
from heterofleet.simulate.tracemetrics import NoAnswer

FLEET = FleetKey("prod", "chat")
BEGIN = datetime(2026, 1, 5, 8, tzinfo=UTC)
END = BEGIN + timedelta(minutes=3)
RATES: Mapping[str, tuple[float, ...]] = {
    rules.OFFERED_PROMPT: (10.0, 20.0, np.nan, 40.0),
    rules.OFFERED_COMPLETION: (1.0, 2.0, 3.0, 4.0),
    rules.DEMAND: (0.5, 0.5, 0.5, 0.5),
}


class Remembered:
    """A Prometheus that has seen one class of one fleet."""

    def __init__(self, rates: Mapping[str, tuple[float, ...]], lost: Lost | None = None) -> None:
        self._rates, self._lost = rates, lost

    async def instant(self, expression: str) -> tuple[Sample, ...] | Lost:
        raise AssertionError(f"nobody asks for the present: {expression}")

    async def over_time(self, expression: str, start: float, end: float, step_seconds: float) -> tuple[Run, ...] | Lost:
        assert (start, end, step_seconds) == (BEGIN.timestamp(), END.timestamp(), 60.0)
        if self._lost is not None:
            return self._lost
        labels = {"namespace": "prod", "fleet": "chat", "class": "plan"}
        times = BEGIN.timestamp() + 60.0 * np.arange(4, dtype=np.float64)
        return tuple(Run(labels, times, np.array(rate)) for name, rate in self._rates.items() if name in expression)


async def test_rates_a_second_become_tokens_a_minute_and_gaps_stay_unknown() -> None:
    trace = await tracemetrics.of(Remembered(RATES), "http://prometheus", FLEET, BEGIN, END)
    plan = trace.classes[RequestClass.PLAN]
    assert (trace.start, trace.minutes) == (BEGIN, 4)
    assert plan.prompt_tokens.tolist() == pytest.approx([600.0, 1200.0, np.nan, 2400.0], nan_ok=True)
    assert plan.output_tokens.tolist() == pytest.approx([60.0, 120.0, np.nan, 240.0], nan_ok=True)
    assert plan.requests.tolist() == pytest.approx([30.0, 30.0, np.nan, 30.0], nan_ok=True)
    assert trace.classes[RequestClass.ACT].requests.tolist() == [0.0] * 4


async def test_a_fleet_that_is_not_known_there_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidTrace, match="no load of fleet chat in namespace prod is known there: let its routers"):
        await tracemetrics.of(Remembered({}), "http://prometheus", FLEET, BEGIN, END)


async def test_a_loss_is_told_in_its_own_sentence() -> None:
    lost = Lost(Loss.SLOW, "it did not answer within 10 s")
    with pytest.raises(NoAnswer, match="it did not answer within 10 s"):
        await tracemetrics.of(Remembered(RATES, lost), "http://prometheus", FLEET, BEGIN, END)


def test_what_is_no_address_is_refused_with_what_to_write() -> None:
    with pytest.raises(InvalidTrace, match="is no address of a Prometheus: write http://HOST:PORT"):
        tracemetrics.read("http://user:secret@host", FLEET, BEGIN, END)
