"""A fleet as a fluid: what a policy costs and what it lets wait, minute by minute on a virtual clock (scaling.md).

    demand (work tokens a minute, by tier) + pools + policy -> Run: what was held, ready, served and late

    begin of a minute   what has started up is ready, what has drained is gone
    within              work arrives; ready x capacity of it is served, what waited first; the rest waits
                        with spill-over, large instances take waiting act work with what plan work leaves idle
    end                 the policy sees the minute and sets counts; more of them serve after the start-up time, fewer
                        drain, and those that still start are cancelled first

A minute is violating when the work that arrives in it exceeds what is ready to carry it. GPU-hours count instances that
are ready, booting and draining. Within a GPU budget an instance is started only when GPUs are free; the large tier's
come first. The queueing model of engines (`engine`) says what requests feel; this one says what counts are worth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from heterofleet.api.labels import Tier

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_ROUNDING: Final = 1 + 1e-9


@dataclass(frozen=True, slots=True)
class Pool:
    """One tier: `capacity` is what an instance carries in a minute, `first` how many are ready at the beginning."""

    capacity: float
    startup_minutes: int
    first: int = 1
    drain_minutes: int = 0
    gpus: int = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """What a policy sees of a tier at the end of a minute. Work is in tokens a minute, or tokens that wait."""

    minute: int
    arrived: float | None
    """None where the telemetry of the minute is missing; that is never zero."""
    served: float
    waiting: float
    ready: int
    booting: tuple[int, ...]
    """Minutes until each starting instance serves."""
    draining: int
    escalated: float = 0.0
    """The part of `arrived` that came from the other class, whose own answer was not good enough."""

    @property
    def offered(self) -> float | None:
        """What the tier's own class asked for."""
        return None if self.arrived is None else self.arrived - self.escalated

    @property
    def count(self) -> int:
        return self.ready + len(self.booting)


Fleet = Mapping[Tier, Seen]


class Policy(Protocol):
    """What decides the counts of a fleet."""

    def decide(self, fleet: Fleet) -> Mapping[Tier, int]: ...


class TierPolicy(Protocol):
    """What decides the count of one tier, knowing nothing of another."""

    def decide(self, seen: Seen) -> int: ...


@dataclass(frozen=True, slots=True)
class Independent:
    """A policy of its own for each tier."""

    policies: Mapping[Tier, TierPolicy]

    def decide(self, fleet: Fleet) -> Mapping[Tier, int]:
        return {tier: self.policies[tier].decide(seen) for tier, seen in fleet.items()}


@dataclass(frozen=True, slots=True)
class Load:
    """The work that arrives at each minute, by the tier of its class, and whether its telemetry is there.

    The large tier gets `escalation_rate` x the act work in the same minute, beside its own class's.
    """

    arriving: Mapping[Tier, Floats]
    seen: Mapping[Tier, NDArray[np.bool_]] = field(default_factory=dict)
    escalation_rate: float = 0.0

    @property
    def minutes(self) -> int:
        return min(len(series) for series in self.arriving.values())


@dataclass(frozen=True)
class Track:
    """What happened to one tier, one value a minute. `waiting` is what was left at the end of it."""

    arrived: Floats
    within: Floats
    """Arrived work that what was ready could carry in the minute, spill-over included."""
    waiting: Floats
    served: Floats
    ready: Counts
    booting: Counts
    draining: Counts
    gpus: int

    @property
    def held(self) -> Counts:
        """Instances that hold GPUs."""
        return self.ready + self.booting + self.draining

    @property
    def violating(self) -> NDArray[np.bool_]:
        late: NDArray[np.bool_] = self.arrived > self.within * _ROUNDING
        return late

    def delay_minutes(self) -> Floats:
        """How long work that arrives in each minute waits for what waits before it, at the pace of what is served."""
        done, due = np.cumsum(self.served), np.cumsum(self.arrived)
        finished = np.searchsorted(done, due * (1 - 1e-12))
        delays: Floats = np.maximum(0, finished - np.arange(len(due))).astype(np.float64)
        return delays


@dataclass(frozen=True)
class Run:
    """What a policy did. `part` looks at some of the minutes only."""

    tracks: Mapping[Tier, Track]
    part: slice = field(default_factory=lambda: slice(None))

    def within(self, part: slice) -> "Run":
        return Run(self.tracks, part)

    @property
    def gpu_hours(self) -> float:
        return sum(self.gpu_hours_by_tier().values())

    def gpu_hours_by_tier(self) -> dict[Tier, float]:
        return {tier: float(track.held[self.part].sum()) * track.gpus / 60.0 for tier, track in self.tracks.items()}

    @property
    def violating_share(self) -> float:
        """Share of minutes in which some class's work exceeds what may carry it."""
        return float(np.any([track.violating[self.part] for track in self.tracks.values()], axis=0).mean())

    @property
    def violating_work_share(self) -> float:
        late = sum(float((t.arrived - t.within)[self.part].sum()) for t in self.tracks.values())
        return late / max(1e-9, self.arrived)

    @property
    def arrived(self) -> float:
        return sum(float(track.arrived[self.part].sum()) for track in self.tracks.values())

    @property
    def within_objective(self) -> float:
        """Work that was carried in the minute in which it came."""
        return sum(float(track.within[self.part].sum()) for track in self.tracks.values())

    def delay_minutes(self, quantile: float) -> float:
        """Quantile of the backlog delay over all work of the fleet."""
        delays = np.concatenate([track.delay_minutes()[self.part] for track in self.tracks.values()])
        work = np.concatenate([track.arrived[self.part] for track in self.tracks.values()])
        order = np.argsort(delays)
        at = np.searchsorted(np.cumsum(work[order]), quantile * work.sum())
        return float(delays[order][min(int(at), len(delays) - 1)])


