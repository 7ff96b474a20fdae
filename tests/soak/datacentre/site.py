"""What a soaked data centre is made of, and what it knows of the time in which something was seen."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from heterofleet.api import labels
from heterofleet.api.labels import Component, Manifest, Tier
from randomwalk.history import Deed, Observatory
from randomwalk.history import History as Events
from randomwalk.written import Written
from soak.datacentre.faults import Kind
from soak.datacentre.keeper import Keeper
from soak.history import History, Trouble
from testbed.api import ApiError
from testbed.controlplane import Cluster
from testbed.datacentre import DataCentre
from testbed.operatorprocess import OperatorProcess
from testbed.prometheus import PrometheusServer

T = TypeVar("T")

PLACE: Final = "soak"
"""Namespace of the fleet."""

PATIENCE_SECONDS: Final = 300.0
"""Of an API server that starts on a machine with ten times the work that it has processors for."""


@dataclass
class Life:
    """A router's pod, which has one process."""

    name: str
    host: str
    access_log: Path
    log: Path
    killed_at: float | None = None


class Away(NamedTuple):
    """A time without the operator or the API server; the end is when it answered again."""

    kind: Kind
    since: float
    until: float


class Done(NamedTuple):
    """A fault as it was done."""

    at: float
    kind: Kind
    target: str
    until: float


@dataclass
class Site:
    """One soak's parts. Times are seconds of `now`; `begins` is when load and faults do."""

    cluster: Cluster
    operator: OperatorProcess
    centre: DataCentre
    prometheus: PrometheusServer
    observatory: Observatory
    written: Written
    keeper: Keeper
    folder: Path
    now: Callable[[], float]
    origin: float
    """0 s of `now` by the wall clock."""
    begins: float = 0.0
    history: History = field(default_factory=History)
    engines: dict[str, Tier] = field(default_factory=dict)
    """The tier of every engine that was seen, by its address; an address may serve the other tier later."""
    lives: dict[str, Life] = field(default_factory=dict)
    away: list[Away] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    operator_wanted: bool = True
    """Whether an operator that ended is started again."""

    @property
    def events(self) -> Events:
        return self.observatory.of(PLACE)

    @property
    def tiers(self) -> Mapping[str, Tier]:
        """The tier of each engine, those included that began to answer since pods were looked at."""
        for pod in self.centre.pods():
            self.note(pod)
        return self.engines

    @property
    def counted(self) -> Counter[str]:
        return Counter(done.kind.value for done in self.done)

    def troubles(self, engine: str | None, since: float, until: float) -> set[Trouble]:
        return self.history.troubled(list(self.tiers) if engine is None else (engine,), since, until)

    def killed(self, life: str, before: float) -> bool:
        found = self.lives.get(life)
        return found is not None and found.killed_at is not None and found.killed_at <= before

    def deed(self, what: str, *names: str) -> None:
        """Notes what the soak did to objects, so that their going is not laid at the operator's door."""
        self.events.deeds.append(Deed(time.time(), what, PLACE, frozenset(names)))

    def note(self, pod: Manifest) -> None:
        """Remembers the engine or router of a pod."""
        metadata, address = pod["metadata"], pod.get("status", {}).get("podIP")
        found = metadata["labels"]
        if not address:
            return
        if found.get(labels.COMPONENT) == Component.ROUTER:
            folder = self.folder / "routers"
            life = Life(metadata["name"], address, folder / f"{metadata['name']}.access.jsonl",
                        folder / f"{metadata['name']}.log")  # fmt: skip
            self.lives.setdefault(life.name, life)
        elif found.get(labels.POD_INDEX, "0") == "0" and labels.TIER in found:
            self.engines[f"{address}:{labels.ENGINE_PORT}"] = Tier(found[labels.TIER])

    def pods(self, **chosen: str) -> list[Manifest]:
        """The fleet's pods with these labels, by name."""
        wanted = {labels.FLEET: PLACE} | {f"{labels.GROUP}/{name}": value for name, value in chosen.items()}
        selector = ",".join(f"{name}={value}" for name, value in wanted.items())
        path = f"/api/v1/namespaces/{PLACE}/pods"
        found: list[dict[str, Any]] = persistently(lambda: self.cluster.api.items(path, labelSelector=selector))
        for pod in found:
            self.note(pod)
        return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))


def persistently(call: Callable[[], T]) -> T:
    """The answer of a call, repeated while the API server is away or finds its feet. Blocks."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError):
            try:
                return call()
            except ApiError as exc:
                if exc.status not in (401, 403, 429, 500, 503):
                    raise
        time.sleep(0.2)
    return call()
