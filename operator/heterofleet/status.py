"""What the fleet's status says, from facts: pure.

The last step of a reconcile: tiers, router and findings go in, the whole status comes out. A condition keeps the
time of its last change, so that an unchanged fleet gives an unchanged status and nothing is written.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from heterofleet.api.conditions import (
    Condition,
    ConditionType,
    CostStatus,
    FleetStatus,
    InstanceState,
    InstanceStatus,
    LastDrain,
    LastExit,
    Override,
    Reason,
    TierStatus,
)
from heterofleet.api.labels import Tier
from heterofleet.api.planned import Bound, PlanStatus
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.planning import spending, telling, termination
from heterofleet.planning.counts import Target
from heterofleet.planning.instances import Hold
from heterofleet.planning.telling import Told

NO_METRICS = "the operator knows no Prometheus: counts stay at their minimum, and queues raise them"
LONGEST_MESSAGE = 1024
"""What a condition says is for a person; longer texts stay in logs and Events."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be, or not yet: a reason and the sentence that helps."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class TierFacts:
    """One tier as it is and as it shall be. `instances` is listed for the large tier only."""

    target: Target
    ready: int = 0
    serving: int = 0
    draining: int = 0
    gpus: int = 0
    revision: str = ""
    rolling: bool = False
    expert_parallel_size: int | None = None
    instances: Sequence[InstanceStatus] = ()
    override: Override | None = None
    holds: frozenset[Hold] = frozenset()
    waiting: str = ""
    progress: str = ""
    restarting: str = ""
    problems: Sequence[Finding] = ()


@dataclass(frozen=True)
class RouterFacts:
    desired: int = 0
    ready: int = 0
    configured: Finding | None = None
    """None when all running routers have the config in force."""
    digest: str = ""
    updates: tuple[str, ...] = ()
    """What routers of another image would be told."""


@dataclass(frozen=True)
class Facts:
    """Everything that a status is made of."""

    tiers: dict[Tier, TierFacts]
    router: RouterFacts
    endpoint: str
    refused: Finding | None = None
    accepted: Finding = field(default_factory=lambda: Finding(Reason.VALID, "the spec is valid and every model fits"))
    pair: Finding = field(default_factory=lambda: Finding(Reason.FAMILY_UNKNOWN, "a tier's model is not known"))
    problems: Sequence[Finding] = ()
    updates: Sequence[str] = ()
    last_drain: LastDrain | None = None
    suspended: bool = False
    told: Told = field(default_factory=Told)
    """What the last plan tells; empty before the first, and then what was told before stays."""
    metrics: Finding | None = None
    money: Finding | None = None
    """Of load and money nothing is known before the first plan: then what was said before stays."""


def refusal(fleet_generation: int, previous: FleetStatus, finding: Finding, now: datetime) -> FleetStatus:
    """The status of a resource that cannot be read: all that was known stays, Accepted and Ready say why."""
    claims = (
        _claim(ConditionType.ACCEPTED, False, finding),
        _claim(ConditionType.READY, False, Finding(Reason.NOT_ACCEPTED, finding.message)),
        _claim(ConditionType.STALLED, True, finding),
    )
    named = {claim.type for claim in claims}
    kept = [condition for condition in previous.conditions if condition.type not in named]
    conditions = _dated([*claims, *kept], previous, fleet_generation, now)
    return previous.model_copy(update={"observed_generation": fleet_generation, "conditions": conditions})


def stall(previous: FleetStatus, finding: Finding, now: datetime) -> FleetStatus:
    """The status as it was, but for Stalled, which says what keeps it from being brought up to date."""
    claim = _claim(ConditionType.STALLED, True, finding)
    kept = [condition for condition in previous.conditions if condition.type is not ConditionType.STALLED]
    conditions = [*kept, *_dated([claim], previous, previous.observed_generation, now)]
    return previous.model_copy(update={"conditions": conditions})


def compute(fleet: HeterogeneousDeployment, facts: Facts, now: datetime) -> FleetStatus:
    """The whole status of a fleet."""
    previous = fleet.status
    large, small = facts.tiers[Tier.LARGE], facts.tiers[Tier.SMALL]
    told = _told(previous, facts.told)
    return FleetStatus(
        observed_generation=fleet.metadata.generation,
        conditions=_dated([*_claims(facts), *_of_plan(facts, previous)], previous, fleet.metadata.generation, now),
        large=_tier_status(large, told, Tier.LARGE),
        small=_tier_status(small, told, Tier.SMALL),
        ratio=_ratio(large, small),
        endpoint=facts.endpoint,
        cost=CostStatus(usd_per_hour=usd_per_hour(fleet, facts), savings_ratio=told.savings_ratio),
        forecast=told.forecast,
        plan=told.plan,
        decisions=list(told.decisions),
        learned=told.learned,
        last_drain=facts.last_drain,
    )


