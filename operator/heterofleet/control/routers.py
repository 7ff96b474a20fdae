"""Whether the running routers have the fleet's configuration in force (contracts.md, "Operator -> router").

Each router says which digest it applied; it is asked after a change until all agree, and not again while the same
routers run the same digest.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence

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

ASK_AGAIN_SECONDS = 2.0


class RouterCheck:
    """Remembers what was agreed, by fleet."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._agreed: dict[FleetKey, tuple[str, frozenset[str]]] = {}

    async def check(self, key: FleetKey, digest: str, pods: Sequence[PodRecord]) -> Finding | None:
        """What keeps the configuration from being in force everywhere; None when nothing does."""
        ready = [pod for pod in pods if pod.ready and not pod.terminating and pod.ip]
        state = (digest, frozenset(pod.uid for pod in ready))
        if ready and self._agreed.get(key) == state:
            return None
        if not ready:
            return Finding(Reason.CONFIG_PENDING, "no router is ready to say which config it runs")
        answers = await asyncio.gather(*(self._engines.router_config(pod.ip) for pod in ready))
        finding = _judge(digest, {pod.name: answer for pod, answer in zip(ready, answers, strict=True)})
        if finding is None:
            self._agreed[key] = state
        return finding

    def forget(self, key: FleetKey) -> None:
        self._agreed.pop(key, None)


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
