"""The policies that can be put side by side, by the names that the command line has for them.

    planned        the product: forecast, plan and stabilisation of the fleet's own spec
    static-peak    what the highest minute of the trace takes, always
    hpa:70         Kubernetes' HorizontalPodAutoscaler on each tier, at 70 % of what an instance carries
    queue:70       KEDA's way on each tier: what is in flight and waits, over 70 % of an instance
    last-value     what the last minute took
    oracle         the least that violates nothing, knowing the future

All but two live with the fleet's bounds of instances and its GPU budget. static-peak and the oracle know no bound: they
say what the load itself costs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from heterofleet.api.tier import Instances
from heterofleet.simulate import oracle
from heterofleet.simulate.fluid import Floats, Pool, Seen, TierPolicy
from heterofleet.simulate.peers import Hpa, LastValue, QueueTarget, StaticPeak


class Kind(StrEnum):
    PLANNED = "planned"
    STATIC_PEAK = "static-peak"
    HPA = "hpa"
    QUEUE = "queue"
    LAST_VALUE = "last-value"
    ORACLE = "oracle"


_TARGETED: Final = (Kind.HPA, Kind.QUEUE)
_TARGET_PERCENT: Final = 70


class UnknownPolicy(ValueError):
    """Not the name of a policy; the sentence says which there are."""


class Choice(NamedTuple):
    """One policy, with its target in percent where it has one."""

    kind: Kind
    percent: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.percent}" if self.kind in _TARGETED else str(self.kind)

    @property
    def bounded(self) -> bool:
        """Whether the fleet's bounds and budget hold for it."""
        return self.kind not in (Kind.STATIC_PEAK, Kind.ORACLE)


DEFAULT: Final = tuple(Choice(kind, _TARGET_PERCENT if kind in _TARGETED else 0) for kind in Kind)


def chosen(text: str) -> tuple[Choice, ...]:
    """The policies of a list such as `planned,hpa:60,oracle`, each once. Raises UnknownPolicy."""
    found = [_choice(name.strip()) for name in text.split(",") if name.strip()]
    if not found:
        raise UnknownPolicy(f"no policy is named: choose from {_offered()}")
    return tuple(dict.fromkeys(found))


def _choice(text: str) -> Choice:
    name, _, percent = text.partition(":")
    if name not in tuple(Kind):
        raise UnknownPolicy(f"no policy {name!r}; choose from {_offered()}")
    kind = Kind(name)
    if not percent:
        return Choice(kind, _TARGET_PERCENT if kind in _TARGETED else 0)
    if kind not in _TARGETED:
        raise UnknownPolicy(f"policy {name} has no target: write {name}")
    if not percent.isdecimal() or not 1 <= int(percent) <= 100:
        raise UnknownPolicy(f"{text}: a target is a whole number of percent from 1 to 100: write {name}:70")
    return Choice(kind, int(percent))


def _offered() -> str:
    return ", ".join(f"{kind}:PERCENT" if kind in _TARGETED else str(kind) for kind in Kind)


@dataclass(frozen=True, slots=True)
class Bounded:
    """A policy whose counts are clamped to the tier's, as the operator clamps those of another writer."""

    policy: TierPolicy
    bounds: Instances

    def decide(self, seen: Seen) -> int:
        return min(max(self.policy.decide(seen), self.bounds.min), self.bounds.most)


def peer(choice: Choice, pool: Pool, work: Floats, bounds: Instances) -> TierPolicy:
    """A policy of one tier, for work in tokens a minute. Raises ValueError for the product, which plans both tiers."""
    made: Mapping[Kind, Callable[[], TierPolicy]] = {
        Kind.STATIC_PEAK: lambda: StaticPeak(int(oracle.needed(work, pool.capacity).max(initial=0))),
        Kind.ORACLE: lambda: oracle.Oracle(oracle.schedule(work, pool)),
        Kind.HPA: lambda: Hpa(pool.capacity, choice.percent / 100),
        Kind.QUEUE: lambda: QueueTarget(pool.capacity, choice.percent / 100),
        Kind.LAST_VALUE: lambda: LastValue(pool.capacity),
    }
    if choice.kind not in made:
        raise ValueError(f"{choice} is not a policy of one tier")
    policy = made[choice.kind]()
    return Bounded(policy, bounds) if choice.bounded else policy


def begins_with(choice: Choice, pool: Pool, work: Floats, bounds: Instances) -> int:
    """Instances that are ready at the beginning, so that nobody starts with an outage that it did not cause."""
    if choice.kind is Kind.STATIC_PEAK:
        return int(oracle.needed(work, pool.capacity).max(initial=0))
    needed = int(oracle.needed(work[:1], pool.capacity).max(initial=0))
    if choice.kind is Kind.ORACLE:
        return int(oracle.schedule(work, pool)[0]) if len(work) else 0
    return min(max(needed, bounds.min + bounds.warm), bounds.most)
