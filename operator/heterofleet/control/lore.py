"""What each fleet has learned of itself, in this process and, by its status, before; and the situation it makes.

note      a fleet is there: the catalogue's priors, or what its status says that it had learned
learn     an instance has started: how long that took
heed      a minute was observed: what instances carried, what escalated and spilled over
situation standing + load + what was learned, as `plan.plan` takes it
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from heterofleet.api import planned
from heterofleet.api.labels import FleetKey, Tier
from heterofleet.api.scaling import Mode
from heterofleet.api.tier import TierSpec
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.control.loads import Load
from heterofleet.control.standing import Standing, TierStanding
from heterofleet.control.virtual import Clock
from heterofleet.desired import engine
from heterofleet.metrics.signals import Signals
from heterofleet.planning import capacity, learning, startup, topology
from heterofleet.planning.capacity import Capacity, Shape
from heterofleet.planning.catalogue import Catalogue
from heterofleet.planning.forecast import window_seconds
from heterofleet.planning.learning import Learned, Minute
from heterofleet.planning.situation import CLASS_OF, Memory, Situation, TierNow

UNKNOWN_STARTUP_SECONDS = 600.0
"""For a model of which not even the size is known."""

Started = tuple[str, datetime]


@dataclass(slots=True)
class _Fleet:
    """One fleet's memory."""

    learned: Learned
    priors: Mapping[Tier, Capacity]
    shaped_by: tuple[TierSpec, TierSpec]
    starting: dict[Tier, set[Started]] = field(default_factory=lambda: {tier: set() for tier in Tier})
    foreseen: dict[Tier, float] = field(default_factory=dict)


class Lore:
    """What all fleets of a process have learned."""

    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._catalogue, self._clock = catalogue, clock
        self._fleets: dict[FleetKey, _Fleet] = {}

    def note(self, standing: Standing) -> Learned:
        """A reconcile saw the fleet; its starts teach. Another model or layout begins anew at the catalogue."""
        known = self._fleets.get(standing.fleet.key)
        if known is None:
            known = self._fleets[standing.fleet.key] = self._begin(standing.fleet)
            known.learned = _resumed(known.learned, standing.fleet)
        elif known.shaped_by != _shape(standing.fleet):
            self._fleets[standing.fleet.key] = known = self._begin(standing.fleet)
        for tier in Tier:
            self._learn_starts(known, tier, standing.tiers[tier])
        return known.learned

    def forget(self, key: FleetKey) -> None:
        self._fleets.pop(key, None)

    def windows(self, standing: Standing) -> Mapping[Tier, float]:
        """How far ahead the forecast of each tier must see."""
        interval = standing.fleet.spec.scaling.interval_seconds
        starts = self._fleets[standing.fleet.key].learned.startup_seconds
        return {tier: window_seconds(known.value, interval) for tier, known in starts.items()}

    def heed(self, standing: Standing, load: Load) -> Learned:
        """A minute was observed."""
        known = self._fleets[standing.fleet.key]
        if load.signals is not None:
            minute = _minute(standing, load.signals, known, load, self._weight(standing, load.signals))
            known.learned = learning.after_minute(known.learned, minute)
        known.foreseen = {
            tier: made.upper for tier in Tier if (made := load.loads[CLASS_OF[tier]].forecast) is not None
        }
        return known.learned

    def told(self, key: FleetKey) -> planned.Learned:
        """As the status tells it."""
        return learning.told(self._fleets[key].learned)

    def situation(self, standing: Standing, load: Load, counts: Mapping[Tier, int], memory: Memory) -> Situation:
        """What the plan is made from; `counts` are those in force.

        In mode Advisory the tiers are taken to be as they were advised to be: what is told is then what the plan would
        have done, and not how it would begin today, every day anew.
        """
        known = self._fleets[standing.fleet.key]
        return Situation(
            spec=standing.fleet.spec,
            now=self._clock.moment(),
            tiers={tier: self._tier(standing, tier, counts[tier], known) for tier in Tier},
            loads=load.loads,
            escalation_rate=known.learned.escalation_rate.value,
            spent_usd=load.spent_usd,
            spill_over_share=known.learned.spill_over_share.value,
            memory=memory,
        )

    def _tier(self, standing: Standing, tier: Tier, count: int, known: _Fleet) -> TierNow:
        seen, spec = standing.tiers[tier], standing.fleet.spec.tier(tier)
        takes, now = known.learned.startup_seconds[tier].value, self._clock.now()
        made = TierNow(
            count=count,
            ready=seen.ready,
            capacity=known.learned.capacity[tier].value,
            startup_seconds=takes,
            gpus_per_instance=spec.parallelism.world,
            booting=tuple(
                max(0.0, takes - (now - since).total_seconds() * self._clock.scale) for _, since in seen.booting
            ),
            pending=seen.pending,
            draining=seen.draining,
            failed=seen.failed,
            placeable=0 if seen.short_of_places else None,
            held=seen.held,
            usd_per_gpu_hour=spec.usd_per_gpu_hour,
            within_objective=known.priors[tier].within_objective,
        )
        if standing.fleet.spec.mode is Mode.ADVISORY and not seen.held:
            return replace(made, ready=count, booting=(), pending=0, draining=0, failed=0, placeable=None)
        return made

    def _weight(self, standing: Standing, signals: Signals) -> float | None:
        """Work of a prompt token by the mix of this minute: prefill and decode rates of engines, its requests' shape.

        None where no engine's rates are known, or nothing runs.
        """
        found = []
        for tier in Tier:
            engine = capacity.rates(standing.fleet.spec.tier(tier), self._catalogue)
            shape, running = _shape_of_requests(signals, tier), _running(signals, tier)
            if engine is not None and shape is not None and running:
                found.append(capacity.prompt_weight(engine, shape, running))
        return sum(found) / len(found) if found else None

    def _begin(self, fleet: HeterogeneousDeployment) -> _Fleet:
        priors = {tier: capacity.prior(fleet.spec.tier(tier), self._catalogue) for tier in Tier}
        begun = learning.prior(
            {tier: self._startup(fleet.spec.tier(tier)) for tier in Tier},
            {tier: made.work_per_second for tier, made in priors.items()},
        )
        return _Fleet(begun, priors, _shape(fleet))

    def _startup(self, tier: TierSpec) -> float:
        layout = topology.lay_out(tier.parallelism, tier.placement.gpus_per_node)
        if not isinstance(layout, topology.Layout):
            return UNKNOWN_STARTUP_SECONDS
        facts = self._catalogue.facts(tier.model)
        seconds = startup.seconds_prior(facts, layout, downloads=engine.downloads(tier.model.source))
        return UNKNOWN_STARTUP_SECONDS if seconds is None else seconds

    def _learn_starts(self, known: _Fleet, tier: Tier, seen: TierStanding) -> None:
        """A start counts when it was seen to begin: of others nobody knows what came in between."""
        for start in seen.starts:
            identity = start.name, start.began
            if identity in known.starting[tier]:
                seconds = (start.ready - start.began).total_seconds() * self._clock.scale
                known.learned = learning.after_start(known.learned, tier, seconds)
        known.starting[tier] = set(seen.booting)


