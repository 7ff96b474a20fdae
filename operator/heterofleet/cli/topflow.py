"""What flows through a fleet, read from its routers' own series: queues, requests under way, rates, escalations. Pure.

    rate          growth of a counter between two looks at the same router / time between them
    escalation    escalations / act requests that came, between the same looks

A router that was not there at the first look, or has restarted since, tells its gauges and no rate.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from heterofleet.api.labels import Tier
from heterofleet.api.routing import RequestClass

_ROUTER: Final = "heterofleet_router_"
_SAMPLE: Final = re.compile(rf"^{_ROUTER}([a-z_]+)(?:\{{(.*)\}})? ([-+0-9.eE]+)$")
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')
_QUEUE, _IN_FLIGHT = "queue_requests", "in_flight_requests"
_OFFERED, _ESCALATIONS = "offered_total", "escalations_total"
_TOKENS: Final = ("prompt_tokens_total", "completion_tokens_total")


class Look(NamedTuple):
    """One router at one moment: gauges by tier, and counters since it started; `at` is in seconds of any clock."""

    at: float
    queue: Mapping[Tier, float]
    in_flight: Mapping[Tier, float]
    offered: float
    act: float
    tokens: float
    escalations: float


@dataclass(frozen=True, slots=True)
class Flow:
    """A fleet's flow; None, or a tier that is not there, where nobody has told."""

    queue: Mapping[Tier, float] = field(default_factory=dict)
    in_flight: Mapping[Tier, float] = field(default_factory=dict)
    requests_per_second: float | None = None
    tokens_per_second: float | None = None
    escalation_rate: float | None = None

    @property
    def queued(self) -> float | None:
        return sum(self.queue.values()) if self.queue else None

    @property
    def under_way(self) -> float | None:
        return sum(self.in_flight.values()) if self.in_flight else None


def look(text: str, at: float) -> Look | None:
    """Read a router's exposition; None where it is none."""
    gauges: dict[str, dict[Tier, float]] = {name: dict.fromkeys(Tier, 0.0) for name in (_QUEUE, _IN_FLIGHT)}
    counters = dict.fromkeys((_OFFERED, _ESCALATIONS, *_TOKENS), 0.0)
    act, found = 0.0, False
    for line in text.splitlines():
        sample = _SAMPLE.match(line)
        if sample is None:
            continue
        name, value, labels = sample[1], float(sample[3]), dict(_LABEL.findall(sample[2] or ""))
        found = True
        if name in gauges and labels.get("tier") in set(Tier):
            gauges[name][Tier(labels["tier"])] += value
        elif name in counters:
            counters[name] += value
            act += value if name == _OFFERED and labels.get("class") == RequestClass.ACT else 0.0
    if not found:
        return None
    tokens = sum(counters[name] for name in _TOKENS)
    return Look(at, gauges[_QUEUE], gauges[_IN_FLIGHT], counters[_OFFERED], act, tokens, counters[_ESCALATIONS])


def flow(before: Mapping[str, Look], now: Mapping[str, Look]) -> Flow:
    """The flow of a fleet from two looks at its routers, by their names."""
    if not now:
        return Flow()
    pairs = [(before[name], one) for name, one in now.items() if name in before and _goes_on(before[name], one)]
    act = sum(after.act - earlier.act for earlier, after in pairs)
    escalated = sum(after.escalations - earlier.escalations for earlier, after in pairs)
    return Flow(
        queue={tier: sum(one.queue[tier] for one in now.values()) for tier in Tier},
        in_flight={tier: sum(one.in_flight[tier] for one in now.values()) for tier in Tier},
        requests_per_second=_rate(
            [(after.offered - earlier.offered, after.at - earlier.at) for earlier, after in pairs]
        ),
        tokens_per_second=_rate([(after.tokens - earlier.tokens, after.at - earlier.at) for earlier, after in pairs]),
        escalation_rate=escalated / act if act > 0 else None,
    )


def _goes_on(earlier: Look, later: Look) -> bool:
    return later.at > earlier.at and later.offered >= earlier.offered and later.tokens >= earlier.tokens


def _rate(grown: list[tuple[float, float]]) -> float | None:
    return sum(amount / seconds for amount, seconds in grown) if grown else None
