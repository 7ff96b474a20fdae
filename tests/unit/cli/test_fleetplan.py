"""`status FLEET` tells the plan: what was decided, by what, and what it stands on."""

from datetime import UTC, datetime, timedelta
from io import StringIO

from rich.console import Console

from heterofleet.api.conditions import FleetStatus
from heterofleet.cli import fleetplan

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SMALL = "at most 13,000 work tokens/s are forecast within 160 s: 12 at 1,200 each"
STATUS = {
    "large": {"capacityTokensPerSecond": 2400, "startupSeconds": 415},
    "small": {"capacityTokensPerSecond": 1200, "startupSeconds": 160},
    "plan": {
        "large": {"instances": 2, "need": 3, "bound": "GpuBudget", "message": "gpuBudget 96: 2 of 3"},
        "small": {"instances": 12, "need": 12, "bound": "Forecast", "message": SMALL},
        "bias": -0.1,
        "degrade": "PreferSmall",
    },
    "forecast": {"act": {"tokensPerSecond": 13000, "expectedTokensPerSecond": 11000, "windowSeconds": 160}},
    "learned": {"escalationRate": 0.034},
    "cost": {"savingsRatio": "0.62"},
    "decisions": [
        {
            "at": (NOW - timedelta(minutes=4)).isoformat(),
            "tier": "small",
            "before": 9,
            "after": 12,
            "bound": "Forecast",
            "message": SMALL,
            "enforced": False,
        }
    ],
}


def shown(status: dict[str, object]) -> list[str]:
    text = StringIO()
    console = Console(file=text, width=160)
    for section in fleetplan.sections(FleetStatus.model_validate(status), NOW):
        console.print(section)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def test_the_plan_is_told_with_what_decided_it_and_what_it_stands_on():
    assert shown(STATUS) == [
        "PLAN    PLANNED   NEEDED   DECIDED BY      ONE CARRIES   STARTS IN",
        "large         2        3   GpuBudget    2,400 tokens/s       415 s",
        "small        12       12   Forecast     1,200 tokens/s       160 s",
        "large: gpuBudget 96: 2 of 3",
        f"small: {SMALL}",
        "forecast: act at most 13,000 tokens/s within 160 s, 3.4% escalated, saves 62% of all large",
        "routers: 10% of plan requests go to the small tier, degrade PreferSmall",
        "DECIDED   TIER    INSTANCES   BY         WHY",
        f"4m ago    small   9 -> 12     Forecast   {SMALL} (advice: mode Advisory)",
    ]


def test_a_fleet_without_a_plan_has_no_such_section():
    assert shown({}) == []
