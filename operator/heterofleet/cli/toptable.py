"""The picture of `top`: one line a fleet with its tiers, flow and money, and the sum of all above. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from heterofleet.api.labels import Tier
from heterofleet.cli import columns
from heterofleet.cli.columns import Cell, Column
from heterofleet.cli.fleetview import FleetView
from heterofleet.cli.topflow import Flow

_DROPPED_FIRST: Final = ("TOKENS/S", "ESCALATED", "$/h", "FLIGHT")
"""What a narrow terminal does without, one after the other."""
_ROOM_FOR_ELSE: Final = 6
"""Lines of a screen that are not fleets: sum, titles, what is left out, a note, and blanks between."""


@dataclass(frozen=True, slots=True)
class Row:
    """A fleet as the status tells it, and its flow as far as it is known."""

    view: FleetView
    flow: Flow

    @property
    def usd_per_hour(self) -> float | None:
        usd = self.view.status.cost.usd_per_hour
        return float(usd) if usd else None

    @property
    def escalation(self) -> float | None:
        """As measured now; else as the plan has learned it."""
        measured = self.flow.escalation_rate
        return measured if measured is not None else self.view.status.learned.escalation_rate

    @property
    def missing(self) -> int:
        """Instances that should take requests and do not."""
        return sum(max(0, self.view.tier(tier).desired - self.view.tier(tier).ready) for tier in Tier)


_ORDERS: Final[Mapping[str, Callable[[Row], float | None]]] = {
    "queue": lambda row: row.flow.queued,
    "flight": lambda row: row.flow.under_way,
    "requests": lambda row: row.flow.requests_per_second,
    "tokens": lambda row: row.flow.tokens_per_second,
    "escalation": lambda row: row.escalation,
    "money": lambda row: row.usd_per_hour,
    "missing": lambda row: float(row.missing),
}


def ordered(rows: Sequence[Row], order: str) -> list[Row]:
    """By name, or largest first with those of which nothing is known at the end."""
    by_name = sorted(rows, key=lambda row: row.view.key)
    if order == "name":
        return by_name
    measure = _ORDERS[order]
    return sorted(by_name, key=lambda row: -1.0 if (value := measure(row)) is None else value, reverse=True)


@dataclass(frozen=True, slots=True)
class Frame:
    """Room for the picture; None where it is not bounded. `namespaces` says where each fleet lies."""

    width: int | None
    height: int | None
    namespaces: bool


def picture(rows: Sequence[Row], frame: Frame, note: str, now: datetime) -> RenderableType:
    """Sum, table, and what is not shown; of one fleet its tiers, too. `rows` are in their order."""
    most = len(rows) if frame.height is None else max(1, frame.height - _ROOM_FOR_ELSE)
    shown = rows[:most]
    table = _columns(shown, namespaces=frame.namespaces)
    for title in _DROPPED_FIRST:
        if frame.width is not None and columns.width(table) > frame.width:
            table = [column for column in table if column.title != title]
    parts: list[RenderableType] = [_sum(rows, now), Text(), columns.table(table)]
    if len(rows) == 1:
        parts += [Text(), columns.table(_tiers(rows[0]))]
    if len(shown) < len(rows):
        parts.append(Text(f"… and {len(rows) - len(shown)} more: --sort brings others to the top", "dim"))
    return Group(*parts, *([Text(), Text(note, "yellow")] if note else []))


def _sum(rows: Sequence[Row], now: datetime) -> Text:
    unready = sum(row.view.ready is None or not row.view.ready.status for row in rows)
    tiers = [row.view.tier(tier) for row in rows for tier in Tier]
    said = [
        f"{len(rows):,} fleet{'' if len(rows) == 1 else 's'}" + (f", {unready:,} not Ready" if unready else ""),
        f"{sum(tier.ready for tier in tiers):,}/{sum(tier.desired for tier in tiers):,} instances",
        *_added("{:,.0f} queued", [row.flow.queued for row in rows]),
        *_added("{:,.1f} requests/s", [row.flow.requests_per_second for row in rows]),
        *_added("{:,.0f} tokens/s", [row.flow.tokens_per_second for row in rows]),
        *_added("{:,.2f} $/h", [row.usd_per_hour for row in rows]),
    ]
    return Text.assemble((f"{now:%H:%M:%S} UTC  ", "dim"), ("  ".join(said), "bold"))


def _added(form: str, values: Sequence[float | None]) -> list[str]:
    known = [value for value in values if value is not None]
    return [form.format(sum(known))] if known else []


def _columns(rows: Sequence[Row], *, namespaces: bool) -> list[Column]:
    views = [row.view for row in rows]
    return [
        *([columns.of("NAMESPACE", *(view.key.namespace for view in views))] if namespaces else []),
        columns.of("NAME", *(view.key.name for view in views)),
        Column("LARGE", [_instances(view, Tier.LARGE) for view in views]),
        Column("SMALL", [_instances(view, Tier.SMALL) for view in views]),
        Column("QUEUE", [_queue(row.flow.queued) for row in rows], right=True),
        columns.of("FLIGHT", *(_count(row.flow.under_way) for row in rows), right=True),
        columns.of("REQ/S", *(_rate(row.flow.requests_per_second) for row in rows), right=True),
        columns.of("TOKENS/S", *(_count(row.flow.tokens_per_second) for row in rows), right=True),
        columns.of("ESCALATED", *(_share(row.escalation) for row in rows), right=True),
        columns.of("$/h", *(view.status.cost.usd_per_hour or "-" for view in views), right=True),
        Column("REASON", [_reason(view) for view in views]),
    ]


def _tiers(row: Row) -> list[Column]:
    view, plan = row.view, row.view.status.plan
    planned = [None, None] if plan is None else [plan.large, plan.small]
    return [
        columns.of("TIER", *Tier),
        columns.of("READY", *(f"{view.tier(tier).ready}/{view.tier(tier).desired}" for tier in Tier)),
        columns.of("DRAINING", *(str(view.tier(tier).draining) for tier in Tier), right=True),
        columns.of("GPUS", *(str(view.tier(tier).gpus) for tier in Tier), right=True),
        Column("QUEUE", [_queue(row.flow.queue.get(tier)) for tier in Tier], right=True),
        columns.of("FLIGHT", *(_count(row.flow.in_flight.get(tier)) for tier in Tier), right=True),
        columns.of("PLANNED", *("-" if one is None else str(one.instances) for one in planned), right=True),
        columns.of("DECIDED BY", *("-" if one is None else str(one.bound) for one in planned)),
    ]


def _instances(view: FleetView, tier: Tier) -> Cell:
    status = view.tier(tier)
    return Cell(f"{status.ready}/{status.desired}", "" if status.ready >= status.desired else "yellow")


def _queue(value: float | None) -> Cell:
    return Cell(_count(value), "yellow" if value else "")


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _reason(view: FleetView) -> Cell:
    if view.deleting:
        return Cell("Deleting", "yellow")
    if "status" in view.unknown:
        return Cell("OtherVersion", "yellow")
    if view.ready is None:
        return Cell("NotSeenYet", "yellow")
    return Cell(str(view.ready.reason), "dim" if view.ready.status else "red")


def values(row: Row) -> Mapping[str, Any]:
    """A row for programs; null where nothing is known."""
    view, flow = row.view, row.flow
    return {
        "namespace": view.key.namespace,
        "fleet": view.key.name,
        **{str(tier): {"ready": view.tier(tier).ready, "desired": view.tier(tier).desired} for tier in Tier},
        "queue": flow.queued,
        "inFlight": flow.under_way,
        "requestsPerSecond": flow.requests_per_second,
        "tokensPerSecond": flow.tokens_per_second,
        "escalationRate": row.escalation,
        "usdPerHour": row.usd_per_hour,
        "ready": None if view.ready is None else view.ready.status,
        "reason": _reason(view).text,
    }
