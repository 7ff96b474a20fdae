"""Turns what was seen and done into the fleet's status, its tiers' status, and Events; writes only what changed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import pydantic

from heterofleet import status
from heterofleet.api import labels
from heterofleet.api.conditions import (
    ConditionType,
    FleetStatus,
    Reason,
)
from heterofleet.api.labels import Manifest, PodState, Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment, TierObjectStatus
from heterofleet.cluster import errors
from heterofleet.cluster.cache import Cache
from heterofleet.cluster.client import Cluster
from heterofleet.cluster.objects import Ref
from heterofleet.cluster.records import PodRecord
from heterofleet.control import groups, problems, progress, steps, unmade
from heterofleet.control.events import EventSink
from heterofleet.control.observe import FleetView
from heterofleet.control.planner import Current
from heterofleet.control.steps import Looked, Step
from heterofleet.desired import mounts, names
from heterofleet.desired.revision import Role
from heterofleet.planning import acceptance, topology
from heterofleet.planning.acceptance import Remark
from heterofleet.planning.catalogue import Catalogue
from heterofleet.planning.telling import Told
from heterofleet.status import Facts, Finding, RouterFacts, TierFacts

TOLD = (
    ConditionType.ACCEPTED,
    ConditionType.READY,
    ConditionType.DEGRADED,
    ConditionType.STALLED,
    ConditionType.SCALING_LIMITED,
    ConditionType.METRICS_AVAILABLE,
    ConditionType.BUDGET_EXCEEDED,
    ConditionType.UPDATE_AVAILABLE,
)
"""Conditions whose changes a person should hear of by Events."""


class Tools(Protocol):
    """What publishing needs."""

    @property
    def cluster(self) -> Cluster: ...

    @property
    def cache(self) -> Cache: ...

    @property
    def events(self) -> EventSink: ...


def facts(
    fleet: HeterogeneousDeployment,
    looked: Looked,
    step: Step,
    said: Mapping[str, str],
    remarks: Sequence[Remark],
    catalogue: Catalogue,
    *,
    router: RouterFacts,
    refused: Finding | None,
    written: Sequence[Finding],
    planned: Current | None,
    now: datetime,
) -> Facts:
    """Everything that the status is made of."""
    revisions = step.revisions or steps.present_revisions(fleet)
    return Facts(
        tiers={
            Tier.LARGE: _large(fleet, looked, step, said, revisions[Role.LARGE], now),
            Tier.SMALL: _small(fleet, looked, step, said, revisions[Role.SMALL], now),
        },
        router=router,
        endpoint=names.endpoint(fleet.metadata.name, fleet.metadata.namespace, fleet.spec.router.service.port),
        refused=refused,
        accepted=_accepted(remarks),
        pair=Finding(*acceptance.pair(fleet.spec, catalogue)),
        problems=[
            *written,
            *unmade.of_routers(looked.view.children.values()),
            *problems.of_routers(looked.view.router_pods),
            *problems.of_mounts(looked.view.router_pods, mounts.secrets(mounts.of_router(fleet.spec)), now, "router: "),
            *problems.of_templates(looked.view),
        ],
        updates=(*step.updates, *router.updates),
        last_drain=step.last_drain or fleet.status.last_drain,
        suspended=fleet.spec.suspend,
        told=planned.told if planned is not None else Told(),
        metrics=planned.load.metrics if planned is not None else None,
        money=planned.money if planned is not None else None,
    )


async def publish(fleet: HeterogeneousDeployment, body: Manifest, told: Facts, tools: Tools, now: datetime) -> None:
    """Write the fleet's status if a fact changed, and tell what a person should know."""
    computed = status.compute(fleet, told, now)
    await _write(body, fleet.status, computed, tools)