def _told(previous: FleetStatus, fresh: Told) -> Told:
    """What is told of the plan: what was told before, where that is near enough or nothing newer is known."""
    tiers = {Tier.LARGE: previous.large, Tier.SMALL: previous.small}
    known = Told(
        forecast=previous.forecast,
        plan=previous.plan,
        learned=previous.learned,
        startup_seconds={tier: held.startup_seconds for tier, held in tiers.items()},
        capacity={tier: held.capacity_tokens_per_second for tier, held in tiers.items()},
        decisions=tuple(previous.decisions),
        savings_ratio=previous.cost.savings_ratio,
    )
    return known if fresh.plan is None else telling.settled(known, fresh)


def usd_per_hour(fleet: HeterogeneousDeployment, facts: Facts) -> str:
    """Fleet money: GPUs held x usdPerGpuHour, empty when a tier has no price (contracts.md, "Money")."""
    total = 0.0
    for tier, held in facts.tiers.items():
        price = fleet.spec.tier(tier).price
        if price is None or price.usd_per_gpu_hour is None:
            return ""
        total += held.gpus * price.usd_per_gpu_hour
    return f"{total:.2f}"


def _tier_status(facts: TierFacts, told: Told, tier: Tier) -> TierStatus:
    return TierStatus(
        summary=f"{facts.ready}/{facts.target.total}",
        desired=facts.target.total,
        ready=facts.ready,
        draining=facts.draining,
        gpus=facts.gpus,
        expert_parallel_size=facts.expert_parallel_size,
        revision=facts.revision,
        instances=list(facts.instances),
        override=facts.override,
        startup_seconds=told.startup_seconds.get(tier),
        capacity_tokens_per_second=told.capacity.get(tier),
    )


def _ratio(large: TierFacts, small: TierFacts) -> str:
    """Small instances a large one, by count; empty while there is no large one."""
    return f"{small.ready / large.ready:.3g}" if large.ready else ""


@dataclass(frozen=True)
class _Claim:
    type: ConditionType
    status: bool
    reason: Reason
    message: str


def _claim(type_: ConditionType, status: bool, finding: Finding) -> _Claim:
    return _Claim(type_, status, finding.reason, finding.message)


def _dated(
    claims: Sequence[_Claim | Condition], previous: FleetStatus, generation: int, now: datetime
) -> list[Condition]:
    conditions = []
    for claim in claims:
        known = previous.condition(claim.type)
        unchanged = known is not None and known.status == claim.status
        conditions.append(
            Condition(
                type=claim.type,
                status=claim.status,
                reason=claim.reason,
                message=claim.message[:LONGEST_MESSAGE],
                observed_generation=generation,
                last_transition_time=known.last_transition_time if known and unchanged else now,
            )
        )
    return conditions


def _claims(facts: Facts) -> Iterator[_Claim]:
    tiers = {tier: _tier_claim(tier, facts.tiers[tier], facts) for tier in Tier}
    router = _router_claim(facts)
    degraded = _degraded(facts)
    stalled = _stalled(facts)
    yield _claim(ConditionType.ACCEPTED, facts.refused is None, facts.refused or facts.accepted)
    yield _ready(facts, (*tiers.values(), router))
    yield from tiers.values()
    yield router
    yield _configured(facts.router)
    yield _claim(ConditionType.PAIR_MATCHED, facts.pair.reason is not Reason.FAMILIES_DIFFER, facts.pair)
    yield _claim(ConditionType.DEGRADED, degraded is not None, degraded or Finding(Reason.HEALTHY, "nothing is broken"))
    yield _limited(facts)
    yield _updates(facts)
    yield _reconciling(facts, (*tiers.values(), router))
    yield _claim(ConditionType.STALLED, stalled is not None, stalled or Finding(Reason.SETTLED, "nothing is stuck"))


def _of_plan(facts: Facts, previous: FleetStatus) -> Iterator[_Claim]:
    """What the last plan found of load and money."""
    metrics = facts.metrics or _said(
        previous, ConditionType.METRICS_AVAILABLE, Reason.METRICS_NOT_CONFIGURED, NO_METRICS
    )
    money = facts.money or _said(previous, ConditionType.BUDGET_EXCEEDED, Reason.WITHIN_BUDGET, spending.NO_BUDGET)
    yield _claim(ConditionType.METRICS_AVAILABLE, metrics.reason is Reason.METRICS_FRESH, metrics)
    yield _claim(ConditionType.BUDGET_EXCEEDED, money.reason is not Reason.WITHIN_BUDGET, money)