def run(
    load: Load, pools: Mapping[Tier, Pool], policy: Policy, *, spill_over: bool = False, gpu_budget: int | None = None
) -> Run:
    """Let the policy steer the fleet through all of the load."""
    tiers = {tier: _Instances(pool) for tier, pool in pools.items()}
    arriving = {tier: load.arriving[tier].tolist() for tier in tiers}
    escalated = _escalated(load)
    hidden = {tier: ~load.seen[tier] if tier in load.seen else None for tier in tiers}
    for minute in range(load.minutes):
        for tier, instances in tiers.items():
            instances.begin(minute, arriving[tier][minute], escalated[minute] if tier is Tier.LARGE else 0.0)
        if spill_over:
            _spill(tiers)
        views = {}
        for tier, instances in tiers.items():
            missing = hidden[tier]
            views[tier] = instances.end(minute, missing is not None and bool(missing[minute]))
        _steer(tiers, policy.decide(views), minute, gpu_budget)
    return Run({tier: instances.track() for tier, instances in tiers.items()})


def _escalated(load: Load) -> list[float]:
    act = load.arriving.get(Tier.SMALL)
    handed_up = np.zeros(load.minutes) if act is None else load.escalation_rate * act
    return [float(work) for work in handed_up]


def _spill(tiers: Mapping[Tier, "_Instances"]) -> None:
    """Idle large instances take act work that its own tier cannot carry."""
    large, small = tiers[Tier.LARGE], tiers[Tier.SMALL]
    small.help_with(large.lend(small.lacking()))


def _steer(tiers: Mapping[Tier, "_Instances"], counts: Mapping[Tier, int], minute: int, gpu_budget: int | None) -> None:
    """Release first, then start what GPUs are free for."""
    for tier, instances in tiers.items():
        instances.lower(counts[tier], minute)
    for tier, instances in tiers.items():
        more = counts[tier] - instances.count
        if gpu_budget is not None:
            held = sum(other.held * other.pool.gpus for other in tiers.values())
            more = min(more, (gpu_budget - held) // instances.pool.gpus)
        instances.start(more, minute)


class _Instances:
    """The instances of one tier, and what they have done so far."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._ready, self._waiting = pool.first, 0.0
        self._booting: list[int] = []
        self._draining: list[int] = []
        self._rows: list[tuple[float, float, float, float, int, int, int]] = []
        self._arrived = self._escalated = self._within = self._served = self._idle = 0.0

    @property
    def count(self) -> int:
        return self._ready + len(self._booting)

    @property
    def held(self) -> int:
        return self.count + len(self._draining)

    def begin(self, minute: int, offered: float, escalated: float) -> None:
        """Serve the minute with its own instances."""
        arriving = offered + escalated
        if self._booting and self._booting[0] <= minute:
            due = sum(at <= minute for at in self._booting)
            self._ready += due
            del self._booting[:due]
        self._draining = [at for at in self._draining if at > minute]
        capacity = self._ready * self.pool.capacity
        self._escalated = escalated
        self._arrived, self._within = arriving, min(arriving, capacity)
        self._served = min(capacity, self._waiting + arriving)
        self._waiting += arriving - self._served
        self._idle = capacity - self._served

    def lacking(self) -> float:
        return self._waiting

    def lend(self, wanted: float) -> float:
        lent = min(self._idle, wanted)
        self._idle -= lent
        return lent

    def help_with(self, work: float) -> None:
        """Another tier carries this much: the work of this minute before what waited, since it comes first to it."""
        self._within = min(self._arrived, self._within + work)
        self._served += work
        self._waiting -= work

    def end(self, minute: int, hidden: bool) -> Seen:
        ready, booting, draining = self._ready, len(self._booting), len(self._draining)
        self._rows.append((self._arrived, self._within, self._waiting, self._served, ready, booting, draining))
        etas = tuple(at - minute - 1 for at in self._booting)
        arrived = None if hidden else self._arrived
        return Seen(minute, arrived, self._served, self._waiting, ready, etas, draining, self._escalated)

    def lower(self, count: int, minute: int) -> None:
        surplus = self.count - max(0, count)
        if surplus <= 0:
            return
        cancelled = min(surplus, len(self._booting))
        del self._booting[len(self._booting) - cancelled :]
        leaving = surplus - cancelled
        self._ready -= leaving
        if self.pool.drain_minutes:
            self._draining += [minute + 1 + self.pool.drain_minutes] * leaving

    def start(self, more: int, minute: int) -> None:
        if more > 0:
            self._booting += [minute + 1 + self.pool.startup_minutes] * more

    def track(self) -> Track:
        columns: Sequence[Sequence[float]] = list(zip(*self._rows, strict=True)) or [[] for _ in range(7)]
        arrived, within, waiting, served = (np.array(column, dtype=np.float64) for column in columns[:4])
        ready, booting, draining = (np.array(column, dtype=np.int64) for column in columns[4:])
        return Track(arrived, within, waiting, served, ready, booting, draining, self.pool.gpus)
