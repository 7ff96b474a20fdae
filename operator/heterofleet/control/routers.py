"""Whether the running routers have the fleet's configuration in force (contracts.md, "Operator -> router").

Each router says which digest it applied; it is asked after a change until all agree, and not again while the same
routers run the same digest.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from heterofleet.api.conditions import Reason
from heterofleet.api.labels import FleetKey
from heterofleet.api.routing import CONFIG_KEY
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cluster.objects import Ref
from heterofleet.cluster.records import PodRecord
from heterofleet.control.observe import FleetView
from heterofleet.desired import names
from heterofleet.metrics.scrape import Engines, RouterAnswer
from heterofleet.status import Finding

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


class RouterCheck:
    """Remembers what was answered, by fleet."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._asked: dict[FleetKey, _Asked] = {}

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
        self._asked[key] = _Asked(wanted, finding, pause, now + timedelta(seconds=pause))
        return finding

    def wake_at(self, key: FleetKey) -> datetime | None:
        """When to ask again; None where all agree, or where there is nobody to ask."""
        last = self._asked.get(key)
        return None if last is None or last.finding is None else last.again_at

    def forget(self, key: FleetKey) -> None:
        self._asked.pop(key, None)


def stored_digest(fleet: HeterogeneousDeployment, view: FleetView) -> str:
    """Digest of the configuration that is stored now; "" while there is none."""
    name = names.router(fleet.metadata.name)
    held = view.children.get(Ref("v1", "ConfigMap", fleet.metadata.namespace, name))
    if held is None or held.owner_uid != fleet.metadata.uid:
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
