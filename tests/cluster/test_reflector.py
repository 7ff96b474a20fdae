"""The caches against a real API server: filled, followed, and whole again after a gap."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cluster.processes import ROOT
from heterofleet.api import labels
from heterofleet.api.labels import FleetKey
from heterofleet.cluster import connection
from heterofleet.cluster.cache import Cache, Listeners
from heterofleet.cluster.reflector import Reflection
from testbed.controlplane import Cluster
from testbed.eventually import eventually_async
from testbed.namespaces import create_namespace

pytestmark = pytest.mark.cluster
MONITORS = ("monitoring.coreos.com/v1", "PodMonitor")


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    """A control plane whose API server may be stopped, and to which a kind is added."""
    with Cluster.start(nodes=2) as made:
        made.kubectl("apply", "-f", str(ROOT / "crds"))
        yield made


@pytest.fixture
def namespace(own_cluster: Cluster) -> str:
    name = f"test-{secrets.token_hex(4)}"
    create_namespace(own_cluster.api, name)
    return name


@contextlib.asynccontextmanager
async def reflected(
    kubeconfig: Path, *namespaces: str, discovery: tuple[tuple[str, str], ...] = ()
) -> AsyncIterator[Cache]:
    """A cache that follows the cluster, once it is filled."""
    synced = asyncio.Event()
    cache = Cache(Listeners(lambda _: None, lambda _: None, lambda: None, synced.set))

    async def served_kinds() -> frozenset[tuple[str, str]]:
        return frozenset(discovery)

    async with connection.connect(kubeconfig) as link:
        reflection = Reflection(
            link,
            cache,
            namespaces=namespaces,
            served_kinds=served_kinds,
            clock=asyncio.get_running_loop().time,
        )
        task = asyncio.create_task(reflection.run())
        async with asyncio.timeout(30):
            await synced.wait()
        try:
            yield cache
        finally:
            task.cancel()
            await asyncio.wait([task])


def make(cluster: Cluster, namespace: str, name: str, fleet: str = "chat") -> None:
    metadata = {"name": name, "labels": {labels.FLEET: fleet}}
    cluster.api.create(f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": metadata})


def names(cache: Cache, namespace: str) -> set[str]:
    return {ref.name for ref in cache.children(FleetKey(namespace, "chat"))}


async def test_what_is_there_comes_and_goes(own_cluster: Cluster, namespace: str) -> None:
    make(own_cluster, namespace, "before")
    async with reflected(own_cluster.kubeconfig) as cache:
        assert names(cache, namespace) == {"before"}
        assert sorted(cache.nodes()) == ["a100-0", "a100-1"]
        assert cache.nodes()["a100-0"].devices == {"nvidia.com/gpu": 8}
        make(own_cluster, namespace, "after")
        await eventually_async(lambda: has(cache, namespace, "before", "after"))
        own_cluster.api.delete(f"/api/v1/namespaces/{namespace}/configmaps/before")
        await eventually_async(lambda: has(cache, namespace, "after"))


async def test_other_peoples_objects_are_not_read(own_cluster: Cluster, namespace: str) -> None:
    own_cluster.api.create(f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "theirs"}})
    make(own_cluster, namespace, "ours")
    async with reflected(own_cluster.kubeconfig) as cache:
        assert names(cache, namespace) == {"ours"}
        assert all(ref.name != "theirs" for key in [FleetKey(namespace, "")] for ref in cache.children(key))


async def test_listed_namespaces_hide_the_others(own_cluster: Cluster, namespace: str) -> None:
    make(own_cluster, namespace, "hidden")
    async with reflected(own_cluster.kubeconfig, "default") as cache:
        assert names(cache, namespace) == set()
        assert len(cache.nodes()) == 2


async def test_a_stopped_api_server_leaves_no_gap(own_cluster: Cluster, namespace: str) -> None:
    make(own_cluster, namespace, "before")
    async with reflected(own_cluster.kubeconfig) as cache:
        with own_cluster.without("kube-apiserver"):
            assert names(cache, namespace) == {"before"}
        own_cluster.api.delete(f"/api/v1/namespaces/{namespace}/configmaps/before")
        make(own_cluster, namespace, "after")
        await eventually_async(lambda: has(cache, namespace, "after"), within=60)


async def test_an_api_server_that_starts_again_is_not_taken_for_one_that_lacks_a_right(
    own_cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    """Until it has read its roles it refuses whoever has them from a role."""
    own_cluster.kubectl("create", "serviceaccount", "reader", "-n", namespace)
    binding = ("--clusterrole=cluster-admin", f"--serviceaccount={namespace}:reader")
    own_cluster.kubectl("create", "clusterrolebinding", namespace, *binding)
    make(own_cluster, namespace, "before")
    kubeconfig = own_cluster.service_account_kubeconfig(namespace, "reader", tmp_path / "kubeconfig")
    async with reflected(kubeconfig) as cache:
        restarting = asyncio.create_task(asyncio.to_thread(restart, own_cluster, namespace))
        seen: set[tuple[frozenset[str], int]] = set()

        async def is_whole_again() -> bool:
            seen.add((cache.unreadable(), len(cache.nodes())))
            return await has(cache, namespace, "before", "after")

        await eventually_async(is_whole_again, within=90)
        await restarting
        assert seen == {(frozenset(), 2)}


def restart(cluster: Cluster, namespace: str) -> None:
    with cluster.without("kube-apiserver"):
        pass
    make(cluster, namespace, "after")


async def test_an_optional_kind_that_cannot_be_read_is_no_obstacle(own_cluster: Cluster) -> None:
    async with reflected(own_cluster.kubeconfig, discovery=(MONITORS,)) as cache:
        assert (cache.synced, cache.unreadable()) == (True, frozenset({"PodMonitor"}))


async def has(cache: Cache, namespace: str, *wanted: str) -> bool:
    return names(cache, namespace) == set(wanted)
