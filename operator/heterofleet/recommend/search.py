"""The setting of the fewest GPU-hours that keeps the objective, found with few plays of the whole fleet.

    each quantile x each tier    the cheapest shape and minimum that hold by themselves (`Trials.alone`)
    the cheapest pairs of them   played whole, in order of their GPU-hours, the tier that fails gets a higher minimum
    around the best              a less careful forecast, a lower minimum, the next shapes: what spill-over may carry

The tiers share nothing but idle instances and a GPU budget, so that each may be searched alone first. `minimum` is a
share of what the tier's busiest minute takes: a load without history is carried by instances that are there already.
Exhaustive search over the same `Space` is in the tests; the result here is held to within 5 % of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Final, NamedTuple

import numpy as np

from heterofleet.api.labels import Tier
from heterofleet.recommend.errors import NothingHolds
from heterofleet.recommend.manifest import MOST_INSTANCES, Bounds, Setting, Shape
from heterofleet.recommend.trials import Alone, Engine, Played, Trials
from heterofleet.simulate.study import Progress

FLOORS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Minima that are tried, in shares of what the busiest minute takes."""

_MOST_PLAYS: Final = 9


@dataclass(frozen=True, slots=True)
class Space:
    """All that may be chosen: shapes of both tiers; quantiles are those of the trials."""

    shapes: Mapping[Tier, tuple[Shape, ...]]
    floors: tuple[float, ...] = FLOORS

    def settings(self, trials: Trials) -> Iterator[Setting]:
        """Every one of it, for those who have the time."""
        for quantile in trials.quantiles:
            for large in self.shapes[Tier.LARGE]:
                for small in self.shapes[Tier.SMALL]:
                    for first in self.floors:
                        for second in self.floors:
                            parts = {Tier.LARGE: _Part(large, first), Tier.SMALL: _Part(small, second)}
                            yield _setting(trials, parts, quantile)


@dataclass(frozen=True, slots=True)
class _Part:
    """What is chosen of one tier, and the GPU-hours that it held alone."""

    shape: Shape
    floor: float
    gpu_hours: float = 0.0


Parts = Mapping[Tier, _Part]


class Single(NamedTuple):
    """One tier without the other."""

    shape: Shape
    played: Alone


def best(trials: Trials, space: Space, progress: Progress) -> Played:
    """The cheapest setting that holds. Raises NothingHolds."""
    usable = {tier: _usable(trials, tier, space.shapes[tier]) for tier in Tier}
    ranked = {}
    for done, quantile in enumerate(trials.quantiles, start=1):
        # What the small tier lacks by itself, idle large instances may carry: its minimum rises only where they do not.
        ranked[quantile] = {
            Tier.LARGE: _alone(trials, Tier.LARGE, usable[Tier.LARGE], space.floors, quantile),
            Tier.SMALL: _alone(trials, Tier.SMALL, usable[Tier.SMALL], space.floors[:1], quantile),
        }
        progress(0.5 * done / len(trials.quantiles))
    walk = _Walk(trials, space, progress)
    starts = sorted(trials.quantiles, key=lambda quantile: _hours(ranked[quantile]))
    for quantile in starts:
        if walk.exhausted or (walk.found is not None and _hours(ranked[quantile]) > 1.05 * walk.found.gpu_hours):
            break
        walk.raise_until_held({tier: parts[0] for tier, parts in ranked[quantile].items()}, quantile)
    if walk.found is None:
        raise NothingHolds(_lacking(trials, walk.nearest))
    walk.refine(ranked)
    return walk.found


def single(trials: Trials, tier: Tier, shapes: tuple[Shape, ...]) -> Single:
    """The cheapest way in which one tier by itself holds. Raises NothingHolds."""
    usable = _usable(trials, tier, shapes)
    best_of = [(_alone(trials, tier, usable, FLOORS, quantile)[0], quantile) for quantile in trials.quantiles]
    found = []
    for part, quantile in best_of:
        played = trials.alone(tier, part.shape, quantile, _least(trials, tier, part.shape, part.floor))
        if played.missed_share <= 1 - trials.wishes.objective.attainment:
            found.append(Single(part.shape, played))
    if not found:
        raise NothingHolds(f"no setting of the {tier} model alone keeps the objective")
    return min(found, key=lambda each: each.played.gpu_hours)


