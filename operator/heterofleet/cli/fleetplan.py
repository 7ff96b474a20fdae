"""The plan of a fleet for `status FLEET`: what is planned and why, what it stands on, the last decisions. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from heterofleet.api.conditions import FleetStatus
from heterofleet.api.labels import Tier
from heterofleet.api.planned import Decision, ForecastStatus, PlannedTier, PlanStatus
from heterofleet.api.routing import Degrade
from heterofleet.cli import ages, columns

MOST_SHOWN: Final = 5


def sections(status: FleetStatus, now: datetime) -> Iterator[RenderableType]:
    """Nothing before the first plan."""
    if status.plan is None:
        return
    yield Group(_tiers(status, status.plan), *_why(status.plan), *_standing_on(status, status.plan))
    if status.decisions:
        yield _decisions(status.decisions[:MOST_SHOWN], now)


def _tiers(status: FleetStatus, plan: PlanStatus) -> RenderableType:
    planned, told = (plan.large, plan.small), (status.large, status.small)
    return columns.table(
        [
            columns.of("PLAN", *Tier),
            columns.of("PLANNED", *(str(one.instances) for one in planned), right=True),
            columns.of("NEEDED", *(str(one.need) for one in planned), right=True),
            columns.of("DECIDED BY", *(str(one.bound) for one in planned)),
            columns.of("ONE CARRIES", *(_rate(one.capacity_tokens_per_second) for one in told), right=True),
            columns.of("STARTS IN", *(_seconds(one.startup_seconds) for one in told), right=True),
        ]
    )


def _why(plan: PlanStatus) -> Iterator[Text]:
    tiers: tuple[tuple[Tier, PlannedTier], ...] = ((Tier.LARGE, plan.large), (Tier.SMALL, plan.small))
    for tier, one in tiers:
        if one.message:
            yield Text.assemble((f"{tier}: ", "dim"), one.message)


def _standing_on(status: FleetStatus, plan: PlanStatus) -> Iterator[Text]:
    said = [
        *_forecast("plan", status.forecast.plan),
        *_forecast("act", status.forecast.act),
        *((f"{status.learned.escalation_rate:.1%} escalated",) if status.learned.escalation_rate else ()),
        *((f"saves {float(status.cost.savings_ratio):.0%} of all large",) if status.cost.savings_ratio else ()),
    ]
    if said:
        yield Text.assemble(("forecast: ", "dim"), ", ".join(said))
    if plan.degrade is not Degrade.NONE or plan.bias:
        moved = "act requests go to the large tier" if plan.bias > 0 else "plan requests go to the small tier"
        told = [*((f"{abs(plan.bias):.0%} of {moved}",) if plan.bias else ())]
        told += [f"degrade {plan.degrade}"] if plan.degrade is not Degrade.NONE else []
        yield Text.assemble(("routers: ", "dim"), (", ".join(told), "yellow"))


def _forecast(name: str, made: ForecastStatus | None) -> Iterator[str]:
    if made is not None:
        yield f"{name} at most {_rate(made.tokens_per_second)} within {_seconds(made.window_seconds)}"


def _decisions(decisions: Sequence[Decision], now: datetime) -> RenderableType:
    table = Table.grid(padding=(0, 3, 0, 0))
    for _ in range(4):
        table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_row(*(Text(title, "bold") for title in ("DECIDED", "TIER", "INSTANCES", "BY", "WHY")))
    for one in decisions:
        moved = Text(f"{one.before} -> {one.after}", "" if one.enforced else "dim")
        why = one.message if one.enforced else f"{one.message} (advice: mode Advisory)"
        table.add_row(
            Text(f"{ages.since(one.at, now)} ago"), Text(str(one.tier)), moved, Text(str(one.bound)), Text(why)
        )
    return table


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} tokens/s"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} s"
