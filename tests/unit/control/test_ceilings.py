"""GPUs of small pods are free when nobody can make these pods any more, and not when they are no longer asked for."""

from typing import Any

import pytest

from heterofleet.api import labels
from heterofleet.api.labels import Manifest
from heterofleet.cluster.objects import Observed, Ref
from heterofleet.control.ceilings import Ceilings
from heterofleet.control.holdings import BOUNDLESS
from unit.cluster import builders
from unit.cluster.builders import KEY
from unit.memory import MemoryCluster

REVISION = "0123abcd"


class Cluster(MemoryCluster):
    """A small tier's Deployment and its ReplicaSet, each as far as its controller has come."""

    def deployment(self, replicas: int, *, generation: int, seen: int, uid: str = "d") -> dict[str, Observed]:
        made = builders.child("Deployment", "chat-small-default-0123abcd", api_version="apps/v1")
        made |= {"spec": {"replicas": replicas}, "status": {"observedGeneration": seen}}
        return {REVISION: Observed.of(builders.stored(made, uid=uid, generation=generation))}

    def replica_set(self, replicas: int, *, generation: int, seen: int, made: int, owner: str = "d") -> None:
        manifest: Manifest = builders.child("ReplicaSet", f"of-{owner}", api_version="apps/v1")
        manifest |= {"spec": {"replicas": replicas}, "status": {"observedGeneration": seen, "replicas": made}}
        manifest["metadata"]["labels"][labels.TIER] = "small"
        stored = builders.stored(manifest, owner=owner, generation=generation)
        self.objects[Ref.of(stored)] = stored

    async def list(self, api_version: str, kind: str, **limits: Any) -> list[Manifest]:
        assert limits == {
            "namespace": KEY.namespace,
            "label_selector": f"{labels.FLEET}={KEY.name},{labels.TIER}=small",
        }
        self.calls.append(("list", Ref(api_version, kind, "", "")))
        return list(await super().list(api_version, kind))


async def test_a_count_that_was_never_lowered_is_the_ceiling_and_nobody_is_asked() -> None:
    cluster = Cluster()
    ceilings = Ceilings(cluster)
    assert await ceilings.look(KEY, cluster.deployment(2, generation=1, seen=0)) == {REVISION: 2}
    assert await ceilings.look(KEY, cluster.deployment(3, generation=2, seen=1)) == {REVISION: 3}
    assert cluster.calls == []


async def test_a_lowered_count_binds_when_both_controllers_have_seen_it_and_no_pod_is_above_it() -> None:
    cluster = Cluster()
    ceilings = Ceilings(cluster)
    await ceilings.look(KEY, cluster.deployment(3, generation=1, seen=1))
    assert await ceilings.look(KEY, cluster.deployment(1, generation=2, seen=1)) == {REVISION: 3}
    assert cluster.calls == [], "its own controller has not seen it, so there is nothing to ask"
    lowered = cluster.deployment(1, generation=2, seen=2)
    for replicas, generation, seen, made in ((3, 1, 1, 1), (1, 2, 1, 1), (1, 2, 2, 3)):
        cluster.replica_set(replicas, generation=generation, seen=seen, made=made)
        assert await ceilings.look(KEY, lowered) == {REVISION: 3}
    cluster.replica_set(1, generation=2, seen=2, made=1)
    assert await ceilings.look(KEY, lowered) == {REVISION: 1}
    cluster.calls.clear()
    assert await ceilings.look(KEY, lowered) == {REVISION: 1}
    assert cluster.calls == [], "what is known is not asked again"


async def test_the_highest_of_several_counts_that_were_not_seen_is_the_ceiling() -> None:
    cluster = Cluster()
    ceilings = Ceilings(cluster)
    for generation, replicas in enumerate((1, 5, 2, 3), 1):
        found = await ceilings.look(KEY, cluster.deployment(replicas, generation=generation, seen=1))
    assert found == {REVISION: 5}


async def test_another_process_knows_no_ceiling_until_both_controllers_have_seen_the_count() -> None:
    cluster = Cluster()
    lowered = cluster.deployment(1, generation=2, seen=2)
    assert await Ceilings(cluster).look(KEY, lowered) == {REVISION: BOUNDLESS}
    cluster.replica_set(1, generation=2, seen=2, made=1)
    assert await Ceilings(cluster).look(KEY, lowered) == {REVISION: 1}


async def test_a_replica_set_of_another_deployment_says_nothing() -> None:
    cluster = Cluster()
    ceilings = Ceilings(cluster)
    await ceilings.look(KEY, cluster.deployment(3, generation=1, seen=1))
    cluster.replica_set(1, generation=2, seen=2, made=1, owner="the-former-one")
    assert await ceilings.look(KEY, cluster.deployment(1, generation=2, seen=2)) == {REVISION: 3}


@pytest.mark.parametrize("change", ["gone", "made anew", "forgotten"])
async def test_what_is_remembered_goes_with_its_deployment(change: str) -> None:
    cluster = Cluster()
    ceilings = Ceilings(cluster)
    await ceilings.look(KEY, cluster.deployment(5, generation=1, seen=1))
    if change == "gone":
        assert await ceilings.look(KEY, {}) == {}
    if change == "forgotten":
        ceilings.forget(KEY)
    fresh = cluster.deployment(1, generation=1, seen=0, uid="e" if change == "made anew" else "d")
    assert await ceilings.look(KEY, fresh) == {REVISION: 1}
