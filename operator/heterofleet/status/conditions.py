"""The conditions of what runs: tiers, routers, what is broken, what is under way, and Ready, which sums them up."""

from collections.abc import Iterator, Sequence

from heterofleet.api.conditions import ConditionType, InstanceState, InstanceStatus, LastExit, Reason
from heterofleet.api.labels import Tier
from heterofleet.planning import termination
from heterofleet.planning.instances import Hold
from heterofleet.status import ofplan
from heterofleet.status.claims import Claim, claim
from heterofleet.status.facts import Facts, Finding, RouterFacts, TierFacts


def of_fleet(facts: Facts) -> Iterator[Claim]:
    tiers = {tier: _tier_claim(tier, facts.tiers[tier], facts) for tier in Tier}
    router = _router_claim(facts)
    degraded = _degraded(facts)
    stalled = _stalled(facts)
    yield claim(ConditionType.ACCEPTED, facts.refused is None, facts.refused or facts.accepted)
    yield _ready(facts, (*tiers.values(), router))
    yield from tiers.values()
    yield router
    yield _configured(facts.router)
    yield claim(ConditionType.PAIR_MATCHED, facts.pair.reason is not Reason.FAMILIES_DIFFER, facts.pair)
    yield claim(ConditionType.DEGRADED, degraded is not None, degraded or Finding(Reason.HEALTHY, "nothing is broken"))
    yield ofplan.limited(facts)
    yield _updates(facts)
    yield _reconciling(facts, (*tiers.values(), router))
    yield claim(ConditionType.STALLED, stalled is not None, stalled or Finding(Reason.SETTLED, "nothing is stuck"))


def _ready(facts: Facts, parts: Sequence[Claim]) -> Claim:
    """The one sentence that a person needs."""
    if facts.refused is not None:
        return Claim(ConditionType.READY, False, Reason.NOT_ACCEPTED, facts.refused.message)
    for part in parts:
        if not part.status:
            return Claim(ConditionType.READY, False, part.reason, part.message)
    if facts.suspended:
        return Claim(ConditionType.READY, True, Reason.SUSPENDED, "serving; spec.suspend stops all writes but status")
    large, small = facts.tiers[Tier.LARGE], facts.tiers[Tier.SMALL]
    sentence = f"{large.ready} large and {small.ready} small instances serve behind {facts.router.ready} routers"
    return Claim(ConditionType.READY, True, Reason.ALL_READY, sentence)


_TIER_CONDITION = {Tier.LARGE: ConditionType.LARGE_TIER_READY, Tier.SMALL: ConditionType.SMALL_TIER_READY}


def _tier_claim(tier: Tier, held: TierFacts, facts: Facts) -> Claim:
    type_ = _TIER_CONDITION[tier]
    wanted = held.target.base
    if held.ready >= wanted:
        if wanted == 0:
            return Claim(type_, True, Reason.SCALED_TO_ZERO, f"the {tier} tier is scaled to 0")
        return Claim(type_, True, Reason.ALL_READY, f"{held.ready} of {held.target.total} instances are ready")
    counted = f"{held.ready} of {wanted} {tier} instances are ready"
    if Hold.GPUS in held.holds:
        return Claim(type_, False, Reason.WAITING_FOR_GPUS, f"{counted}: {held.waiting or 'GPUs are missing'}")
    unplaced = sum(instance.state is InstanceState.WAITING for instance in held.instances)
    if unplaced:
        sentence = f"{counted}: the pods of {unplaced} wait for nodes with free GPUs"
        return Claim(type_, False, Reason.WAITING_FOR_GPUS, sentence)
    if held.problems:
        return Claim(type_, False, held.problems[0].reason, f"{counted}: {held.problems[0].message}")
    if restarting := held.restarting or _restarting(held.instances):
        return Claim(type_, False, Reason.GROUP_RESTARTING, f"{counted}: {restarting}")
    if held.rolling:
        return Claim(type_, False, Reason.ROLLING, f"{counted}: the tier moves to revision {held.revision}")
    if facts.refused is not None:
        return Claim(type_, False, Reason.NOT_ACCEPTED, f"{counted}: nothing is started while the spec is refused")
    if facts.suspended and not held.serving:
        return Claim(type_, False, Reason.SUSPENDED, f"{counted}: spec.suspend stops all writes but status")
    return Claim(type_, False, Reason.STARTING, f"{counted}: {held.progress or 'the others are starting'}")


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


def _router_claim(facts: Facts) -> Claim:
    router = facts.router
    if router.desired == 0:
        return Claim(ConditionType.ROUTER_READY, True, Reason.SCALED_TO_ZERO, "router.instances.min is 0")
    if router.ready == 0:
        sentence = f"0 of {router.desired} routers are ready"
        if facts.refused is not None:
            return Claim(ConditionType.ROUTER_READY, False, Reason.NOT_ACCEPTED, sentence)
        return Claim(ConditionType.ROUTER_READY, False, Reason.ROUTER_NOT_READY, sentence)
    return Claim(
        ConditionType.ROUTER_READY, True, Reason.ALL_READY, f"{router.ready} of {router.desired} routers are ready"
    )


def _configured(router: RouterFacts) -> Claim:
    if router.desired == 0:
        return Claim(ConditionType.ROUTER_CONFIGURED, True, Reason.SCALED_TO_ZERO, "there is no router to configure")
    if router.configured is not None:
        return claim(ConditionType.ROUTER_CONFIGURED, False, router.configured)
    sentence = f"every router runs config {router.digest[:12]}"
    return Claim(ConditionType.ROUTER_CONFIGURED, True, Reason.CONFIGURED, sentence)


def _degraded(facts: Facts) -> Finding | None:
    problems = [*(p for held in facts.tiers.values() for p in held.problems), *facts.problems]
    if not problems:
        return None
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Finding(problems[0].reason, f"{problems[0].message}{more}")


def _updates(facts: Facts) -> Claim:
    if not facts.updates:
        return Claim(ConditionType.UPDATE_AVAILABLE, False, Reason.UP_TO_DATE, "pods run what this operator would make")
    sentence = f"`heterofleet roll` would change: {', '.join(facts.updates)}"
    return Claim(ConditionType.UPDATE_AVAILABLE, True, Reason.TEMPLATE_DIFFERS, sentence)


def _reconciling(facts: Facts, parts: Sequence[Claim]) -> Claim:
    """Whether something is under way; a fleet that is refused or suspended is not under way to anywhere."""
    busy = [part for part in parts if not part.status]
    moving = [tier for tier, held in facts.tiers.items() if held.rolling or held.draining]
    if facts.refused is not None:
        return Claim(ConditionType.RECONCILING, False, Reason.NOT_ACCEPTED, "the spec is refused: nothing is done")
    if facts.suspended:
        return Claim(ConditionType.RECONCILING, False, Reason.SUSPENDED, "spec.suspend: nothing is done")
    if not (busy or moving):
        return Claim(ConditionType.RECONCILING, False, Reason.SETTLED, "the fleet is as it is wanted")
    if busy:
        return Claim(ConditionType.RECONCILING, True, Reason.PROGRESSING, busy[0].message)
    sentence = f"instances of the {' and '.join(moving)} tier are being moved or drained"
    return Claim(ConditionType.RECONCILING, True, Reason.PROGRESSING, sentence)


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