def _usable(trials: Trials, tier: Tier, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """Shapes of which an idle instance keeps the objective, and of which there may be enough. Raises NothingHolds."""
    engines = {shape: trials.engine(tier, shape) for shape in shapes}
    within = [shape for shape, engine in engines.items() if engine.capacity.within_objective]
    if not within:
        raise NothingHolds(_too_slow(trials, tier, engines))
    few = [shape for shape in within if trials.peak_instances(tier, shape) <= MOST_INSTANCES]
    if not few:
        raise NothingHolds(_too_many(trials, tier, within))
    return tuple(few)


def _alone(
    trials: Trials, tier: Tier, shapes: tuple[Shape, ...], floors: tuple[float, ...], quantile: float
) -> tuple[_Part, ...]:
    """For each shape the lowest minimum that holds by itself, the cheapest first; the highest where none does."""
    allowed = 1 - trials.wishes.objective.attainment
    parts = []
    for shape in shapes:
        for floor in floors:
            found = trials.alone(tier, shape, quantile, _least(trials, tier, shape, floor))
            if found.missed_share <= allowed or floor == floors[-1]:
                parts.append((found.missed_share > allowed, _Part(shape, floor, found.gpu_hours)))
                break
            if parts and found.gpu_hours > 1.5 * min(part.gpu_hours for _, part in parts):
                break
    return tuple(part for _, part in sorted(parts, key=lambda each: (each[0], each[1].gpu_hours)))


class _Walk:
    """Plays of the whole fleet, of which the cheapest that holds is kept."""

    def __init__(self, trials: Trials, space: Space, progress: Progress) -> None:
        self._trials, self._space, self._progress = trials, space, progress
        self._played: dict[tuple[object, ...], Played] = {}
        self._parts: Parts = {}
        self.found: Played | None = None
        self.nearest: Played | None = None

    @property
    def exhausted(self) -> bool:
        return len(self._played) >= _MOST_PLAYS and self.found is not None

    def raise_until_held(self, parts: Parts, quantile: float) -> None:
        """Play the parts; where a tier lacks, with its next minimum, until it holds or no minimum is left."""
        while True:
            played = self._play(parts, quantile)
            higher = {tier: self._next_floor(parts[tier]) for tier in played.lacking()}
            if not higher or all(part is None for part in higher.values()):
                return
            parts = {tier: higher.get(tier) or part for tier, part in parts.items()}

    def refine(self, ranked: Mapping[float, Mapping[Tier, tuple[_Part, ...]]]) -> None:
        """Step to whatever neighbour holds with fewer GPU-hours, while plays are left."""
        moved = True
        while moved and not self.exhausted:
            before = self.found
            for parts, quantile in self._neighbours(ranked):
                if self.exhausted:
                    return
                self._play(parts, quantile)
            moved = self.found is not before

    def _neighbours(self, ranked: Mapping[float, Mapping[Tier, tuple[_Part, ...]]]) -> Iterator[tuple[Parts, float]]:
        assert self.found is not None  # noqa: S101  nothing is refined before something holds
        parts, quantile = self._parts, self.found.setting.quantile
        place = self._trials.quantiles.index(quantile)
        if place > 0:
            yield parts, self._trials.quantiles[place - 1]
        for tier, part in parts.items():
            lower = [floor for floor in self._space.floors if floor < part.floor]
            if lower:
                yield {**parts, tier: replace(part, floor=lower[-1])}, quantile
            others = [each for each in ranked[quantile][tier] if each.shape != part.shape]
            if others and others[0].gpu_hours <= 1.05 * part.gpu_hours:
                yield {**parts, tier: others[0]}, quantile

    def _play(self, parts: Parts, quantile: float) -> Played:
        key = (quantile, *((tier, part.shape, part.floor) for tier, part in parts.items()))
        if key not in self._played:
            played = self._trials.whole(_setting(self._trials, parts, quantile))
            self._played[key] = played
            self._progress(min(1.0, 0.5 + 0.5 * len(self._played) / _MOST_PLAYS))
            self._judge(played, parts)
        return self._played[key]

    def _judge(self, played: Played, parts: Parts) -> None:
        if played.holds and (self.found is None or played.gpu_hours < self.found.gpu_hours):
            self.found, self._parts = played, parts
        if self.nearest is None or _worst(played) < _worst(self.nearest):
            self.nearest = played

    def _next_floor(self, part: _Part) -> _Part | None:
        higher = [floor for floor in self._space.floors if floor > part.floor]
        return replace(part, floor=higher[0]) if higher else None


def _setting(trials: Trials, parts: Parts, quantile: float) -> Setting:
    bounds = {tier: Bounds(_least(trials, tier, part.shape, part.floor)) for tier, part in parts.items()}
    return Setting({tier: part.shape for tier, part in parts.items()}, bounds, quantile)


def _least(trials: Trials, tier: Tier, shape: Shape, floor: float) -> int:
    return min(MOST_INSTANCES, max(1, ceil(floor * trials.peak_instances(tier, shape))))


def _hours(parts: Mapping[Tier, tuple[_Part, ...]]) -> float:
    return sum(each[0].gpu_hours for each in parts.values())


def _worst(played: Played) -> float:
    return max(played.missed(tier) for tier in Tier)


def _too_slow(trials: Trials, tier: Tier, engines: Mapping[Shape, Engine]) -> str:
    objective = trials.wishes.objective
    between = min(float(np.quantile(each.table.between[0], objective.attainment)) for each in engines.values())
    first = min(float(np.quantile(each.table.first[0], objective.attainment)) for each in engines.values())
    return (
        f"no idle instance of the {tier} model on {trials.wishes.gpu} keeps the objective: {objective.attainment:.0%}"
        f" of requests get their first token within {first:.2g} s at best and the others every {between:.2g} s,"
        f" and asked are {objective.ttft_seconds:g} s and {objective.inter_token_seconds:g} s: raise --ttft or"
        " --inter-token, or choose another --gpu or --pair"
    )


def _too_many(trials: Trials, tier: Tier, shapes: list[Shape]) -> str:
    fewest = min(trials.peak_instances(tier, shape) for shape in shapes)
    return (
        f"the busiest minute takes {fewest:,} instances of the {tier} tier, and a fleet has at most"
        f" {MOST_INSTANCES:,}: divide the load over several fleets, or choose a smaller model with --pair"
    )


def _lacking(trials: Trials, nearest: Played | None) -> str:
    assert nearest is not None  # noqa: S101  something was played, or nothing could have been lacking
    gpus = sum(trials.peak_instances(tier, shape) * shape.gpus for tier, shape in nearest.setting.shapes.items())
    missed = ", ".join(f"{nearest.missed(tier):.1%} of {tier}" for tier in Tier)
    if trials.wishes.gpus is not None and gpus > trials.wishes.gpus:
        share = trials.wishes.gpus / gpus
        return (
            f"{trials.wishes.gpus} GPUs do not hold this load: its busiest minute takes {gpus:,}; give --gpus {gpus},"
            f" or bring about {share:.0%} of the load"
        )
    return (
        f"no setting keeps the objective: the nearest misses it for {missed} requests; raise --ttft or --inter-token,"
        " or lower --attainment"
    )
