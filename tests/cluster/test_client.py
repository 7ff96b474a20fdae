"""The verbs against a real API server: what is stored, what is refused, and when nothing is sent."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from heterofleet.api.labels import Manifest
from heterofleet.cluster import comparison, connection, errors
from heterofleet.cluster.client import KubeCluster
from heterofleet.cluster.objects import Ref
from testbed.controlplane import Cluster


@dataclasses.dataclass
class Tally:
    written: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    reasons: list[str] = dataclasses.field(default_factory=list)

    def wrote(self, verb: str, kind: str) -> None:
        self.written.append((verb, kind))

    def failed(self, reason: str) -> None:
        self.reasons.append(reason)


@dataclasses.dataclass
class Client:
    """An open client, with the time it may still write for and what it counted."""

    kube: KubeCluster
    tally: Tally
    seconds_left: float = 60.0


@pytest_asyncio.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    async with opened(cluster.kubeconfig) as made:
        yield made


class opened:  # noqa: N801 (a context manager, used like a function)
    def __init__(self, kubeconfig: Path) -> None:
        self._connecting = connection.connect(kubeconfig)

    async def __aenter__(self) -> Client:
        link = await self._connecting.__aenter__()
        tally = Tally()
        made = Client(KubeCluster(link, write_seconds_left=lambda: made.seconds_left, meter=tally), tally)
        return made

    async def __aexit__(self, *exc: object) -> None:
        await self._connecting.__aexit__(None, None, None)


def config_map(namespace: str, name: str = "a", **data: str) -> Manifest:
    metadata = {"namespace": namespace, "name": name, "labels": {"made-by": "test"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def test_an_apply_stores_what_it_says_and_a_second_one_changes_nothing(client: Client, namespace: str) -> None:
    wanted = config_map(namespace, key="1")
    first = await client.kube.apply(wanted)
    second = await client.kube.apply(wanted)
    assert comparison.covers(first, wanted) == ()
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    assert [entry["manager"] for entry in first["metadata"]["managedFields"]] == ["heterofleet-operator"]
    assert client.tally.written == [("apply", "ConfigMap")] * 2


async def test_what_is_no_longer_applied_goes(client: Client, namespace: str) -> None:
    await client.kube.apply(config_map(namespace, old="1", kept="1"))
    stored = await client.kube.apply(config_map(namespace, kept="1"))
    assert stored["data"] == {"kept": "1"}


async def test_an_apply_takes_a_field_back_by_force(client: Client, namespace: str, cluster: Cluster) -> None:
    await client.kube.apply(config_map(namespace, key="ours"))
    path = f"/api/v1/namespaces/{namespace}/configmaps/a"
    cluster.api.apply(path, config_map(namespace, key="theirs"), "somebody", force=True)
    stored = await client.kube.apply(config_map(namespace, key="ours"))
    assert stored["data"] == {"key": "ours"}


async def test_preconditions_are_the_servers_to_check(client: Client, namespace: str) -> None:
    stored = await client.kube.apply(config_map(namespace, key="1"))
    ref, uid = Ref.of(stored), stored["metadata"]["uid"]
    version = int(stored["metadata"]["resourceVersion"])
    other = {**config_map(namespace, key="2"), "metadata": {**config_map(namespace)["metadata"], "uid": "other"}}
    with pytest.raises(errors.Conflict):
        await client.kube.apply(other)
    with pytest.raises(errors.Conflict):
        await client.kube.delete(ref, uid="other")
    with pytest.raises(errors.Conflict):
        await client.kube.merge_patch(ref, {"data": {"key": "2"}}, resource_version=version - 1)
    with pytest.raises(errors.Conflict):
        await client.kube.merge_patch(ref, {"data": {"key": "2"}}, uid="other")
    patched = await client.kube.merge_patch(ref, {"data": {"key": "2"}}, resource_version=version, uid=uid)
    assert patched["data"] == {"key": "2"}
    await client.kube.delete(ref, uid=uid)
    assert await client.kube.get(ref) is None


async def test_deleting_what_is_gone_is_no_error(client: Client, namespace: str) -> None:
    await client.kube.delete(Ref("v1", "ConfigMap", namespace, "never-there"))


async def test_a_status_is_replaced_whole_and_only_of_the_object_meant(
    client: Client, namespace: str, cluster: Cluster
) -> None:
    cluster.kubectl("apply", "-f", "crds")
    fleet = await client.kube.create(
        {
            "apiVersion": "heterofleet.io/v1alpha1",
            "kind": "HeterogeneousDeployment",
            "metadata": {"namespace": namespace, "name": "chat"},
            "spec": {
                "large": {"model": {"source": "hf://Qwen/Qwen3-32B"}},
                "small": {"model": {"source": "hf://Qwen/Qwen3-4B"}},
            },
        }
    )
    ref, uid = Ref.of(fleet), fleet["metadata"]["uid"]
    await client.kube.apply_status(ref, {"observedGeneration": 1, "endpoint": "http://x"}, uid=uid)
    stored = await client.kube.apply_status(ref, {"observedGeneration": 2}, uid=uid)
    assert stored["status"] == {"observedGeneration": 2}
    with pytest.raises(errors.Conflict):
        await client.kube.apply_status(ref, {"observedGeneration": 3}, uid="other")


async def test_the_servers_sentence_comes_with_the_error(client: Client, namespace: str) -> None:
    with pytest.raises(errors.Invalid, match="a lowercase RFC 1123 subdomain"):
        await client.kube.apply(config_map(namespace, name="Not_A_Name"))
    with pytest.raises(errors.NotFound, match='namespaces "nowhere-at-all" not found'):
        await client.kube.apply(config_map("nowhere-at-all"))
    await client.kube.create(config_map(namespace, name="b"))
    with pytest.raises(errors.AlreadyExists):
        await client.kube.create(config_map(namespace, name="b"))
    assert client.tally.reasons == ["Invalid", "NotFound", "AlreadyExists"]


async def test_a_right_that_is_missing_is_named(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    kubeconfig = cluster.service_account_kubeconfig(namespace, "default", tmp_path / "kubeconfig")
    async with opened(kubeconfig) as powerless:
        with pytest.raises(errors.Forbidden, match='cannot patch resource "configmaps"'):
            await powerless.kube.apply(config_map(namespace))


async def test_without_the_lease_nothing_is_sent(client: Client, namespace: str) -> None:
    client.seconds_left = 0
    manifest = config_map(namespace)
    ref = Ref.of(manifest)
    for write in (
        client.kube.apply(manifest),
        client.kube.create(manifest),
        client.kube.replace(manifest),
        client.kube.delete(ref),
        client.kube.merge_patch(ref, {}),
        client.kube.apply_status(ref, {}),
    ):
        with pytest.raises(errors.NotLeader):
            await write
    client.seconds_left = 60
    assert await client.kube.get(ref) is None
    assert client.tally.written == []


async def test_a_write_that_waited_for_its_turn_asks_the_lease_again(client: Client, namespace: str) -> None:
    """More writes than slots are started; the lease is lost before the later ones get theirs."""
    count = 3 * connection.MOST_IN_FLIGHT

    async def write(index: int) -> bool:
        try:
            await client.kube.apply(config_map(namespace, name=f"w-{index}"))
        except errors.NotLeader:
            return False
        finally:
            client.seconds_left = 0  # The first answer ends our time.
        return True

    done = await asyncio.gather(*(write(index) for index in range(count)))
    stored = await client.kube.list("v1", "ConfigMap", namespace=namespace, label_selector="made-by=test")
    assert len(stored) == sum(done) <= connection.MOST_IN_FLIGHT


async def test_long_lists_come_in_pages(client: Client, namespace: str) -> None:
    names = [f"n-{index:03}" for index in range(501)]
    await asyncio.gather(*(client.kube.create(config_map(namespace, name=name)) for name in names))
    sizes = [
        len(page)
        async for page in client.kube.pages("v1", "ConfigMap", namespace=namespace, label_selector="made-by=test")
    ]
    assert sizes == [500, 1]


async def test_served_kinds_are_those_of_this_server(client: Client, cluster: Cluster) -> None:
    cluster.kubectl("apply", "-f", "crds")
    found = await client.kube.served_kinds()
    assert ("heterofleet.io/v1alpha1", "HeterogeneousDeployment") in found
    assert ("monitoring.coreos.com/v1", "PodMonitor") not in found


async def test_a_server_that_does_not_answer_is_unavailable(cluster: Cluster, tmp_path: Path) -> None:
    moved = tmp_path / "kubeconfig"
    moved.write_text(cluster.kubeconfig.read_text().replace(cluster.url, "https://127.0.0.1:1"))
    async with opened(moved) as lost:
        with pytest.raises(errors.Unavailable):
            await lost.kube.list("v1", "ConfigMap")
