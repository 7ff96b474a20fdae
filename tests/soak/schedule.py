"""When what goes wrong: a seeded plan of faults for engines, routers and configuration. Pure.

Each engine has peace and trouble by turns, one trouble at a time; kinds are drawn from a bag that holds each once, so
that none is missing from a run of half a minute. Routers end one at a time, as a disruption budget has it, and only in
the first part: in the rest the memory of a process is watched over a long stretch.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from soak.history import Trouble

T = TypeVar("T")

ROUTERS_SHARE: Final = 0.5
"""The part of the time in which routers end."""

_FIRST_SECONDS: Final = 3.0
_PEACE: Final = (3.0, 14.0)
_TROUBLE: Final = (2.0, 7.0)
_BETWEEN_ROUTERS: Final = (2.0, 7.0)
_BETWEEN_CONFIGS: Final = (3.0, 8.0)
_SLOWEST: Final = 12.0


class Drain(StrEnum):
    """An engine is taken out of service before it is stopped, so that nothing is lost."""

    DRAIN = "drained"


class Ending(StrEnum):
    """How a router ends; another process takes its place."""

    TERMINATED = "terminated"
    KILLED = "router killed"


@dataclass(frozen=True)
class EngineFault:
    """One engine's trouble; `size` is how many times slower, or the share of requests that meet it."""

    at: float
    engine: int
    kind: Trouble | Drain
    seconds: float
    size: float


@dataclass(frozen=True)
class RouterFault:
    """A router ends. Its start takes its time, so that the next one comes no earlier than it is ready again."""

    at: float
    router: int
    kind: Ending


@dataclass(frozen=True)
class ConfigChange:
    """The routers' files change: to one of the variations, or to what is no configuration (None)."""

    at: float
    variation: int | None


@dataclass(frozen=True)
class Schedule:
    """All of it, each part in order of time. A router that takes long to start is not ended after `routers_until`."""

    engines: tuple[EngineFault, ...]
    routers: tuple[RouterFault, ...]
    configs: tuple[ConfigChange, ...]
    routers_until: float


def draw(seed: int, seconds: float, *, engines: int, routers: int, variations: int) -> Schedule:
    """The faults of a seed; every trouble is over before `seconds` are."""
    return Schedule(
        tuple(_engines(random.Random(f"{seed}/engines"), seconds, engines)),
        tuple(_routers(random.Random(f"{seed}/routers"), seconds * ROUTERS_SHARE, routers)),
        tuple(_configs(random.Random(f"{seed}/configs"), seconds, variations)),
        seconds * ROUTERS_SHARE,
    )


def _engines(chance: random.Random, seconds: float, count: int) -> list[EngineFault]:
    kinds = _bag(chance, (*Trouble, Drain.DRAIN))
    free = [_FIRST_SECONDS + chance.uniform(0.0, _PEACE[1] / 2) for _ in range(count)]
    found: list[EngineFault] = []
    while (at := min(free)) < seconds:
        engine = free.index(at)
        lasts = chance.uniform(*_TROUBLE)
        free[engine] = at + lasts + chance.uniform(*_PEACE)
        kind = next(kinds)
        size = chance.uniform(2.0, _SLOWEST) if kind is Trouble.SLOW else chance.uniform(0.1, 0.6)
        if at + lasts < seconds:
            found.append(EngineFault(round(at, 3), engine, kind, round(lasts, 3), round(size, 2)))
    return found


def _routers(chance: random.Random, seconds: float, count: int) -> Iterator[RouterFault]:
    kinds = _bag(chance, (Ending.TERMINATED, Ending.TERMINATED, Ending.KILLED))
    at = _FIRST_SECONDS
    while (at := at + chance.uniform(*_BETWEEN_ROUTERS)) < seconds:
        yield RouterFault(round(at, 3), chance.randrange(count), next(kinds))


def _configs(chance: random.Random, seconds: float, variations: int) -> Iterator[ConfigChange]:
    drawn = _bag(chance, (*range(variations), None))
    at = 0.0
    while (at := at + chance.uniform(*_BETWEEN_CONFIGS)) < seconds:
        yield ConfigChange(round(at, 3), next(drawn))


def _bag(chance: random.Random, items: Sequence[T]) -> Iterator[T]:
    """Each of the items once in random order, again and again."""
    while True:
        yield from chance.sample(items, len(items))
