"""What Prometheus knows of one fleet now, typed and masked: what is not in here is not known, and `missing` names it.

Stands between the answers of Prometheus (`metrics.reader` asks) and the planner. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from heterofleet.api.labels import FleetKey, Tier
from heterofleet.api.routing import RequestClass
from heterofleet.metrics.latency import Histogram
from heterofleet.metrics.queries import INSTANT, Signal
from heterofleet.metrics.samples import FUTURE_SECONDS, Lost, Sample, absurd, fleet_of

Answers = Mapping[Signal, tuple[Sample, ...] | Lost]
Values = Mapping[tuple[str, ...], float]
"""Values of one signal of one fleet, by the labels of its query."""

NO_RULES = "recording rules"
STALE = "fresh samples"
FUTURE = "samples of this time"


class Tokens(NamedTuple):
    """Tokens a second."""

    prompt: float
    completion: float

    def work(self, prompt_weight: float) -> float:
        """Work tokens a second (scaling.md, "Demand")."""
        return self.completion + prompt_weight * self.prompt


@dataclass(frozen=True, slots=True)
class TierSignals:
    """One tier as its engines and the routers tell it; None where they tell nothing."""

    queue_requests: float | None = None
    queue_oldest_age_seconds: float | None = None
    in_flight_requests: float | None = None
    engines: float | None = None
    """Instances that are scraped."""
    running_requests: float | None = None
    waiting_requests: float | None = None
    kv_cache_use: float | None = None
    """Mean share of the cache that is in use."""
    served: Tokens | None = None
    """Of all instances together, prompt tokens that a prefix cache held included."""

    def served_per_instance(self, prompt_weight: float) -> float | None:
        """Work tokens a second that an instance serves on average."""
        if self.served is None or not self.engines:
            return None
        return self.served.work(prompt_weight) / self.engines


@dataclass(frozen=True, slots=True)
class Signals:
    """One fleet. `age_seconds` is that of the newest sample of its routers; None where nobody can say."""

    age_seconds: float | None
    routers: int
    """Routers that Prometheus hears of."""
    missing: tuple[str, ...] = ()
    requests: Mapping[RequestClass, float] = field(default_factory=dict)
    """Requests a second that ask for work: offered, without cache hits and what a budget refused."""
    offered: Mapping[RequestClass, Tokens] = field(default_factory=dict)
    """The work of those requests, of the last two minutes."""
    hourly: Mapping[RequestClass, Tokens] = field(default_factory=dict)
    """The same, on average over the last hour."""
    escalated: Mapping[RequestClass, Tokens] = field(default_factory=dict)
    """What the large tier did again, over the last hour, since the small answer was not good enough."""
    spilled: Mapping[RequestClass, Tokens] = field(default_factory=dict)
    """Act work that the large tier did for any other reason, over the last hour."""
    cache_hits: Mapping[RequestClass, float] = field(default_factory=dict)
    """Share of requests, over the last hour."""
    first_token: Mapping[RequestClass, Histogram] = field(default_factory=dict)
    inter_token: Mapping[Tier, Histogram] = field(default_factory=dict)
    tiers: Mapping[Tier, TierSignals] = field(default_factory=dict)
    spent_usd: float | None = None
    """GPUs held x USD an hour over the last 24 hours, as far as Prometheus has heard the operator."""

    def escalation_rate(self, prompt_weight: float) -> float | None:
        """Large work for each unit of act work; None where no act work was offered, or nobody knows."""
        return self._per_act_work(self.escalated, prompt_weight)

    def spill_over_rate(self, prompt_weight: float) -> float | None:
        """Share of act work that the large tier took without need; None as above."""
        return self._per_act_work(self.spilled, prompt_weight)

    def _per_act_work(self, part: Mapping[RequestClass, Tokens], prompt_weight: float) -> float | None:
        of, whole = part.get(RequestClass.ACT), self.hourly.get(RequestClass.ACT)
        if of is None or whole is None or not whole.work(prompt_weight):
            return None
        return of.work(prompt_weight) / whole.work(prompt_weight)


def of_fleets(
    answers: Answers, now: float, *, stale_after_seconds: float, ready_routers: Mapping[FleetKey, int]
) -> Mapping[FleetKey, Signals]:
    """The signals of every fleet whose routers Prometheus hears of."""
    by_fleet, unasked = _sorted_by_fleet(answers)
    return {
        fleet: _Fleet(values, unasked).signals(now, stale_after_seconds, ready_routers.get(fleet, 0))
        for fleet, values in by_fleet.items()
        if Signal.ROUTERS in values
    }


def _sorted_by_fleet(answers: Answers) -> tuple[dict[FleetKey, dict[Signal, Values]], tuple[str, ...]]:
    by_fleet: dict[FleetKey, dict[Signal, dict[tuple[str, ...], float]]] = {}
    unasked = []
    for signal, answer in answers.items():
        if isinstance(answer, Lost):
            unasked.append(str(signal))
            continue
        labels = INSTANT[signal].labels
        for sample in answer:
            fleet = fleet_of(sample.labels)
            if fleet is not None:
                of_signal = by_fleet.setdefault(fleet, {}).setdefault(signal, {})
                of_signal[tuple(sample.labels.get(label, "") for label in labels)] = sample.value
    return {fleet: dict(values) for fleet, values in by_fleet.items()}, tuple(unasked)


class _Fleet:
    """Puts the values of one fleet together, and notes what is missing on the way."""

    def __init__(self, values: Mapping[Signal, Values], unasked: tuple[str, ...]) -> None:
        self._values = values
        self._missing = list(unasked)

    def signals(self, now: float, stale_after_seconds: float, ready_routers: int) -> Signals:
        routers = int(self._one(Signal.ROUTERS, ()) or 0)
        newest = self._one(Signal.NEWEST_SAMPLE, ())
        age = None if newest is None else now - newest
        trusted = self._trusted(age, stale_after_seconds, routers, ready_routers)
        return Signals(
            age_seconds=None if age is None else max(0.0, age),
            routers=routers,
            requests=self._by_class(Signal.DEMAND) if trusted else {},
            offered=self._tokens(Signal.OFFERED_PROMPT, Signal.OFFERED_COMPLETION, needed=True) if trusted else {},
            hourly=self._tokens(Signal.HOURLY_PROMPT, Signal.HOURLY_COMPLETION),
            escalated=self._tokens(Signal.ESCALATED_PROMPT, Signal.ESCALATED_COMPLETION),
            spilled=self._tokens(Signal.SPILLED_PROMPT, Signal.SPILLED_COMPLETION),
            cache_hits=self._by_class(Signal.CACHE_HITS),
            first_token={
                name: found for name in RequestClass if (found := self._histogram(Signal.LATENCY_FIRST, name))
            },
            inter_token={tier: found for tier in Tier if (found := self._histogram(Signal.LATENCY_NEXT, tier))},
            tiers={tier: self._tier(tier) for tier in Tier},
            spent_usd=self._one(Signal.SPENT, ()),
            # Last, since each of the above may have added to it.
            missing=tuple(self._missing),
        )

    def _trusted(self, age: float | None, stale_after_seconds: float, routers: int, ready_routers: int) -> bool:
        """Whether the load of this moment is known, as far as its age and its sources go."""
        wrong = None
        if age is None:
            wrong = NO_RULES
        elif age < -FUTURE_SECONDS:
            wrong = FUTURE
        elif age > stale_after_seconds:
            wrong = STALE
        elif routers < ready_routers:
            # The others' load is not in the sum, so that it would look like less than there is.
            wrong = f"{ready_routers - routers} of {ready_routers} routers"
        if wrong is not None:
            self._missing.append(wrong)
        return wrong is None

    def _one(self, signal: Signal, labels: tuple[str, ...]) -> float | None:
        value = self._values.get(signal, {}).get(labels)
        if value is None or not absurd(value):
            return value
        self._missing.append(" of ".join((str(signal), *labels)))
        return None

    def _by_class(self, signal: Signal) -> Mapping[RequestClass, float]:
        found = {name: self._one(signal, (name,)) for name in RequestClass}
        return {name: value for name, value in found.items() if value is not None}

    def _tokens(self, prompt: Signal, completion: Signal, *, needed: bool = False) -> Mapping[RequestClass, Tokens]:
        found = {}
        for name in RequestClass:
            both = self._one(prompt, (name,)), self._one(completion, (name,))
            if both[0] is not None and both[1] is not None:
                found[name] = Tokens(both[0], both[1])
            elif needed:
                self._missing.append(f"load of class {name}")
        return found

    def _histogram(self, signal: Signal, of: str) -> Histogram | None:
        buckets = self._values.get(signal, {})
        return Histogram.of({labels[1]: value for labels, value in buckets.items() if labels[0] == of})

    def _tier(self, tier: Tier) -> TierSignals:
        prompt, generation = self._one(Signal.ENGINE_PROMPT, (tier,)), self._one(Signal.ENGINE_GENERATION, (tier,))
        return TierSignals(
            queue_requests=self._one(Signal.QUEUE, (tier,)),
            queue_oldest_age_seconds=self._one(Signal.QUEUE_AGE, (tier,)),
            in_flight_requests=self._one(Signal.IN_FLIGHT, (tier,)),
            engines=self._one(Signal.ENGINES, (tier,)),
            running_requests=self._one(Signal.RUNNING, (tier,)),
            waiting_requests=self._one(Signal.WAITING, (tier,)),
            kv_cache_use=self._one(Signal.KV_CACHE, (tier,)),
            served=None if prompt is None or generation is None else Tokens(prompt, generation),
        )
