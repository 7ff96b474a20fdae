"""The large tier's instances, and the ranks of those in trouble. Pure; a part of `fleetdetail`."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from heterofleet.api import labels
from heterofleet.api.conditions import InstanceState, InstanceStatus
from heterofleet.cli import ages, columns
from heterofleet.cli.columns import Cell, Column
from heterofleet.cluster.records import PodRecord

_STATE_STYLES: Final = {
    InstanceState.READY: "green",
    InstanceState.RESTARTING: "yellow",
    InstanceState.FAILED: "red",
    InstanceState.LOST: "red",
    InstanceState.WAITING: "yellow",
}

_UNTROUBLED: Final = frozenset({InstanceState.READY, InstanceState.DRAINING})


def sections(
    instances: Sequence[InstanceStatus], ranks: Sequence[PodRecord], now: datetime
) -> Iterator[RenderableType]:
    """Yield what there is to say; `ranks` are the large tier's pods, as far as they could be read."""
    if instances:
        yield _instances(instances, now)
    yield from _last_exits(instances, now)
    unready = {instance.index for instance in instances if instance.state not in _UNTROUBLED}
    troubled = [rank for rank in ranks if _index(rank) in unready]
    if troubled:
        yield _ranks(troubled, now)


def _instances(instances: Sequence[InstanceStatus], now: datetime) -> RenderableType:
    shown = [
        columns.of("INSTANCE", *(str(instance.index) for instance in instances)),
        Column("STATE", [Cell(str(one.state), _STATE_STYLES.get(one.state, "")) for one in instances]),
        columns.of("RANKS", *(f"{instance.ready_ranks}/{instance.ranks}" for instance in instances)),
        columns.of("REVISION", *(instance.revision or "-" for instance in instances)),
        columns.of("RESTARTS", *(str(instance.restarts) for instance in instances), right=True),
        columns.of("SINCE", *(ages.since(instance.since, now) for instance in instances)),
    ]
    tries = [_next_try(instance, now) for instance in instances]
    return columns.table([*shown, columns.of("NEXT TRY", *tries)] if any(tries) else shown)


def _next_try(instance: InstanceStatus, now: datetime) -> str:
    waits = instance.retry_at is not None and instance.retry_at > now
    return f"in {ages.elapsed(instance.retry_at - now)}" if waits and instance.retry_at is not None else ""


def _last_exits(instances: Sequence[InstanceStatus], now: datetime) -> Iterator[RenderableType]:
    """How the troubled ones ended: a Ready instance's past is not of interest, its count of restarts is shown."""
    told: list[RenderableType] = []
    for instance in instances:
        end = instance.last_exit
        if end is None or instance.state in _UNTROUBLED:
            continue
        reason = f" ({end.reason})" if end.reason else ""
        when = f" {ages.since(end.at, now)} ago" if end.at else ""
        told.append(
            Text(f"Instance {instance.index} last ended in {end.pod} with exit code {end.exit_code}{reason}{when}.")
        )
        told += [Padding(Text(line, "dim"), (0, 0, 0, 2)) for line in end.message.splitlines()]
    if told:
        yield Group(*told)


def _ranks(ranks: Sequence[PodRecord], now: datetime) -> RenderableType:
    ordered = sorted(ranks, key=lambda pod: (_index(pod), int(pod.labels.get(labels.POD_INDEX, 0))))
    return columns.table(
        [
            columns.of("RANK", *(rank.labels.get(labels.POD_INDEX, "-") for rank in ordered)),
            columns.of("POD", *(rank.name for rank in ordered)),
            Column("STATE", [_pod_state(rank) for rank in ordered]),
            columns.of("NODE", *(rank.node or "-" for rank in ordered)),
            columns.of("RESTARTS", *(str(rank.restart_count) for rank in ordered), right=True),
            columns.of("AGE", *(ages.since(rank.created, now) for rank in ordered)),
        ]
    )


def _pod_state(pod: PodRecord) -> Cell:
    if pod.terminating:
        return Cell("Terminating", "yellow")
    if pod.unschedulable:
        return Cell("Unschedulable", "red")
    if pod.waiting_reason:
        return Cell(pod.waiting_reason, "red")
    if pod.ended is not None:
        return Cell(f"Exited {pod.ended.exit_code}", "red")
    if pod.ready:
        return Cell("Ready", "green")
    return Cell("Starting" if pod.started else pod.phase or "Pending")


def _index(pod: PodRecord) -> int:
    return int(pod.labels.get(labels.INSTANCE, -1))
