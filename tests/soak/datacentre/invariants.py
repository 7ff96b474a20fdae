"""What must hold in every second of a soak, judged over its samples and events: pure.

status    a fact that stands unchanged is in status within 5 s, while operator and API server are up. To the 5 s is
          added for how long the operator waited for a processor meanwhile, as the kernel counts it: a machine that
          others share makes it slow, not wrong. A kind of fact is judged by itself.
writers   no field is the operator's and somebody else's
orphans   nothing is for long without what controls it; what has drained leaves nothing behind
counts    a count that rose does not fall within the plan's stabilisation
drains    no request that came after routers could know is sent to an engine that drains
rules     randomwalk's, over every event: budget, drains, order, indexes, templates, one leader
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Final, NamedTuple

from heterofleet.api import labels
from heterofleet.api.labels import PodState
from randomwalk.history import Event
from soak.datacentre.site import Away
from soak.datacentre.watching import Sample
from soak.records import Record

TOLD_SECONDS: Final = 5.0
RETURN_SECONDS: Final = 5.0
"""After operator or API server came back, for the Lease and the watches; then the 5 s begin."""

KNOWN_SECONDS: Final = 5.0
"""Until routers have seen that an engine drains, on a machine that others share."""

COLLECTED_SECONDS: Final = 60.0
"""For how long Kubernetes' garbage collector may take, which starts anew with the API server."""


class Invariant(StrEnum):
    """By name; a violation says which."""

    STATUS = "what is stands in status within 5 s"
    WRITERS = "a field has one writer"
    ORPHANS = "nothing is left without its owner"
    COUNTS = "a count that rose does not fall at once"
    DRAINS = "no request is sent to an engine that drains"
    REQUESTS = "no request is lost"
    HEALED = "the fleet is Ready again at the end, and as small as it may be"


class Drain(NamedTuple):
    """A pod that takes nothing new: its engine's address, and from when to when by the wall clock."""

    engine: str
    since: float
    until: float


class Violation(NamedTuple):
    """What was broken when (seconds of the soak, None where it is not of a moment), and the evidence."""

    invariant: str
    at: float | None
    sentence: str


@dataclass(frozen=True)
class _Late:
    """A fact that status does not tell yet."""

    since: float
    waited: float
    value: object


def untold(samples: Sequence[Sample], away: Sequence[Away]) -> Iterator[Violation]:
    """Facts that status did not tell in time; each once."""
    late: dict[str, _Late] = {}
    waited, before = 0.0, 0.0
    for sample in samples:
        # A new process begins to count from 0.
        now = sample.waited or 0.0
        waited, before = waited + max(0.0, now - before if now >= before else now), now
        if any(one.since <= sample.at <= one.until + RETURN_SECONDS for one in away):
            late.clear()
            continue
        for name, value in sample.is_.items():
            known = late.get(name)
            if sample.told.get(name) == value:
                late.pop(name, None)
            elif known is None or known.value != value:
                late[name] = _Late(sample.at, waited, value)
            elif sample.at - known.since > TOLD_SECONDS + (waited - known.waited):
                yield Violation(Invariant.STATUS, sample.at, _untold(name, known, sample, waited))
                # It is told once, and again only where it changes.
                late[name] = _Late(float("inf"), waited, value)


def _untold(name: str, known: _Late, sample: Sample, waited: float) -> str:
    return (
        f"{name} is {known.value} for {sample.at - known.since:.1f} s and status says {sample.told.get(name)}"
        f" (the operator waited {waited - known.waited:.1f} s for a processor)"
    )


def written_twice(samples: Sequence[Sample]) -> Iterator[Violation]:
    """Fields that the operator shares; each once."""
    known: set[str] = set()
    for sample in samples:
        for path, owners in sample.shared.items():
            if path not in known:
                known.add(path)
                yield Violation(Invariant.WRITERS, sample.at, f"{path} is written by {', '.join(owners)}")


def orphaned(samples: Sequence[Sample]) -> Iterator[Violation]:
    """What stayed without its owner, or was so at the end."""
    since: dict[str, float] = {}
    told: set[str] = set()
    for sample in samples:
        since = {name: since.get(name, sample.at) for name in sample.orphans}
        for name, first in since.items():
            if name not in told and (sample.at - first > COLLECTED_SECONDS or sample is samples[-1]):
                told.add(name)
                yield Violation(Invariant.ORPHANS, sample.at, f"{name} is without its owner since {first:.1f} s")


def drains(events: Sequence[Event]) -> list[Drain]:
    """Every drain of every pod, in no order; one that lasts ends at infinity."""
    under_way: dict[str, Drain] = {}
    over: list[Drain] = []
    for event in events:
        address = event.body.get("status", {}).get("podIP")
        if event.kind != "Pod" or not address:
            continue
        if event.change != "DELETED" and event.labels.get(labels.STATE) == PodState.DRAINING:
            under_way.setdefault(event.uid, Drain(f"{address}:{labels.ENGINE_PORT}", event.seen, inf))
        elif event.uid in under_way:
            over.append(under_way.pop(event.uid)._replace(until=event.seen))
    return [*over, *under_way.values()]


def misled(records: Sequence[Record], drained: Sequence[Drain], origin: float) -> Iterator[Violation]:
    """Asks that an engine answered which had drained for a while when they came; `origin` is 0 s by the wall clock."""
    for one in records:
        began = origin + one.began
        for drain in drained:
            if one.endpoint == drain.engine and drain.since + KNOWN_SECONDS < began < drain.until:
                ago = began - drain.since
                sentence = f"{one.id} at {one.life} went to {one.endpoint}, which drained since {ago:.1f} s"
                yield Violation(Invariant.DRAINS, one.began, sentence)


def oscillating(events: Sequence[Event], hold_seconds: float) -> Iterator[Violation]:
    """Planned counts that fell within `hold_seconds` of their rise; events are a fleet's, times the wall clock's."""
    rises: dict[str, tuple[float, int, int]] = {}
    counts: dict[str, int] = {}
    for event in events:
        if event.kind != labels.FLEET_KIND:
            continue
        for tier, count in _planned(event).items():
            before = counts.get(tier)
            if before is not None and count > before:
                rises[tier] = (event.seen, before, count)
            elif before is not None and count < before and tier in rises:
                at, low, high = rises[tier]
                if count < high and event.seen - at < hold_seconds:
                    after = event.seen - at
                    sentence = f"{tier} went {low} -> {high} and {after:.1f} s later {before} -> {count}"
                    yield Violation(Invariant.COUNTS, None, sentence)
            counts[tier] = count


def _planned(event: Event) -> Mapping[str, int]:
    plan = event.body.get("status", {}).get("plan") or {}
    return {tier: plan[tier]["instances"] for tier in ("large", "small") if tier in plan}
