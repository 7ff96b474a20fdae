"""What a fleet's first apply of a name does on a real API server: it makes the object, or it touches nothing."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from cluster.test_desired_objects import define, spoken
from heterofleet.api import labels
from heterofleet.api.labels import Manifest
from heterofleet.cluster import apply
from heterofleet.cluster.cache import Cache, Listeners
from heterofleet.cluster.client import KubeCluster
from heterofleet.cluster.objects import Changes, Ref
from reconcile.played import Meter
from testbed.controlplane import Cluster

SPECS: dict[tuple[str, str], dict[str, Any]] = {
    ("v1", "ConfigMap"): {"data": {"ours": "1"}},
    ("v1", "Service"): {"spec": {"clusterIP": "None", "ports": [{"name": "http", "port": 8000}]}},
    ("v1", "ServiceAccount"): {"automountServiceAccountToken": False},
    ("policy/v1", "PodDisruptionBudget"): {"spec": {"maxUnavailable": 0}},
    (labels.API_VERSION, labels.TIER_KIND): {"spec": {"tier": "large", "instances": 1}},
}


@pytest_asyncio.fixture
async def kube(cluster: Cluster) -> AsyncIterator[KubeCluster]:
    define(cluster)
    meter = Meter()
    async with KubeCluster.connect(
        write_seconds_left=meter.seconds_left, meter=meter, kubeconfig=cluster.kubeconfig
    ) as opened:
        yield opened


@pytest.fixture
def cache() -> Cache:
    return Cache(Listeners(lambda _: None, lambda _: None, lambda: None, lambda: None))


async def owner_of(kube: KubeCluster, namespace: str) -> Manifest:
    """An object that stands for the fleet."""
    metadata = {"namespace": namespace, "name": "owner"}
    return await kube.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


def child(kind: tuple[str, str], owner: Manifest, **more: Any) -> Manifest:
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "controller": True}
    reference |= {key: owner["metadata"][key] for key in ("name", "uid")}
    metadata = {"namespace": owner["metadata"]["namespace"], "name": "chat-large", "ownerReferences": [reference]}
    return {"apiVersion": kind[0], "kind": kind[1], "metadata": metadata, **SPECS[kind], **more}


@pytest.mark.parametrize("kind", SPECS, ids=lambda kind: kind[1])
async def test_what_another_made_since_the_look_stays_as_it_is(
    kube: KubeCluster, cache: Cache, namespace: str, kind: tuple[str, str]
) -> None:
    owner = await owner_of(kube, namespace)
    wanted, uid = child(kind, owner), owner["metadata"]["uid"]
    found = await apply.survey(Changes(apply=(wanted,)), kube, cache, owner_uid=uid)
    metadata = {"namespace": namespace, "name": wanted["metadata"]["name"], "labels": {"their": "own"}}
    theirs = await kube.create({**wanted, "metadata": metadata})
    outcome = await apply.execute(Changes(apply=(wanted,)), kube, cache, owner_uid=uid, known=found)
    assert outcome == apply.Outcome((), (), (), (Ref.of(wanted),), {})
    stored = await kube.get(Ref.of(wanted))
    assert stored is not None
    assert spoken(stored) == spoken(theirs)


@pytest.mark.parametrize("kind", SPECS, ids=lambda kind: kind[1])
async def test_a_new_object_is_ours_by_apply_alone(
    kube: KubeCluster, cache: Cache, namespace: str, kind: tuple[str, str]
) -> None:
    owner = await owner_of(kube, namespace)
    wanted, uid = child(kind, owner), owner["metadata"]["uid"]
    outcome = await apply.execute(Changes(apply=(wanted,)), kube, cache, owner_uid=uid)
    assert outcome.applied == (Ref.of(wanted),)
    stored = await kube.get(Ref.of(wanted))
    assert stored is not None
    managers = {(entry["manager"], entry["operation"]) for entry in stored["metadata"]["managedFields"]}
    assert (labels.FIELD_MANAGER, "Apply") in managers
    assert (labels.FIELD_MANAGER, "Update") not in managers


async def test_what_the_first_apply_said_and_a_later_one_does_not_is_removed(
    kube: KubeCluster, cache: Cache, namespace: str
) -> None:
    owner = await owner_of(kube, namespace)
    uid = owner["metadata"]["uid"]
    for data in ({"kept": "1", "left-out": "1"}, {"kept": "1"}):
        changes = Changes(apply=(child(("v1", "ConfigMap"), owner, data=data),))
        await apply.execute(changes, kube, cache, owner_uid=uid)
    stored = await kube.get(Ref("v1", "ConfigMap", namespace, "chat-large"))
    assert stored is not None
    assert stored["data"] == {"kept": "1"}