def _said(previous: FleetStatus, type_: ConditionType, reason: Reason, sentence: str) -> Finding:
    known = previous.condition(type_)
    return Finding(reason, sentence) if known is None else Finding(known.reason, known.message)


def _ready(facts: Facts, parts: Sequence[_Claim]) -> _Claim:
    """The one sentence that a person needs."""
    if facts.refused is not None:
        return _Claim(ConditionType.READY, False, Reason.NOT_ACCEPTED, facts.refused.message)
    for part in parts:
        if not part.status:
            return _Claim(ConditionType.READY, False, part.reason, part.message)
    if facts.suspended:
        return _Claim(ConditionType.READY, True, Reason.SUSPENDED, "serving; spec.suspend stops all writes but status")
    large, small = facts.tiers[Tier.LARGE], facts.tiers[Tier.SMALL]
    sentence = f"{large.ready} large and {small.ready} small instances serve behind {facts.router.ready} routers"
    return _Claim(ConditionType.READY, True, Reason.ALL_READY, sentence)


_TIER_CONDITION = {Tier.LARGE: ConditionType.LARGE_TIER_READY, Tier.SMALL: ConditionType.SMALL_TIER_READY}


def _tier_claim(tier: Tier, held: TierFacts, facts: Facts) -> _Claim:
    type_ = _TIER_CONDITION[tier]
    wanted = held.target.base
    if held.ready >= wanted:
        if wanted == 0:
            return _Claim(type_, True, Reason.SCALED_TO_ZERO, f"the {tier} tier is scaled to 0")
        return _Claim(type_, True, Reason.ALL_READY, f"{held.ready} of {held.target.total} instances are ready")
    counted = f"{held.ready} of {wanted} {tier} instances are ready"
    if Hold.GPUS in held.holds:
        return _Claim(type_, False, Reason.WAITING_FOR_GPUS, f"{counted}: {held.waiting or 'GPUs are missing'}")
    unplaced = sum(instance.state is InstanceState.WAITING for instance in held.instances)
    if unplaced:
        sentence = f"{counted}: the pods of {unplaced} wait for nodes with free GPUs"
        return _Claim(type_, False, Reason.WAITING_FOR_GPUS, sentence)
    if held.problems:
        return _Claim(type_, False, held.problems[0].reason, f"{counted}: {held.problems[0].message}")
    if restarting := held.restarting or _restarting(held.instances):
        return _Claim(type_, False, Reason.GROUP_RESTARTING, f"{counted}: {restarting}")
    if held.rolling:
        return _Claim(type_, False, Reason.ROLLING, f"{counted}: the tier moves to revision {held.revision}")
    if facts.refused is not None:
        return _Claim(type_, False, Reason.NOT_ACCEPTED, f"{counted}: nothing is started while the spec is refused")
    if facts.suspended and not held.serving:
        return _Claim(type_, False, Reason.SUSPENDED, f"{counted}: spec.suspend stops all writes but status")
    return _Claim(type_, False, Reason.STARTING, f"{counted}: {held.progress or 'the others are starting'}")


def _restarting(instances: Sequence[InstanceStatus]) -> str:
    parts = []
    for instance in instances:
        if instance.state is InstanceState.RESTARTING:
            told = f"instance {instance.index} restarts as one ({instance.restarts} so far"
            parts.append(f"{told}{_exit(instance.last_exit)})")
    return "; ".join(parts)


def _exit(last: LastExit | None) -> str:
    if last is None:
        return ""
    cause = termination.cause(last.exit_code, last.message)
    return f", exit code {last.exit_code}" + (f": {cause}" if cause else "")


def _router_claim(facts: Facts) -> _Claim:
    router = facts.router
    if router.desired == 0:
        return _Claim(ConditionType.ROUTER_READY, True, Reason.SCALED_TO_ZERO, "router.instances.min is 0")
    if router.ready == 0:
        sentence = f"0 of {router.desired} routers are ready"
        if facts.refused is not None:
            return _Claim(ConditionType.ROUTER_READY, False, Reason.NOT_ACCEPTED, sentence)
        return _Claim(ConditionType.ROUTER_READY, False, Reason.ROUTER_NOT_READY, sentence)
    return _Claim(
        ConditionType.ROUTER_READY, True, Reason.ALL_READY, f"{router.ready} of {router.desired} routers are ready"
    )


