"""Decides when a rank starts, stays, drains or leaves, from what the ranks say of themselves. Pure.

gather   waiting ranks  -> the members to start with, or the sentence of what is awaited
watch    started ranks  -> stay, drain or leave with a code
drain    time since SIGTERM -> wait, signal or kill
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

NOTICE_SECONDS = 2.0
"""A router sees deletionTimestamp within this time; until then it may still send to us."""
LEADER_OVERTIME_SECONDS = 20.0
"""Beyond the drain time; less than the 30 s that the pod's grace period adds to it."""
WORKER_OVERTIME_SECONDS = 25.0
"""Beyond the leader's, so that a worker outlives the last request; within the grace period as well."""


class Code(enum.IntEnum):
    """How the container ends, beside the engine's own code (128 + N after signal N)."""

    DONE = 0
    CONFIGURATION = 64
    RANK_RESTARTED = 90
    LEADER_GONE = 91
    RANK_OVER = 92
    NO_MODEL = 93
    ENGINE_ENDED = 94


class Over(Exception):
    """Ends this life with a code and its cause."""

    def __init__(self, code: int, cause: str) -> None:
        super().__init__(cause)
        self.code, self.cause = code, cause


class Phase(str, enum.Enum):  # noqa: UP042 - Python 3.9 has no StrEnum
    """Where a rank is in its life."""

    DOWNLOADING = "downloading"
    WAITING = "waiting-for-peers"
    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPED = "stopped"


@dataclasses.dataclass(frozen=True)
class Report:
    """What a rank says of itself at GET /epoch; `members` are the epochs of the group it has started with."""

    group: str
    index: int
    epoch: str
    phase: Phase
    members: Mapping[int, str] | None = None
    revision: str = ""

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "phase": self.phase.value}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Report:
        members = body["members"]
        named = None if members is None else {int(index): str(epoch) for index, epoch in members.items()}
        return cls(body["group"], body["index"], body["epoch"], Phase(body["phase"]), named, body["revision"])


class View(NamedTuple):
    """The last word of a peer, how long ago that was, and for how long questions since have had no answer.

    Age and silence differ: a rank that stood still itself has old words of others who answer well.
    """

    report: Report | None = None
    age_seconds: float = math.inf
    silent_seconds: float = 0.0


Views = Mapping[int, View]
"""A leader's views are of all workers, a worker's is of the leader alone."""


class Limits(NamedTuple):
    """How old a view may be to start on it, and how long a peer may be silent before it counts as lost."""

    fresh_seconds: float
    lost_seconds: float


class Gathered(NamedTuple):
    """Either the members to start with, or what is awaited."""

    members: Mapping[int, str] | None
    sentence: str = ""


def gather(me: Report, views: Views, limits: Limits) -> Gathered:
    """May this rank start its engine? A leader gathers all who wait, a worker follows the leader that names it."""
    for index, (report, age, _) in sorted(views.items()):
        if report is None or age > limits.fresh_seconds:
            return Gathered(None, f"rank {index} does not answer")
        obstacle = _worker_obstacle(report) if me.index == 0 else _leader_obstacle(me, report)
        if obstacle:
            return Gathered(None, f"rank {index} {obstacle}")
        if report.revision != me.revision:
            there, here = report.revision or "none", me.revision or "none"
            return Gathered(None, f"rank {index} holds revision {there} of the model and this rank {here}: pin one")
    if me.index > 0:
        leader = views[0].report
        return Gathered(leader.members if leader else None)
    epochs = {index: view.report.epoch for index, view in views.items() if view.report is not None}
    return Gathered({0: me.epoch, **epochs})


def _worker_obstacle(report: Report) -> str:
    if report.phase is Phase.DOWNLOADING:
        return "is downloading the model"
    if report.phase is not Phase.WAITING:
        return f"has not left its former group yet ({report.phase.value})"
    return ""


def _leader_obstacle(me: Report, report: Report) -> str:
    if report.phase not in (Phase.STARTING, Phase.SERVING):
        return f"has not started yet ({report.phase.value})"
    if (report.members or {}).get(me.index) != me.epoch:
        return "runs a former group; it will see this start and restart"
    return ""


class Verdict(enum.Enum):
    STAY = "stay"
    DRAIN = "drain"
    LEAVE = "leave"


class Watched(NamedTuple):
    """What a started rank does next, and why."""

    verdict: Verdict
    code: Code = Code.DONE
    sentence: str = ""


def watch(me: Report, views: Views, limits: Limits) -> Watched:
    """Is the group that this rank started with still whole?

    A worker that is only told to stop stays to the end of the leader's requests, so the leader drains. A worker that
    does not answer makes the leader unready (`lost`), which heals; only a leader that is gone makes a worker leave.
    """
    members = me.members or {}
    for index, (report, _, silent) in sorted(views.items()):
        if report is not None and report.epoch != members.get(index):
            return Watched(Verdict.LEAVE, Code.RANK_RESTARTED, f"rank {index} has restarted")
        if report is not None and report.phase is Phase.STOPPED:
            return Watched(Verdict.LEAVE, Code.RANK_OVER, f"rank {index} is over")
        if index == 0 and silent > limits.lost_seconds:
            return Watched(Verdict.LEAVE, Code.LEADER_GONE, f"the leader has been silent for {silent:.0f} s")
    draining = [i for i, view in sorted(views.items()) if view.report and view.report.phase is Phase.DRAINING]
    if me.index == 0 and draining:
        # An engine that has not served yet has nothing to drain.
        verdict = Verdict.LEAVE if me.phase is Phase.STARTING else Verdict.DRAIN
        return Watched(verdict, Code.RANK_OVER, f"rank {draining[0]} was told to stop")
    return Watched(Verdict.STAY)


def lost(views: Views, limits: Limits) -> list[int]:
    """Names the peers that have been silent for too long."""
    return [index for index, view in sorted(views.items()) if view.silent_seconds > limits.lost_seconds]


class Step(enum.Enum):
    WAIT = "wait"
    SIGNAL = "signal"
    KILL = "kill"


def drain(index: int, since_seconds: float, drain_seconds: float) -> Step:
    """A leader serves on, asks its engine to end, then forces it; a worker waits for the leader or its time."""
    if index > 0:
        return Step.KILL if since_seconds >= drain_seconds + WORKER_OVERTIME_SECONDS else Step.WAIT
    if since_seconds >= drain_seconds + LEADER_OVERTIME_SECONDS:
        return Step.KILL
    return Step.SIGNAL if since_seconds >= NOTICE_SECONDS else Step.WAIT
