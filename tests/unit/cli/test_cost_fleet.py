"""`heterofleet cost FLEET`: what a fleet of the cluster costs by its status, and what a Prometheus adds."""

from collections.abc import Mapping
from typing import Any

import pytest

from heterofleet.api.labels import FleetKey
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import costfleet, costtable, terminal
from heterofleet.cli.costfleet import LastHour
from heterofleet.cli.costsheet import Row
from heterofleet.cli.errors import CliError
from heterofleet.metrics.samples import Loss, Lost, Run, Sample
from unit.cli import planned

HELD = {
    "large": {"summary": "2/2", "desired": 2, "ready": 2, "gpus": 64, "capacityTokensPerSecond": 2400},
    "small": {"summary": "12/12", "desired": 12, "ready": 12, "gpus": 12, "capacityTokensPerSecond": 1200},
}
FORECAST = {
    "plan": {"tokensPerSecond": 6600, "expectedTokensPerSecond": 4100, "windowSeconds": 415},
    "act": {"tokensPerSecond": 13000, "expectedTokensPerSecond": 9700, "windowSeconds": 160},
}


def fleet(**status: Any) -> HeterogeneousDeployment:
    return HeterogeneousDeployment.parse(planned.fleet(status=HELD | status))


def rounded(row: Row) -> Row:
    return Row(row.system, *(None if value is None else round(value, 6) for value in row[1:]))


def test_the_fleet_is_held_against_the_fleets_of_one_model_that_its_load_asks_for() -> None:
    made = costfleet.of(fleet(forecast=FORECAST))
    tokens_an_hour = 13_800 * 3600

    def row(name: str, gpus: int) -> Row:
        usd = gpus * 2.2
        return Row(name, None, gpus, usd / tokens_an_hour * 1e6, usd * 24)

    assert [rounded(each) for each in made.rows] == [
        rounded(row("all large", 9 * 32)),
        rounded(row("all small", 17)),
        rounded(row("mixed", 76)),
    ]
    assert made.saving == pytest.approx(1 - 76 / 288)
    assert made.sentences == (
        "The mixed fleet saves 73.6% against large models alone.",
        "It has fewer instances than its load needs (large 2 of 3), and is held against fleets that have enough.",
    )


def test_without_a_forecast_only_what_is_held_is_told() -> None:
    made = costfleet.of(fleet())
    assert [rounded(each) for each in made.rows] == [
        Row("all large"),
        Row("all small"),
        Row("mixed", gpus=76, usd_per_day=4012.8),
    ]
    assert made.saving is None
    assert "not forecast yet" in made.basis
    assert "-" in terminal.text(costtable.sheet(made)).splitlines()[3]


def test_a_fleet_without_prices_costs_nobody_knows_what() -> None:
    body = planned.fleet(status=HELD)
    del body["spec"]["large"]["price"]
    with pytest.raises(CliError, match=r"fleet chat has no price of a GPU: set spec\.large\.price\.usdPerGpuHour"):
        costfleet.of(HeterogeneousDeployment.parse(body))


def test_fleet_money_and_tenant_money_stand_in_lines_of_their_own() -> None:
    told = terminal.text(costtable.hour(LastHour(3.4e-6, 12.5, 40.0)))
    assert told.splitlines() == [
        "Fleet money of the last hour: 3.40 USD a million completion tokens.",
        "Tenant money of the last hour, at posted prices: 12.50 USD (40.00 as all large).",
    ]
    assert terminal.text(costtable.hour(LastHour())) == (
        "What a token cost in the last hour is not known: no completion token was counted.\n"
    )


class Played:
    """A Prometheus that answers by a piece of the question."""

    def __init__(self, answers: Mapping[str, float | Lost]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def instant(self, expression: str) -> tuple[Sample, ...] | Lost:
        self.asked.append(expression)
        found = [answer for piece, answer in self.answers.items() if piece in expression]
        if not found:
            return ()
        return found[0] if isinstance(found[0], Lost) else (Sample({}, 0.0, found[0]),)

    async def over_time(self, expression: str, start: float, end: float, step_seconds: float) -> tuple[Run, ...] | Lost:
        raise NotImplementedError


CHAT = FleetKey("prod", "chat")


async def test_the_cost_of_a_token_is_fleet_money_over_completion_tokens_of_one_hour() -> None:
    known = {"cost_usd_per_hour": 167.2, "completion_tokens": 2e7, "cost_usd_total": 12.5, "cost_all_large": 40.0}
    prometheus = Played(known)
    assert await costfleet.last_hour(prometheus, CHAT) == LastHour(167.2 / 2e7, 12.5, 40.0)
    assert all('{namespace="prod",fleet="chat"}[1h]' in expression for expression in prometheus.asked)


async def test_what_a_prometheus_does_not_know_is_not_told() -> None:
    assert await costfleet.last_hour(Played({"cost_usd_per_hour": 167.2}), CHAT) == LastHour()
    nothing_answered = {"cost_usd_per_hour": 167.2, "completion_tokens": 0.0, "cost_usd_total": float("nan")}
    assert await costfleet.last_hour(Played(nothing_answered), CHAT) == LastHour()


async def test_a_prometheus_that_is_empty_or_does_not_answer_is_one_sentence() -> None:
    with pytest.raises(CliError, match="Prometheus knows nothing of fleet chat: does it scrape"):
        await costfleet.last_hour(Played({}), CHAT)
    lost = Lost(Loss.UNREACHABLE, "http://p:9090 cannot be asked: refused")
    with pytest.raises(CliError, match="cannot be asked: refused"):
        await costfleet.last_hour(Played({"sum": lost}), CHAT)