def _configured(router: RouterFacts) -> _Claim:
    if router.desired == 0:
        return _Claim(ConditionType.ROUTER_CONFIGURED, True, Reason.SCALED_TO_ZERO, "there is no router to configure")
    if router.configured is not None:
        return _claim(ConditionType.ROUTER_CONFIGURED, False, router.configured)
    sentence = f"every router runs config {router.digest[:12]}"
    return _Claim(ConditionType.ROUTER_CONFIGURED, True, Reason.CONFIGURED, sentence)


def _degraded(facts: Facts) -> Finding | None:
    problems = [*(p for held in facts.tiers.values() for p in held.problems), *facts.problems]
    if not problems:
        return None
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Finding(problems[0].reason, f"{problems[0].message}{more}")


_LIMITING = {
    Bound.MAXIMUM: Reason.ABOVE_MAX,
    Bound.GPU_BUDGET: Reason.GPU_BUDGET,
    Bound.MONEY_BUDGET: Reason.MONEY_BUDGET,
    Bound.RATIO: Reason.RATIO_BOUND,
    Bound.SCHEDULE: Reason.SCHEDULE_BOUND,
    Bound.NO_PLACE: Reason.NO_PLACE,
    Bound.OBJECTIVE: Reason.OBJECTIVE_OUT_OF_REACH,
}
"""Bounds of a plan that keep a tier below what its load asks for."""


def _limited(facts: Facts) -> _Claim:
    limits = [Finding(limit.reason, limit.message) for held in facts.tiers.values() for limit in held.target.limits]
    limits += _limits_of_plan(facts.told.plan)
    if not limits:
        return _Claim(ConditionType.SCALING_LIMITED, False, Reason.WITHIN_BOUNDS, "no bound holds a count")
    sentence = "; ".join(limit.message for limit in limits)
    return _Claim(ConditionType.SCALING_LIMITED, True, limits[0].reason, sentence)


def _limits_of_plan(plan: PlanStatus | None) -> Iterator[Finding]:
    for tier, planned in () if plan is None else ((Tier.LARGE, plan.large), (Tier.SMALL, plan.small)):
        reason = _LIMITING.get(planned.bound)
        if reason is not None and (planned.need > planned.instances or planned.bound is Bound.OBJECTIVE):
            yield Finding(reason, f"the {tier} tier: {planned.message}")


def _updates(facts: Facts) -> _Claim:
    if not facts.updates:
        return _Claim(
            ConditionType.UPDATE_AVAILABLE, False, Reason.UP_TO_DATE, "pods run what this operator would make"
        )
    sentence = f"`heterofleet roll` would change: {', '.join(facts.updates)}"
    return _Claim(ConditionType.UPDATE_AVAILABLE, True, Reason.TEMPLATE_DIFFERS, sentence)


def _reconciling(facts: Facts, parts: Sequence[_Claim]) -> _Claim:
    """Whether something is under way; a fleet that is refused or suspended is not under way to anywhere."""
    busy = [part for part in parts if not part.status]
    moving = [tier for tier, held in facts.tiers.items() if held.rolling or held.draining]
    if facts.refused is not None:
        return _Claim(ConditionType.RECONCILING, False, Reason.NOT_ACCEPTED, "the spec is refused: nothing is done")
    if facts.suspended:
        return _Claim(ConditionType.RECONCILING, False, Reason.SUSPENDED, "spec.suspend: nothing is done")
    if not (busy or moving):
        return _Claim(ConditionType.RECONCILING, False, Reason.SETTLED, "the fleet is as it is wanted")
    if busy:
        return _Claim(ConditionType.RECONCILING, True, Reason.PROGRESSING, busy[0].message)
    sentence = f"instances of the {' and '.join(moving)} tier are being moved or drained"
    return _Claim(ConditionType.RECONCILING, True, Reason.PROGRESSING, sentence)


_STALLING = {
    Hold.OUTAGE: Finding(
        Reason.OUTAGE_NOT_ALLOWED,
        "the roll waits: it would take the last serving instance away and no GPUs are spare for its successor."
        " Set rollout.allowOutage: true, or raise the GPUs there are",
    ),
    Hold.STUCK: Finding(
        Reason.ROLL_STUCK,
        "the roll stopped: an instance of the new revision failed or is not ready in its time, the old ones serve on."
        " Mend the spec, or retry with the annotation heterofleet.io/retry",
    ),
    Hold.EVACUATION: Finding(
        Reason.EVACUATION_WAITS, "an instance on a cordoned node waits for GPUs elsewhere before it is drained"
    ),
}


def _stalled(facts: Facts) -> Finding | None:
    if facts.refused is not None:
        return facts.refused
    for held in facts.tiers.values():
        for hold, finding in _STALLING.items():
            if hold in held.holds:
                return finding
    return None