def _shape(fleet: HeterogeneousDeployment) -> tuple[TierSpec, TierSpec]:
    """What start-up and capacity depend on: bounds of the counts and prices do not."""

    def of(tier: TierSpec) -> TierSpec:
        return tier.model_copy(update={"instances": type(tier.instances)(), "price": None})

    return of(fleet.spec.large), of(fleet.spec.small)


def _resumed(begun: Learned, fleet: HeterogeneousDeployment) -> Learned:
    tiers = {tier: fleet.status.tier(tier) for tier in Tier}
    return learning.resumed(
        begun,
        fleet.status.learned,
        {tier: told.startup_seconds for tier, told in tiers.items()},
        {tier: told.capacity_tokens_per_second for tier, told in tiers.items()},
    )


def _shape_of_requests(signals: Signals, tier: Tier) -> Shape | None:
    tokens, requests = signals.offered.get(CLASS_OF[tier]), signals.requests.get(CLASS_OF[tier])
    if tokens is None or not requests or not tokens.completion:
        return None
    return Shape(tokens.prompt / requests, tokens.completion / requests)


def _running(signals: Signals, tier: Tier) -> float:
    """Requests that an engine of a tier runs at once."""
    seen = signals.tiers.get(tier)
    return (seen.running_requests or 0.0) / seen.engines if seen is not None and seen.engines else 0.0


def _minute(standing: Standing, signals: Signals, known: _Fleet, load: Load, weight_now: float | None) -> Minute:
    weight = known.learned.prompt_weight.value
    return Minute(
        served={tier: signals.tiers[tier].served_per_instance(weight) for tier in Tier if tier in signals.tiers},
        pressure={tier: _pressure(standing, signals, tier) for tier in Tier},
        prompt_weight=weight_now,
        escalated=signals.escalation_rate(weight),
        spilled=signals.spill_over_rate(weight),
        covered=_covered(known, load),
    )


def _pressure(standing: Standing, signals: Signals, tier: Tier) -> float | None:
    """The worse of both latencies at the promised share of requests, over the objective's."""
    objective = standing.fleet.spec.tier(tier).objective
    first, following = signals.first_token.get(CLASS_OF[tier]), signals.inter_token.get(tier)
    found = []
    if first is not None:
        found.append(first.quantile(objective.attainment) / objective.ttft_seconds)
    if following is not None:
        found.append(following.quantile(objective.attainment) / objective.inter_token_seconds)
    return max(found, default=None)


def _covered(known: _Fleet, load: Load) -> bool | None:
    """Whether the load is below what was forecast for this minute; None where one of both is not known."""
    judged = [
        offered <= known.foreseen[tier]
        for tier in Tier
        if tier in known.foreseen and (offered := load.loads[CLASS_OF[tier]].offered) is not None
    ]
    return all(judged) if judged else None
