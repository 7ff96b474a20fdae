"""`heterofleet cost FLEET`: what a fleet of the cluster costs by its status, and what a Prometheus adds."""

from typing import Any

import pytest

from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import costfleet, costtable, terminal
from heterofleet.cli.costfleet import LastHour
from heterofleet.cli.costsheet import Row
from heterofleet.cli.errors import CliError
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
