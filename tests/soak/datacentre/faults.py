"""When what goes wrong in the data centre: a seeded plan in two lanes, one trouble at a time in each. Pure.

    machines   what runs the fleet's containers: pods, ranks, nodes, engines
    services   what the fleet leans on: a router, the operator, the API server, Prometheus

Kinds are drawn from a bag that holds each once, so that a minute has every one of them. `pick` is where in the sorted
list of candidates the target stands: what a seed fixes is the moment, the kind, the length and that place.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

T = TypeVar("T")


class Kind(StrEnum):
    """What happens; the value stands in the report."""

    POD = "pod killed"
    RANK = "rank killed"
    NODE = "node lost"
    SLOW = "engine slow"
    GARBAGE = "engine talks garbage"
    ROUTER = "router killed"
    OPERATOR = "operator killed"
    SERVER = "API server away"
    PROMETHEUS = "Prometheus away"


MACHINES: Final = (Kind.POD, Kind.RANK, Kind.NODE, Kind.SLOW, Kind.GARBAGE)
SERVICES: Final = (Kind.ROUTER, Kind.OPERATOR, Kind.SERVER, Kind.PROMETHEUS)

_FIRST_SECONDS: Final = 3.0
_TROUBLE: Final = (2.0, 5.0)
_PEACE: Final = (3.0, 6.0)
_SLOWEST: Final = 8.0


@dataclass(frozen=True)
class Fault:
    """One trouble; `pick` from 0 to 1 chooses the target, `size` is how many times slower or the share that is hit."""

    at: float
    kind: Kind
    seconds: float
    pick: float
    size: float


@dataclass(frozen=True)
class Plan:
    """The faults of a seed, each lane in order of time."""

    machines: tuple[Fault, ...]
    services: tuple[Fault, ...]


def draw(seed: int, seconds: float) -> Plan:
    """Every trouble is over before `seconds` are; a lane's next one begins after the one before."""
    return Plan(
        tuple(_lane(random.Random(f"{seed}/machines"), MACHINES, seconds)),
        tuple(_lane(random.Random(f"{seed}/services"), SERVICES, seconds)),
    )


def _lane(chance: random.Random, kinds: Sequence[Kind], seconds: float) -> Iterator[Fault]:
    bag, at = _bag(chance, kinds), _FIRST_SECONDS
    while True:
        kind, lasts = next(bag), chance.uniform(*_TROUBLE)
        size = chance.uniform(2.0, _SLOWEST) if kind is Kind.SLOW else chance.uniform(0.2, 0.6)
        if at + lasts >= seconds:
            return
        yield Fault(round(at, 3), kind, round(lasts, 3), round(chance.random(), 4), round(size, 2))
        at += lasts + chance.uniform(*_PEACE)


def _bag(chance: random.Random, items: Sequence[T]) -> Iterator[T]:
    """Each of the items once in random order, again and again."""
    while True:
        yield from chance.sample(items, len(items))
