"""Many fleets as a table: one line each, with the word that says why one is not Ready. Pure; used by `status`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from heterofleet.cli import ages, columns
from heterofleet.cli.columns import Cell, Column
from heterofleet.cli.fleetview import FleetView

_DROPPED_FIRST: Final = ("ENDPOINT", "$/h")
"""What a narrow terminal does without, one after the other; what is still too wide is wrapped by the terminal."""


def within(room: int | None, views: Sequence[FleetView], now: datetime, *, namespaces: bool) -> list[Column]:
    """As many columns as `room` has, all if None; `namespaces` says where each fleet lies."""
    shown = _columns(views, now, namespaces=namespaces)
    for title in _DROPPED_FIRST:
        if room is not None and columns.width(shown) > room:
            shown = [column for column in shown if column.title != title]
    return shown


def _columns(views: Sequence[FleetView], now: datetime, *, namespaces: bool) -> list[Column]:
    return [
        *([columns.of("NAMESPACE", *(view.key.namespace for view in views))] if namespaces else []),
        columns.of("NAME", *(view.key.name for view in views)),
        Column("READY", [_ready(view) for view in views]),
        columns.of("LARGE", *(view.status.large.summary for view in views)),
        columns.of("SMALL", *(view.status.small.summary for view in views)),
        columns.of("$/h", *(view.status.cost.usd_per_hour or "-" for view in views), right=True),
        columns.of("ENDPOINT", *(view.status.endpoint or "-" for view in views)),
        Column("REASON", [_reason(view) for view in views]),
        columns.of("AGE", *(ages.since(view.created, now) for view in views)),
    ]


def _ready(view: FleetView) -> Cell:
    if view.ready is None:
        return Cell("Unknown", "yellow")
    return Cell("True", "green") if view.ready.status else Cell("False", "red")


def _reason(view: FleetView) -> Cell:
    if view.deleting:
        return Cell("Deleting", "yellow")
    if view.ready is None:
        return Cell("NotSeenYet", "yellow")
    return Cell(str(view.ready.reason), "dim" if view.ready.status else "red")