async def refuse(body: Manifest, exc: pydantic.ValidationError, tools: Tools, now: datetime) -> None:
    """Report a stored resource that does not parse, with the sentences that mend it."""
    previous = stored_status(body)
    sentences = "; ".join(
        f"{'.'.join(str(part) for part in error['loc'])}: {error['msg'].removeprefix('Value error, ')}"
        for error in exc.errors(include_url=False, include_input=False, include_context=False)
    )
    finding = Finding(Reason.INVALID_SPEC, f"{sentences}. What runs is left as it is")
    computed = status.refusal(body["metadata"].get("generation", 0), previous, finding, now)
    await _write(body, previous, computed, tools)


async def break_down(body: Manifest, exc: Exception, tools: Tools, now: datetime) -> None:
    """Report that the operator itself failed on this fleet; what runs is left as it is."""
    sentence = (
        f"the operator met an error of its own: {type(exc).__name__}: {exc}. What runs is left as it is; see its log"
    )
    previous = stored_status(body)
    computed = status.stall(previous, Finding(Reason.OPERATOR_ERROR, sentence), now)
    await _write(body, previous, computed, tools)


async def _write(body: Manifest, previous: FleetStatus, computed: FleetStatus, tools: Tools) -> None:
    fresh = computed.to_kubernetes()
    if fresh == body.get("status"):
        return
    metadata = body["metadata"]
    ref = Ref(body["apiVersion"], body["kind"], metadata["namespace"], metadata["name"])
    try:
        tools.cache.put(await tools.cluster.apply_status(ref, fresh, uid=metadata["uid"]))
    except (errors.NotFound, errors.Conflict):
        return  # It was deleted meanwhile; the watch tells, and there is nobody to report to.
    _tell(body, previous, computed, tools)


def _tell(body: Manifest, previous: FleetStatus, computed: FleetStatus, tools: Tools) -> None:
    for type_ in TOLD:
        before, after = previous.condition(type_), computed.condition(type_)
        if after is None or (before is not None and (before.status, before.reason) == (after.status, after.reason)):
            continue
        bad = after.is_amiss
        if before is None and not bad:
            continue  # That a new fleet is not broken is no news.
        if type_ is ConditionType.READY and bad and after.reason in (Reason.STARTING, Reason.ROUTER_NOT_READY):
            continue
        tools.events.emit(body, kind="Warning" if bad else "Normal", reason=after.reason, message=after.message)


async def publish_tiers(fleet: HeterogeneousDeployment, looked: Looked, tools: Tools) -> None:
    """Write what /scale reports of each tier."""
    existing = {
        Tier.LARGE: (sum(i.live for i in looked.groups.observed), looked.groups.serving),
        Tier.SMALL: (sum(len(p.live()) for p in looked.pools.pools) - looked.pools.draining, looked.pools.ready),
    }
    for tier, (instances, ready) in existing.items():
        ref = Ref(labels.API_VERSION, labels.TIER_KIND, fleet.metadata.namespace, names.tier(fleet.metadata.name, tier))
        found = tools.cache.children(fleet.key).get(ref)
        if found is None or found.deleting or found.owner_uid != fleet.metadata.uid:
            continue
        body = found.body
        told = TierObjectStatus(
            instances=instances,
            ready=ready,
            selector=_one_pod_an_instance(fleet.metadata.name, tier),
            observed_generation=body["metadata"].get("generation", 0),
        ).model_dump(mode="json", by_alias=True, exclude_none=True)
        if told != body.get("status"):
            try:
                tools.cache.put(await tools.cluster.apply_status(ref, told, uid=found.uid))
            except (errors.NotFound, errors.Conflict):
                continue  # It comes back with the next reconcile.


def _one_pod_an_instance(fleet: str, tier: Tier) -> str:
    """The selector of /scale: leaders of groups, small pods; draining ones are out."""
    chosen = {**names.engine_selector(fleet, tier), labels.STATE: str(PodState.SERVING)}
    if tier is Tier.LARGE:
        chosen[labels.POD_INDEX] = "0"
    return ",".join(f"{key}={value}" for key, value in sorted(chosen.items()))


