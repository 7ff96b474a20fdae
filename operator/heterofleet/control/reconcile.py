"""Brings one fleet to what its spec says: read, compute, write. Every trigger runs the same `reconcile`.

    read      the cache's children, pods and nodes, sorted by `observe`; counts from `tiers`
    compute   groups and pools (what exists, what is next), templates, manifests, changes
    write     marks of drains, apply and prune, restarts of groups, status

Nothing is kept that a restart may not forget: overrides, restarts and failures live in status, drains on pods. A
fleet that is refused or suspended is looked at in the same way, and nothing but its status is written.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import pydantic

from heterofleet.api.conditions import Reason
from heterofleet.api.labels import EventReason, FleetKey, Manifest, Tier
from heterofleet.api.routing import Plan
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cluster import apply, errors, objects
from heterofleet.cluster.cache import Cache
from heterofleet.cluster.client import Cluster
from heterofleet.cluster.objects import Changes, Mutation, Ref
from heterofleet.cluster.records import PodRecord
from heterofleet.control import arrivals, logs, observe, pools, problems, report, routers, standing, steps, tiers
from heterofleet.control.accept import Gate
from heterofleet.control.ceilings import Ceilings
from heterofleet.control.drain import Drains
from heterofleet.control.events import EventSink
from heterofleet.control.groups import GroupKeeper, Scene
from heterofleet.control.lastlook import LastLook
from heterofleet.control.ledger import Ledger
from heterofleet.control.planner import Planner
from heterofleet.control.progress import Progress
from heterofleet.control.routers import RouterCheck
from heterofleet.control.steps import Looked, Step
from heterofleet.control.takings import Taking, Takings
from heterofleet.control.tiers import Writers
from heterofleet.desired import overlay, routing
from heterofleet.desired.platform import Platform
from heterofleet.metrics.scrape import Engines
from heterofleet.status import Finding

_log = logging.getLogger(__name__)

DRAIN_LOOK_SECONDS = 1.0
GROUP_DELETE_GRACE_SECONDS = 10
REFUSED_SECONDS = 30.0


class IncompleteError(errors.ClusterError):
    """Some of a fleet's objects could not be written; the queue tries again with its backoff."""


@dataclass(frozen=True)
class Tools:
    """What a reconcile works with; one set a process."""

    cluster: Cluster
    cache: Cache
    events: EventSink
    engines: Engines
    platform: Callable[[], Platform]
    clock: Callable[[], datetime]
    planner: Planner


@dataclass(frozen=True)
class _Written:
    """What became of a step's changes."""

    problems: tuple[Finding, ...] = ()
    refused: Finding | None = None


