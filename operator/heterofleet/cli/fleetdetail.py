"""One fleet in depth: what blocks it first, then its tiers, instances and ranks, then what is past. Pure.

Every section that has nothing to say is left out. Used by `status FLEET`.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from heterofleet.api.conditions import Condition, ConditionType
from heterofleet.api.labels import Tier
from heterofleet.cli import ages, columns, fleetinstances, fleetplan
from heterofleet.cli.columns import Cell, Column
from heterofleet.cli.fleetview import FleetView
from heterofleet.cluster.records import PodRecord

_GRAVE: Final = frozenset(
    {
        ConditionType.ACCEPTED,
        ConditionType.LARGE_TIER_READY,
        ConditionType.SMALL_TIER_READY,
        ConditionType.ROUTER_READY,
        ConditionType.DEGRADED,
        ConditionType.STALLED,
    }
)


def detail(view: FleetView, ranks: Sequence[PodRecord], now: datetime) -> RenderableType:
    """Compose the sections; `ranks` are the large tier's pods, as far as they could be read."""
    return Group(*_spaced(_sections(view, ranks, now)))


def _sections(view: FleetView, ranks: Sequence[PodRecord], now: datetime) -> Iterator[RenderableType]:
    yield _head(view, now)
    if view.ready is None:
        return
    yield _facts(view)
    yield _tiers(view)
    yield from _overrides(view, now)
    yield from fleetplan.sections(view.status, now)
    yield from fleetinstances.sections(view.status.large.instances, ranks, now)
    if view.amiss():
        yield _conditions(view.amiss(), view.ready, now)
    if view.status.last_drain is not None:
        yield _last_drain(view, now)
    if view.unknown:
        yield Text(f"Not shown, since this version does not know it: {', '.join(view.unknown)}.", "yellow")


def _spaced(sections: Iterator[RenderableType]) -> Iterator[RenderableType]:
    for number, section in enumerate(sections):
        if number:
            yield Text()
        yield section


def _head(view: FleetView, now: datetime) -> RenderableType:
    name = Text.assemble((view.key.name, "bold"), (f" in {view.key.namespace}", "dim"), "  ")
    ready = view.ready
    if view.deleting:
        lines = [name + Text("being deleted", "yellow")]
    elif ready is None:
        lines = [name + Text("not seen by the operator yet", "yellow")]
    else:
        word, style = ("Ready", "green") if ready.status else ("not Ready", "red")
        age = ages.since(ready.last_transition_time, now)
        lines = [name + Text.assemble((word, style), f" for {age}", ("" if ready.status else f": {ready.reason}"))]
        lines += [Text(ready.message)] if ready.message else []
    if view.suspended:
        lines.append(Text("Suspended: nothing but its status is written until spec.suspend is false.", "yellow"))
    if ready is not None and view.unseen:
        lines.append(Text("The operator has not answered the last change of the spec yet.", "yellow"))
    return Group(*lines)


def _facts(view: FleetView) -> RenderableType:
    grid = Table.grid(padding=(0, 3, 0, 0))
    for title, value in (
        ("Endpoint", view.status.endpoint),
        ("Cost", f"{view.status.cost.usd_per_hour} $/h" if view.status.cost.usd_per_hour else ""),
        ("Ratio", f"{view.status.ratio} small to 1 large" if view.status.ratio else ""),
    ):
        if value:
            grid.add_row(Text(title, "dim"), Text(value))
    return grid if grid.row_count else Text("No endpoint yet.", "dim")


def _tiers(view: FleetView) -> RenderableType:
    tiers = [view.tier(tier) for tier in Tier]
    return columns.table(
        [
            columns.of("TIER", *Tier),
            Column("READY", [Cell(one.summary, "green" if one.ready >= one.desired else "yellow") for one in tiers]),
            columns.of("DRAINING", *(str(one.draining) for one in tiers), right=True),
            columns.of("GPUS", *(str(one.gpus) for one in tiers), right=True),
            columns.of("REVISION", *(one.revision or "-" for one in tiers)),
            Column("COUNT FROM", [_writer(view, tier) for tier in Tier]),
        ]
    )


def _writer(view: FleetView, tier: Tier) -> Cell:
    override = view.tier(tier).override
    if override is not None:
        return Cell(override.by, "yellow")
    return Cell("others (External)" if tier in view.external else "plan")


def _when(moment: datetime, now: datetime) -> str:
    if moment <= now:
        return "at the operator's next look"
    return f"at {moment.astimezone(UTC):%H:%M} UTC, in {ages.elapsed(moment - now)}"


def _overrides(view: FleetView, now: datetime) -> Iterator[RenderableType]:
    told = [
        Text(
            f"The {tier} tier was set to {override.instances} by {override.by}. The plan takes it back "
            f"{_when(override.until, now)}; `heterofleet release {view.key.name} --tier {tier}` ends it now.",
            "yellow",
        )
        for tier in Tier
        if (override := view.tier(tier).override) is not None
    ]
    if told:
        yield Group(*told)


def _conditions(conditions: Sequence[Condition], ready: Condition | None, now: datetime) -> RenderableType:
    table = Table.grid(padding=(0, 3, 0, 0))
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_row(*(Text(title, "bold") for title in ("CONDITION", "REASON", "FOR", "MESSAGE")))
    said = ready.message if ready is not None else ""
    for condition in conditions:
        # One cause shows in several conditions, and its sentence is read once.
        repeated = condition.message in said
        said += "" if repeated else f"\n{condition.message}"
        table.add_row(
            Text(f"{condition.type}={condition.status}", "red" if condition.type in _GRAVE else "yellow"),
            Text(str(condition.reason)),
            Text(ages.since(condition.last_transition_time, now)),
            Text("as above", "dim") if repeated and condition.message else Text(condition.message),
        )
    return table


def _last_drain(view: FleetView, now: datetime) -> RenderableType:
    drain = view.status.last_drain
    assert drain is not None  # noqa: S101  the caller asked
    began = "an unknown number of" if drain.in_flight_at_start is None else str(drain.in_flight_at_start)
    ending = "its deadline came before they were done" if drain.aborted else "all were answered"
    when = f", {ages.since(drain.completed, now)} ago" if drain.completed else ""
    why = f" ({drain.reason})" if drain.reason else ""
    text = f"Last drain: {drain.instance}{when}{why}: {began} requests in flight at the start; {ending}."
    return Text(text, "yellow" if drain.aborted else "")
