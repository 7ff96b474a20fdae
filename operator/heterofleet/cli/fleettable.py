"""Many fleets as a table: one line each, with the word that says why one is not Ready. Pure; used by `status`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from rich.table import Table
from rich.text import Text

from heterofleet.cli import ages, terminal
from heterofleet.cli.fleetview import FleetView

_DROPPED_FIRST: Final = ("ENDPOINT", "$/h")
"""What a narrow terminal does without."""


class _Column(NamedTuple):
    title: str
    cells: list[Text]
    right: bool = False


def table(views: Sequence[FleetView], now: datetime, *, namespaces: bool, without: Sequence[str] = ()) -> Table:
    """One line a fleet; `namespaces` says where each lies."""
    columns = [
        *([_Column("NAMESPACE", [Text(view.key.namespace) for view in views])] if namespaces else []),
        _Column("NAME", [Text(view.key.name) for view in views]),
        _Column("READY", [_ready(view) for view in views]),
        _Column("LARGE", [Text(view.status.large.summary) for view in views]),
        _Column("SMALL", [Text(view.status.small.summary) for view in views]),
        _Column("$/h", [Text(view.status.cost.usd_per_hour or "-") for view in views], right=True),
        _Column("ENDPOINT", [Text(view.status.endpoint or "-") for view in views]),
        _Column("REASON", [_reason(view) for view in views]),
        _Column("AGE", [Text(ages.since(view.created, now)) for view in views]),
    ]
    shown = [column for column in columns if column.title not in without]
    made = terminal.columns(*(column.title for column in shown))
    for index, column in enumerate(shown):
        made.columns[index].justify = "right" if column.right else "left"
        # Where even the narrowest table is too wide, names go on in a second line and nothing is cut.
        if column.title == "NAME":
            made.columns[index].no_wrap, made.columns[index].overflow = False, "fold"
    for row in zip(*(column.cells for column in shown), strict=True):
        made.add_row(*row)
    return made


def narrowings() -> Sequence[Sequence[str]]:
    """Sets of columns to leave out, the widest table first."""
    return [_DROPPED_FIRST[:count] for count in range(len(_DROPPED_FIRST) + 1)]


def _ready(view: FleetView) -> Text:
    if view.ready is None:
        return Text("Unknown", "yellow")
    return Text("True", "green") if view.ready.status else Text("False", "red")


def _reason(view: FleetView) -> Text:
    if view.deleting:
        return Text("Deleting", "yellow")
    if view.ready is None:
        return Text("NotSeenYet", "yellow")
    return Text(str(view.ready.reason), "dim" if view.ready.status else "red")
