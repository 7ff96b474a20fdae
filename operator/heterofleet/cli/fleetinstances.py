"""The large tier's instances, and the ranks of those in trouble. Pure; a part of `fleetdetail`."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from heterofleet.api import labels
from heterofleet.api.conditions import InstanceState, InstanceStatus
from heterofleet.cli import ages, terminal
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
    table = terminal.columns("INSTANCE", "STATE", "RANKS", "REVISION", "RESTARTS", "SINCE", "NEXT TRY")
    table.columns[4].justify = "right"
    for instance in instances:
        waits = instance.retry_at is not None and instance.retry_at > now
        table.add_row(
            Text(str(instance.index)),
            Text(str(instance.state), _STATE_STYLES.get(instance.state, "")),
            Text(f"{instance.ready_ranks}/{instance.ranks}"),
            Text(instance.revision or "-"),
            Text(str(instance.restarts)),
            Text(ages.since(instance.since, now)),
            Text(f"in {ages.elapsed(instance.retry_at - now)}" if waits and instance.retry_at else ""),
        )
    if not any(instance.retry_at is not None and instance.retry_at > now for instance in instances):
        table.columns.pop()
    return table


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
    table = terminal.columns("RANK", "POD", "STATE", "NODE", "RESTARTS", "AGE")
    table.columns[4].justify = "right"
    for rank in sorted(ranks, key=lambda pod: (_index(pod), int(pod.labels.get(labels.POD_INDEX, 0)))):
        word, style = _pod_state(rank)
        table.add_row(
            Text(rank.labels.get(labels.POD_INDEX, "-")),
            Text(rank.name),
            Text(word, style),
            Text(rank.node or "-"),
            Text(str(rank.restart_count)),
            Text(ages.since(rank.created, now)),
        )
    return table


def _pod_state(pod: PodRecord) -> tuple[str, str]:
    if pod.terminating:
        return "Terminating", "yellow"
    if pod.unschedulable:
        return "Unschedulable", "red"
    if pod.waiting_reason:
        return pod.waiting_reason, "red"
    if pod.ended is not None:
        return f"Exited {pod.ended.exit_code}", "red"
    if pod.ready:
        return "Ready", "green"
    return ("Starting", "") if pod.started else (pod.phase or "Pending", "")


def _index(pod: PodRecord) -> int:
    return int(pod.labels.get(labels.INSTANCE, -1))
