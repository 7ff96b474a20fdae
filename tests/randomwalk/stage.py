"""What many walks share: one cluster with our definitions, its watches, its engines, and what operators fork from."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from heterofleet.api import crd, labels
from randomwalk import generator, world
from randomwalk.actions import Action, Kind
from randomwalk.history import Observatory
from randomwalk.operators import SOURCES, Nursery
from randomwalk.walk import Result, Walk
from testbed.api import ApiError
from testbed.controlplane import Cluster
from testbed.datacentre import DataCentre
from testbed.eventually import eventually


@dataclass(frozen=True)
class Stage:
    """Where walks take place, any number at a time."""

    cluster: Cluster
    observatory: Observatory
    centre: DataCentre
    nursery: Nursery
    folder: Path

    def walk(self, seed: int, steps: int, *, restarts_server: bool = True) -> Result:
        """One seed's walk, from an empty namespace to an empty namespace."""
        selector = world.selector_of(seed)
        return self.play(seed, generator.generate(seed, steps, selector, restarts_server=restarts_server))

    def stray(self, seed: int, steps: int, often: tuple[Kind, ...] = ()) -> Result:
        """A seed's walk without healing: what breaks a rule on the way is all that is asked."""
        actions = generator.generate(seed, steps, world.selector_of(seed), restarts_server=False, often=often)
        return self.play(seed, actions, heals=False)

    def play(self, seed: int, actions: tuple[Action, ...], *, heals: bool = True) -> Result:
        """These actions under that seed's name."""
        folder = self.folder / f"seed-{seed}"
        place = world.make(seed, self.cluster, self.observatory, self.centre, self.nursery, folder)
        try:
            return Walk(place, actions).run(heals=heals)
        finally:
            place.close()
            self.observatory.forget(place.namespace)


@contextlib.contextmanager
def opened(cluster: Cluster, folder: Path, sources: Path = SOURCES) -> Iterator[Stage]:
    """The stage on a loopback cluster with an audit log."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster.apply(*crd.definitions())
    plurals = (labels.FLEET_PLURAL, labels.TIER_PLURAL)
    eventually(lambda: all(_is_served(cluster, plural) for plural in plurals), 30, "both definitions are served")
    with Observatory(cluster) as observatory, DataCentre(cluster.api) as centre, Nursery(sources) as nursery:
        yield Stage(cluster, observatory, centre, nursery, folder)


@contextlib.contextmanager
def own_cluster() -> Iterator[Cluster]:
    """A cluster for walks alone, or the kept one that TESTBED_REUSE_LOOPBACK names."""
    kept = os.environ.get("TESTBED_REUSE_LOOPBACK")
    with Cluster.attach(Path(kept)) if kept else Cluster.start(audit=True, loopback_pods=True) as cluster:
        yield cluster


def _is_served(cluster: Cluster, plural: str) -> bool:
    try:
        return bool(cluster.api.get(f"/apis/{labels.API_VERSION}/{plural}"))
    except ApiError:
        return False
