"""How a fleet stands, as a plan needs it: noted by each reconcile, which a change of any of its pods leads to.

Plans are made every minute, reconciles only when something changed. So what a plan needs of the cluster is kept here
as times and counts, and `situation` turns it into a `planning.situation.Situation` of any later moment.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from heterofleet.api.labels import Tier
from heterofleet.api.scaling import Writer
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cluster.records import PodRecord
from heterofleet.control import observe
from heterofleet.control.steps import Looked, Step
from heterofleet.planning.instances import Hold


@dataclass(frozen=True, slots=True)
class Start:
    """One instance that has started: when it began, and when it was ready."""

    name: str
    began: datetime
    ready: datetime


@dataclass(frozen=True, slots=True)
class TierStanding:
    """One tier as its last reconcile saw it."""

    count: int
    held: bool
    ready: int
    draining: int
    failed: int
    pending: int
    booting: tuple[tuple[str, datetime], ...]
    """Starting instances with all their pods placed: name and begin of each."""
    short_of_places: bool
    starts: tuple[Start, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """One fleet as its last reconcile saw it. `routers` are the addresses of those that can be asked."""

    fleet: HeterogeneousDeployment
    tiers: Mapping[Tier, TierStanding]
    routers: tuple[str, ...]
    at: datetime


def of(fleet: HeterogeneousDeployment, looked: Looked, step: Step, now: datetime) -> Standing:
    """What this reconcile saw. `step` tells whether places are missing."""
    return Standing(
        fleet=fleet,
        tiers={
            Tier.LARGE: _large(fleet, looked, step),
            Tier.SMALL: _small(fleet, looked, step),
        },
        routers=tuple(pod.ip for pod in looked.view.router_pods if pod.ip and pod.ready and not pod.terminating),
        at=now,
    )


def _large(fleet: HeterogeneousDeployment, looked: Looked, step: Step) -> TierStanding:
    observed = looked.groups.observed
    live = [instance for instance in observed if instance.live]
    groups = {i.index: looked.view.large_pods.get(i.index, ()) for i in live if not i.serving}
    return TierStanding(
        count=looked.wanted.targets[Tier.LARGE].base,
        held=_held(fleet, looked, Tier.LARGE),
        ready=looked.groups.serving,
        draining=looked.groups.draining,
        failed=sum(instance.failed for instance in observed),
        pending=sum(not _placed(pods) for pods in groups.values()),
        booting=tuple(_identity(pods) for pods in groups.values() if _placed(pods)),
        short_of_places=Hold.GPUS in step.holds[Tier.LARGE],
        starts=tuple(_starts(looked.view.large_pods.values())),
    )


def _small(fleet: HeterogeneousDeployment, looked: Looked, step: Step) -> TierStanding:
    pods = [pod for pod in looked.view.pods(Tier.SMALL) if not (pod.terminating or observe.is_marked(pod))]
    starting = [pod for pod in pods if not pod.ready]
    wanted = sum(pool.replicas for pool in looked.pools.pools)
    return TierStanding(
        count=looked.wanted.targets[Tier.SMALL].base,
        held=_held(fleet, looked, Tier.SMALL),
        ready=looked.pools.ready,
        draining=looked.pools.draining,
        failed=0,
        pending=sum(not pod.scheduled for pod in starting) + max(0, wanted - looked.pools.draining - len(pods)),
        booting=tuple(_identity((pod,)) for pod in starting if pod.scheduled),
        short_of_places=Hold.GPUS in step.holds[Tier.SMALL],
        starts=tuple(_starts((pod,) for pod in pods)),
    )


def _held(fleet: HeterogeneousDeployment, looked: Looked, tier: Tier) -> bool:
    """Whether somebody else says the count now."""
    return fleet.spec.scaling.writer(tier) is Writer.EXTERNAL or looked.wanted.asked[tier].override is not None


def _placed(pods: Sequence[PodRecord]) -> bool:
    return bool(pods) and all(pod.scheduled for pod in pods)


def _starts(instances: Iterable[Sequence[PodRecord]]) -> Iterable[Start]:
    """The instances that are ready and whose start nothing interrupted: a restart takes another time than a start."""
    for pods in instances:
        times = [pod.ready_since for pod in pods if pod.ready_since is not None]
        if len(times) == len(pods) > 0 and all(pod.ready and pod.restart_count == 0 for pod in pods):
            yield Start(*_identity(pods), max(times))


def _identity(pods: Sequence[PodRecord]) -> tuple[str, datetime]:
    """Tells the starts of an instance apart: its pods come again under the same names."""
    return pods[0].name, max(pod.created for pod in pods)