class Reconciler:
    """Reconciles fleets; one call a fleet at a time, many fleets at once."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._cluster = tools.cluster
        self._cache = tools.cache
        self._drains = Drains(tools.cluster, tools.engines)
        self._keeper = GroupKeeper(tools.engines, self._drains)
        self._ledger = Ledger(tools.cluster, tools.cache, tools.clock)
        self._routers = RouterCheck(tools.engines)
        self._writers = Writers(tools.cluster)
        self._gate = Gate(tools.cluster, tools.cache, tools.platform().catalogue, tools.clock)
        self._takings = Takings(tools.cluster)
        self._progress = Progress(tools.engines)
        self._ceilings = Ceilings(tools.cluster)
        self._mutations: dict[FleetKey, dict[Ref, Mutation]] = {}
        self._waiting: set[FleetKey] = set()
        self._planner = tools.planner

    async def plan(self, wake: Callable[[FleetKey], None]) -> None:
        """Makes plans beside the reconciles, for ever; `wake` asks for a reconcile of a fleet."""
        await self._planner.run(wake)

    def waiting_for_devices(self) -> Iterable[FleetKey]:
        """Fleets that would go on if GPUs became free."""
        return tuple(self._waiting)

    async def reconcile(self, key: FleetKey) -> float | None:
        """Runs once for a fleet; gives the seconds after which it wants to run again at the latest.

        Raises IncompleteError, or the ClusterError that ended it, for the queue to try again.
        """
        body = self._cache.fleet(key)
        if body is None or "deletionTimestamp" in body["metadata"]:
            self._forget(key)
            return None
        now = self._tools.clock()
        logs.at_generation(body["metadata"].get("generation", 0))
        try:
            # Of a status that does not parse only what can be read is kept: it is ours to write anew.
            fleet = HeterogeneousDeployment.parse({**body, "status": report.stored_status(body).to_kubernetes()})
        except pydantic.ValidationError as exc:
            await report.refuse(body, exc, self._tools, now)
            return None
        try:
            return await self._reconcile(fleet, body, now)
        except (errors.ClusterError, TimeoutError):
            raise
        except Exception as exc:
            # A defect of ours: who looks at the fleet shall not have to find the operator's log to learn of it.
            await report.break_down(body, exc, self._tools, now)
            raise

    def _forget(self, key: FleetKey) -> None:
        self._mutations.pop(key, None)
        self._waiting.discard(key)
        self._routers.forget(key)
        self._takings.forget(key)
        self._progress.forget(key)
        self._ceilings.forget(key)
        self._gate.forget(key)
        self._planner.forget(key)
        for tier in Tier:
            self._ledger.release((key, tier))

    async def _reconcile(self, fleet: HeterogeneousDeployment, body: Manifest, now: datetime) -> float | None:
        looked = await self._look(fleet, now)
        refused = await self._gate.refusal(fleet)
        step = Step()
        if refused is None and not fleet.spec.suspend:
            try:
                step = await steps.decide(
                    fleet,
                    looked,
                    self._tools.platform(),
                    self._ledger,
                    self._drains,
                    self._for_routers(fleet, looked),
                    now,
                )
            except overlay.InvalidOverlay as exc:
                refused = Finding(Reason.INVALID_TEMPLATE, str(exc))
        written = _Written(refused=refused)
        if step.acts:
            written = await self._write(fleet, body, looked, step, now)
        # What is not written now is not what routers are held to.
        acted = step.acts and written.refused is None
        digest = routers.stored_digest(fleet, looked.view)
        if acted:
            digest = routing.config(fleet, self._tools.platform().catalogue).digest()
        router = await self._routers.look(fleet, looked.view, digest, now)
        said = await self._progress.of(fleet.key, [pod for tier in Tier for pod in looked.view.pods(tier)], now)
        facts = report.facts(
            fleet,
            looked,
            step,
            said,
            self._gate.remarks(fleet),
            self._tools.platform().catalogue,
            router=router,
            refused=written.refused,
            written=written.problems,
            planned=self._planner.current(fleet.key),
            now=now,
        )
        await report.publish(fleet, body, facts, self._tools, now)
        await report.publish_tiers(fleet, looked, self._tools)
        self._note_waiting(fleet.key, step)
        self._tell_decisions(fleet, body)
        if refused is None:
            self._planner.note(standing.of(fleet, looked, step, now))
        if written.problems and any(p.reason is Reason.APPLY_FAILED for p in written.problems):
            raise IncompleteError(written.problems[0].message)
        if written.refused is not None:
            return REFUSED_SECONDS  # What it is refused for may be somebody else's object, of which no watch tells.
        return self._wake_in(fleet.key, looked, step, now)

    async def _look(self, fleet: HeterogeneousDeployment, now: datetime) -> Looked:
        """Everything that is known of a fleet."""
        nodes = self._cache.nodes()
        children = self._cache.children(fleet.key)
        view = observe.sort_out(children, self._cache.pods(fleet.key), fleet.metadata.uid)
        self._drains.forget_gone(self._cache.all_pods)
        groups = await self._keeper.look(Scene(fleet, view, nodes, now))
        ceilings = await self._ceilings.look(fleet.key, view.deployments)
        small = await pools.look(fleet, view, nodes, self._drains, ceilings, now)
        running = {
            Tier.LARGE: sum(i.live for i in groups.observed) if view.groups else None,
            Tier.SMALL: small.running,
        }
        wanted = await tiers.wanted(fleet, view, self._planner.counts(fleet), running, self._writers, now)
        return Looked(view, nodes, groups, small, wanted, fleet.status.last_drain)

    async def _write(
        self, fleet: HeterogeneousDeployment, body: Manifest, looked: Looked, step: Step, now: datetime
    ) -> _Written:
        """Marks first, so that requests leave before anything else goes; then objects; then restarts."""
        changes = objects.changes(
            step.manifests,
            looked.view.children,
            owner_uid=fleet.metadata.uid,
            keep=step.keep,
            remembered=self._mutations.get(fleet.key),
        )
        survey = await apply.survey(changes, self._cluster, self._cache, owner_uid=fleet.metadata.uid)
        if changes.taken or survey.taken:
            return _Written(refused=problems.name_taken((*changes.taken, *survey.taken)))
        await self._mark(body, step)
        takings = await self._takings.find(fleet.key, changes)
        last_look = LastLook(step.undrained, lambda: self._cache.pods(fleet.key))
        outcome = await apply.execute(
            changes,
            self._cluster,
            self._cache,
            owner_uid=fleet.metadata.uid,
            known=survey,
            stays=last_look.stays,
        )
        self._learn(fleet.key, changes, outcome)
        self._takings.learn(fleet.key, changes, outcome.applied)
        if outcome.taken:
            return _Written(refused=problems.name_taken(outcome.taken))
        self._tell_takings(body, takings)
        self._tell_overrides(fleet, body, looked)
        self._tell_instances(body, looked, step, outcome)
        await self._restart(body, looked, step, last_look)
        mutated = {*outcome.mutated, *(drift.ref for drift in changes.mutated)}
        return _Written(problems.of_writes(outcome.failed, mutated))

    async def _mark(self, body: Manifest, step: Step) -> None:
        for mark in step.marks:
            patched = await self._drains.mark(mark.pods, mark.until, cost=mark.cost)
            for manifest in patched:
                self._cache.put(manifest)
            if patched and mark.begins:
                self._tell(body, EventReason.DRAIN_STARTED, f"{mark.name} leaves the endpoints and drains")
        for manifest in await self._drains.unmark(step.unmark):
            self._cache.put(manifest)
            self._tell(body, EventReason.DRAIN_CALLED_OFF, f"{manifest['metadata']['name']} serves again")

    async def _restart(self, body: Manifest, looked: Looked, step: Step, last_look: LastLook) -> None:
        """Second line: a group whose ranks do not find together again is deleted whole."""
        for group in step.restarts:
            if last_look.came_up(group):
                continue
            for pod in looked.view.large_pods.get(group.index, ()):
                await self._delete(pod, GROUP_DELETE_GRACE_SECONDS)
            sentence = f"large instance {group.index} restarts as one: its ranks did not agree after an exit"
            self._tell(body, EventReason.GROUP_RESTARTED, sentence, warn=True)
        for pod in step.abandon:
            await self._delete(pod, None)
            sentence = f"small pod {pod.name} is replaced, since its node {pod.node} is lost"
            self._tell(body, EventReason.INSTANCE_DELETED, sentence, warn=True)

    async def _delete(self, pod: PodRecord, grace_seconds: int | None) -> None:
        try:
            ref = Ref("v1", "Pod", pod.namespace, pod.name)
            await self._cluster.delete(ref, uid=pod.uid, grace_seconds=grace_seconds)
        except errors.Conflict:
            return  # Another pod has its name already.

    def _tell_takings(self, body: Manifest, takings: Iterable[Taking]) -> None:
        """Who had set a field of ours."""
        for taking in takings:
            sentence = f"{taking.ref}: {', '.join(taking.paths[:4])} was set by {', '.join(sorted(taking.managers))}"
            self._tell(body, EventReason.FIELD_TAKEN_BACK, f"{sentence}; it is as the fleet says again", warn=True)

    def _tell_overrides(self, fleet: HeterogeneousDeployment, body: Manifest, looked: Looked) -> None:
        """Who has set a count, and until when it holds."""
        for tier, asked in looked.wanted.asked.items():
            if asked.override is not None and asked.override != fleet.status.tier(tier).override:
                until = f"{asked.override.until:%Y-%m-%d %H:%M} UTC"
                sentence = (
                    f"{asked.override.by} set the {tier} tier to {asked.override.instances}; it holds until {until}"
                )
                self._tell(body, EventReason.COUNT_OVERRIDDEN, sentence)

    def _for_routers(self, fleet: HeterogeneousDeployment, looked: Looked) -> Plan:
        """What the routers are told of the plan, and of instances that boot."""
        takes = self._planner.starts_take(fleet.key)
        booting = arrivals.expected(fleet, looked.view, self._tools.platform().catalogue, takes)
        return self._planner.for_routers(fleet).model_copy(update={"arrivals": list(booting)})

    def _tell_decisions(self, fleet: HeterogeneousDeployment, body: Manifest) -> None:
        """What the plan has changed, or would change, and why."""
        for decision in self._planner.take_news(fleet.key):
            moved = f"{decision.tier} tier from {decision.before} to {decision.after} instances: {decision.message}"
            reason = EventReason.SCALED if decision.enforced else EventReason.SCALE_ADVISED
            self._tell(body, reason, moved)

    def _tell_instances(self, body: Manifest, looked: Looked, step: Step, outcome: apply.Outcome) -> None:
        """What a person should know of instances that came and went, and of the drains before."""
        known = {child.ref for child in looked.view.groups.values()}
        for ref in outcome.applied:
            if ref.kind == "StatefulSet" and ref not in known:
                self._tell(body, EventReason.INSTANCE_CREATED, f"{ref.name} is created")
        for ref in outcome.pruned:
            if ref.kind == "StatefulSet":
                self._tell(body, EventReason.INSTANCE_DELETED, f"{ref.name} is deleted")
        if step.last_drain is not None:
            ended = step.last_drain
            held = "an unknown number of" if ended.in_flight_at_start is None else str(ended.in_flight_at_start)
            sentence = f"{ended.instance} has drained; it held {held} requests when it was first asked"
            if ended.aborted:
                sentence = f"{ended.instance} was not empty at the end of its drain: {ended.reason}"
            if ended != looked.last_drain:
                self._tell(body, EventReason.DRAINED, sentence, warn=ended.aborted)

    def _learn(self, key: FleetKey, changes: Changes, outcome: apply.Outcome) -> None:
        """Remember what admission made of our applies, so that they are not repeated for ever."""
        known = self._mutations.get(key, {})
        kept = {drift.ref: known[drift.ref] for drift in changes.mutated if drift.ref in known}
        merged = {**kept, **outcome.mutated}
        if merged:
            self._mutations[key] = merged
        else:
            self._mutations.pop(key, None)

    def _tell(self, body: Manifest, reason: EventReason, message: str, *, warn: bool = False) -> None:
        self._tools.events.emit(body, kind="Warning" if warn else "Normal", reason=reason, message=message)

    def _note_waiting(self, key: FleetKey, step: Step) -> None:
        if step.waits_for_gpus:
            self._waiting.add(key)
        else:
            self._waiting.discard(key)

    def _wake_in(self, key: FleetKey, looked: Looked, step: Step, now: datetime) -> float | None:
        times = [looked.groups.wake_at, looked.wanted.wake_at, step.wake_at]
        if looked.groups.draining or looked.pools.draining or step.marks:
            times.append(now + timedelta(seconds=DRAIN_LOOK_SECONDS))
        times += [self._routers.wake_at(key), self._progress.wake_at(key, now)]
        known = [time for time in times if time is not None]
        return max(0.1, (min(known) - now).total_seconds()) if known else None