def stored_status(body: Manifest) -> FleetStatus:
    """The status that is stored, as far as it can be read."""
    try:
        return FleetStatus.model_validate(body.get("status") or {})
    except pydantic.ValidationError:
        return FleetStatus()


def _accepted(remarks: Sequence[Remark]) -> Finding:
    """What Accepted=True says: the warnings, if there are any."""
    warnings = [r for r in remarks if not r.refuses and r.reason is not Reason.FAMILIES_DIFFER]
    if warnings:
        return Finding(warnings[0].reason, acceptance.joined(warnings))
    return Finding(Reason.VALID, "the spec is valid and both models fit")


def _large(
    fleet: HeterogeneousDeployment, looked: Looked, step: Step, said: Mapping[str, str], revision: str, now: datetime
) -> TierFacts:
    spec = fleet.spec.large
    layout = topology.lay_out(spec.parallelism, spec.placement.gpus_per_node)
    observed = looked.groups.observed
    if step.large is not None:
        instances = groups.statuses(step.large, looked.groups, step.ranks, now)
    else:
        instances = tuple(seen.memory for _, seen in sorted(looked.groups.lives.items()))
    pods = looked.view.large_pods
    instances = tuple(
        i.model_copy(update={"progress": progress.of_instance(pods.get(i.index, ()), said) or None}) for i in instances
    )
    return TierFacts(
        target=looked.wanted.targets[Tier.LARGE],
        ready=looked.groups.serving,
        serving=looked.groups.serving,
        draining=looked.groups.draining,
        gpus=_gpus(looked.view, Tier.LARGE, spec.placement.gpu_resource),
        revision=revision,
        rolling=any(i.live and i.revision != revision for i in observed),
        expert_parallel_size=layout.expert_parallel_size if isinstance(layout, topology.Layout) else None,
        instances=instances,
        override=looked.wanted.asked[Tier.LARGE].override,
        holds=step.holds[Tier.LARGE],
        waiting=step.shortage.get(Tier.LARGE, ""),
        progress=next((f"instance {i.index}, {i.progress}" for i in instances if i.progress), ""),
        problems=[
            *problems.of_instances(instances),
            *unmade.of_groups(looked.view, instances, now),
            *_of_pods(fleet, looked.view.pods(Tier.LARGE), now),
        ],
    )


def _small(
    fleet: HeterogeneousDeployment, looked: Looked, step: Step, said: Mapping[str, str], revision: str, now: datetime
) -> TierFacts:
    pods = looked.view.pods(Tier.SMALL)
    rolling = any(pool.revision != revision and pool.live() for pool in looked.pools.pools)
    return TierFacts(
        target=looked.wanted.targets[Tier.SMALL],
        ready=looked.pools.ready,
        serving=looked.pools.ready,
        draining=looked.pools.draining,
        gpus=_gpus(looked.view, Tier.SMALL, fleet.spec.small.placement.gpu_resource),
        revision=revision,
        rolling=rolling,
        override=looked.wanted.asked[Tier.SMALL].override,
        holds=step.holds[Tier.SMALL],
        waiting=step.shortage.get(Tier.SMALL, ""),
        progress=next((f"{p.name} {said[p.uid]}" for p in pods if p.uid in said), ""),
        restarting=problems.restarting(pods),
        problems=[
            *unmade.of_deployments(looked.view.deployments.values()),
            *_of_pods(fleet, pods, now),
            *(problems.of_roll(pods, revision) if rolling else ()),
        ],
    )


def _of_pods(fleet: HeterogeneousDeployment, pods: Sequence[PodRecord], now: datetime) -> list[Finding]:
    return [*problems.of_pods(pods), *problems.of_mounts(pods, mounts.secrets(mounts.of_engine(fleet.spec)), now)]


def _gpus(view: FleetView, tier: Tier, resource: str) -> int:
    return sum(pod.devices.get(resource, 0) for pod in view.pods(tier))
