"""The running routers: how many there shall be, and whether they have the fleet's configuration in force.

Each router says which digest it applied; it is asked after a change until all agree, and not again while the same
routers run the same digest.
"""

import asyncio
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from heterofleet.api.conditions import Reason
from heterofleet.api.labels import FleetKey, Tier
from heterofleet.api.routing import CONFIG_KEY, VERSIONS
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cluster.objects import Observed, Ref
from heterofleet.cluster.records import PodRecord
from heterofleet.control import problems
from heterofleet.control.observe import FleetView
from heterofleet.desired import children, mounts, names
from heterofleet.desired.children import Kind
from heterofleet.metrics.scrape import Engines, RouterAnswer
from heterofleet.status import Finding, RouterFacts

FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0
"""Routers that do not answer are asked more and more rarely: a fleet of silent ones must not keep the operator busy."""


class _Wanted(NamedTuple):
    """What is to be in force: a digest, on these routers."""

    digest: str
    routers: frozenset[str]


class _Asked(NamedTuple):
    """The last answer, and when to ask again; `finding` None is agreement."""

    wanted: _Wanted
    finding: Finding | None
    pause_seconds: float
    again_at: datetime
    updates: tuple[str, ...]


class RouterCheck:
    """Remembers what was answered, by fleet."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._asked: dict[FleetKey, _Asked] = {}
        self._mounts_due: dict[FleetKey, datetime] = {}

    async def look(self, fleet: HeterogeneousDeployment, view: FleetView, digest: str, now: datetime) -> RouterFacts:
        """The routers as they are, held to the config of `digest`."""
        configured = await self.check(fleet.key, digest, view.router_pods, now)
        engines = () if mounts.ring_of_engines(fleet.spec) is None else (*view.pods(Tier.LARGE), *view.pods(Tier.SMALL))
        due = problems.mounts_due_at((*view.router_pods, *engines))
        if due is not None and now < due:
            self._mounts_due[fleet.key] = due
        else:
            self._mounts_due.pop(fleet.key, None)
        asked = self._asked.get(fleet.key)
        return RouterFacts(
            desired=count(fleet, view),
            ready=sum(pod.ready and not pod.terminating for pod in view.router_pods),
            configured=configured,
            digest=digest,
            updates=asked.updates if asked is not None else (),
        )

    async def check(self, key: FleetKey, digest: str, pods: Sequence[PodRecord], now: datetime) -> Finding | None:
        """What keeps the configuration from being in force everywhere; None when nothing does."""
        ready = [pod for pod in pods if pod.ready and not pod.terminating and pod.ip]
        if not ready:
            self.forget(key)
            return Finding(Reason.CONFIG_PENDING, "no router is ready to say which config it runs")
        wanted = _Wanted(digest, frozenset(pod.uid for pod in ready))
        last = self._asked.get(key)
        if last is not None and last.wanted != wanted:
            last = None
        if last is not None and (last.finding is None or now < last.again_at):
            return last.finding
        answers = await asyncio.gather(*(self._engines.router_config(pod.ip) for pod in ready))
        finding = _judge(digest, {pod.name: answer for pod, answer in zip(ready, answers, strict=True)})
        pause = FIRST_PAUSE_SECONDS if last is None else min(LONGEST_PAUSE_SECONDS, 2 * last.pause_seconds)
        read = [answer.versions for answer in answers if answer is not None and answer.versions]
        self._asked[key] = _Asked(wanted, finding, pause, now + timedelta(seconds=pause), _updates(read))
        return finding

    def wake_at(self, key: FleetKey) -> datetime | None:
        """When to look again; None where all agree, or where there is nobody to ask."""
        last = self._asked.get(key)
        again_at = None if last is None or last.finding is None else last.again_at
        return min((at for at in (again_at, self._mounts_due.get(key)) if at is not None), default=None)

    def forget(self, key: FleetKey) -> None:
        self._asked.pop(key, None)
        self._mounts_due.pop(key, None)


def count(fleet: HeterogeneousDeployment, view: FleetView) -> int:
    """Routers that there shall be.

    Where an autoscaler sets their number it is the one that stands there, within the bounds. It is said and not left
    out: an apply without it would set a Deployment whose number nobody else has written yet to one router.
    """
    instances = fleet.spec.router.instances
    held = _own(fleet, view, children.DEPLOYMENT)
    if not instances.autoscaled or held is None or instances.max is None:
        return instances.min
    replicas: int = held.body["spec"].get("replicas", instances.min)
    return min(max(replicas, instances.min), instances.max)


def newest_read_by_all(written: Sequence[str], read: Iterable[Collection[str]]) -> str | None:
    """The first of `written`, the newest first, that is in each of `read`; None where there is none."""
    read = tuple(read)
    return next((version for version in written if all(version in versions for versions in read)), None)


def _updates(read: Sequence[Collection[str]]) -> tuple[str, ...]:
    """The version of the config that waits for routers of another image."""
    return () if newest_read_by_all(VERSIONS, read) == VERSIONS[0] else (f"router config {VERSIONS[0]}",)


def _own(fleet: HeterogeneousDeployment, view: FleetView, kind: Kind) -> Observed | None:
    """The object of the routers of a kind, if it is there and this fleet's."""
    ref = Ref(kind.api_version, kind.kind, fleet.metadata.namespace, names.router(fleet.metadata.name))
    held = view.children.get(ref)
    return held if held is not None and held.owner_uid == fleet.metadata.uid else None


def stored_digest(fleet: HeterogeneousDeployment, view: FleetView) -> str:
    """Digest of the configuration that is stored now; "" while there is none."""
    held = _own(fleet, view, children.CONFIG_MAP)
    if held is None:
        return ""
    stored: str = held.body.get("data", {}).get(CONFIG_KEY, "")
    return hashlib.sha256(stored.encode()).hexdigest()


def _judge(digest: str, answers: Mapping[str, RouterAnswer | None]) -> Finding | None:
    for name, answer in answers.items():
        if answer is not None and answer.rejected == digest:
            return Finding(Reason.CONFIG_REJECTED, f"router {name} keeps its former config: {answer.error}")
    behind = [name for name, answer in answers.items() if answer is None or answer.digest != digest]
    if behind:
        return Finding(Reason.CONFIG_PENDING, f"not yet on config {digest[:12]}: {', '.join(sorted(behind))}")
    return None
