"""The operator as a process on a real API server: who writes, when it stops writing, and what it survives."""

import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.processes import ROOT, leading, started
from testbed.audit import AuditLog
from testbed.controlplane import Cluster
from testbed.eventually import eventually
from testbed.namespaces import create_namespace

SHORT_LEASE = {
    "HETEROFLEET_LEASE_DURATION_SECONDS": "4",
    "HETEROFLEET_LEASE_RENEW_DEADLINE_SECONDS": "3",
    "HETEROFLEET_LEASE_RETRY_PERIOD_SECONDS": "0.5",
}
pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    """A control plane whose API server may be stopped and whose audit log holds these tests only."""
    with Cluster.start(nodes=1, audit=True) as made:
        made.kubectl("apply", "-f", str(ROOT / "crds"))
        yield made


@pytest.fixture
def fleets(own_cluster: Cluster) -> "Fleets":
    name = f"test-{secrets.token_hex(4)}"
    create_namespace(own_cluster.api, name)
    return Fleets(own_cluster, name)


class Fleets:
    """One namespace's fleets, as a person edits them, and the ConfigMaps that the small operator makes of them."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.path = f"/apis/heterofleet.io/v1alpha1/namespaces/{namespace}/heterogeneousdeployments"
        self.children = f"/api/v1/namespaces/{namespace}/configmaps"

    def lease(self) -> dict[str, str]:
        """Settings for a Lease of this test's own."""
        return {"POD_NAMESPACE": self.namespace, "HETEROFLEET_NAMESPACES": self.namespace}

    def account(self, name: str, folder: Path) -> Path:
        """Makes a ServiceAccount that may do anything, so that the audit log tells processes apart; its kubeconfig."""
        self.cluster.kubectl("create", "serviceaccount", name, "--namespace", self.namespace)
        subject = f"--serviceaccount={self.namespace}:{name}"
        binding = f"{self.namespace}-{name}"
        self.cluster.kubectl("create", "clusterrolebinding", binding, "--clusterrole=cluster-admin", subject)
        return self.cluster.service_account_kubeconfig(self.namespace, name, folder / f"{name}.kubeconfig")

    def user(self, account: str) -> str:
        return f"system:serviceaccount:{self.namespace}:{account}"

    def create(self, name: str, **annotations: str) -> None:
        body = yaml.safe_load((ROOT / "manifests/samples/minimal.yaml").read_text())
        body["metadata"] = {"name": name, "annotations": annotations}
        self.cluster.api.create(self.path, body)

    def edit(self, name: str, patch: dict[str, Any]) -> int:
        """Merge-patches a fleet and gives its generation."""
        generation: int = self.cluster.api.merge(f"{self.path}/{name}", patch)["metadata"]["generation"]
        return generation

    def delete(self, name: str) -> None:
        self.cluster.api.delete(f"{self.path}/{name}")

    def seen(self, name: str) -> str | None:
        """The generation that the child of a fleet was made for."""
        child = self.cluster.api.find(f"{self.children}/{name}-small")
        return child["data"]["generation"] if child else None

    def await_seen(self, name: str, generation: int, seconds: float = 30) -> None:
        wanted = str(generation)
        eventually(lambda: self.seen(name) == wanted, seconds, f"{name} is at generation {wanted}")


def test_an_edit_becomes_a_child_and_a_deletion_needs_no_operator(fleets: Fleets, tmp_path: Path) -> None:
    with leading(fleets.cluster.kubeconfig, tmp_path, "one", **fleets.lease()) as process:
        fleets.create("chat")
        fleets.await_seen("chat", 1)
        generation = fleets.edit("chat", {"spec": {"small": {"instances": {"min": 2, "max": 4}}}})
        fleets.await_seen("chat", generation)
        stored = fleets.cluster.api.get(f"{fleets.path}/chat")
        assert "finalizers" not in stored["metadata"]
        assert [key for key in stored["metadata"].get("annotations", {}) if "kopf" in key] == []
        assert process.stop() == 0
    fleets.delete("chat")
    eventually(lambda: fleets.cluster.api.find(f"{fleets.path}/chat") is None, 10)
    # The garbage collector learns of a new definition within half a minute.
    eventually(lambda: fleets.seen("chat") is None, 90, "the child went with its owner")


def test_at_rest_nothing_but_the_lease_is_written(fleets: Fleets, tmp_path: Path) -> None:
    kubeconfig = fleets.account("operator", tmp_path)
    audit = AuditLog(fleets.cluster.audit_log)
    user = fleets.user("operator")
    fleets.create("chat")
    with leading(kubeconfig, tmp_path, "one", **fleets.lease(), HETEROFLEET_RESYNC_SECONDS="10") as process:
        fleets.await_seen("chat", 1)
        written = eventually(lambda: {write.resource for write in audit.new(user)} - {"leases"}, 20)
        assert written <= {"configmaps", "heterogeneousdeployments/status", "events"}

        def reconciles() -> float:
            lines = process.get("/metrics")[1].splitlines()
            return sum(float(line.split()[1]) for line in lines if 'reconciles_total{outcome="done"}' in line)

        settled = eventually(reconciles, 10)
        audit.skip()
        eventually(lambda: reconciles() >= settled + 2, 60, "two more resyncs ran")
        assert {write.resource for write in audit.new(user)} == {"leases"}


def test_a_standby_is_ready_and_follows_a_leader_that_stops_at_once(fleets: Fleets, tmp_path: Path) -> None:
    kubeconfig = fleets.cluster.kubeconfig
    with (
        leading(kubeconfig, tmp_path, "first", **fleets.lease()) as first,
        started(kubeconfig, tmp_path, "second", **fleets.lease()) as second,
    ):
        fleets.create("chat")
        fleets.await_seen("chat", 1)
        eventually(second.is_ready, 30, "the standby's caches are filled")
        assert not second.leads()
        assert first.stop() == 0
        eventually(second.leads, 10, "the lease was given back, not waited out")
        generation = fleets.edit("chat", {"spec": {"suspend": True}})
        fleets.await_seen("chat", generation)


def test_a_killed_leader_is_followed_when_its_lease_has_run_out(fleets: Fleets, tmp_path: Path) -> None:
    kubeconfig = fleets.cluster.kubeconfig
    settings = fleets.lease() | SHORT_LEASE
    with (
        leading(kubeconfig, tmp_path, "first", **settings) as first,
        started(kubeconfig, tmp_path, "second", **settings) as second,
    ):
        eventually(second.is_ready, 30)
        first.send(signal.SIGKILL)
        first.exit_status()
        fleets.create("chat")
        fleets.await_seen("chat", 1)
        assert second.leads()


def test_a_leader_stopped_past_its_lease_never_writes_again(fleets: Fleets, tmp_path: Path) -> None:
    """Both write as fast as they can; the audit log tells that their writes do not mix."""
    settings = fleets.lease() | SHORT_LEASE | {"SMALL_OPERATOR_WRITE_EVERY": "0.02"}
    child = f"{fleets.children}/chat-small"
    audit = AuditLog(fleets.cluster.audit_log)

    def data() -> dict[str, str]:
        found: dict[str, str] = (fleets.cluster.api.find(child) or {}).get("data", {})
        return found

    fleets.create("chat")
    with leading(fleets.account("first", tmp_path), tmp_path, "first", **settings) as first:
        eventually(lambda: data().get("writer", "").startswith("first"))
        with started(fleets.account("second", tmp_path), tmp_path, "second", **settings) as second:
            eventually(second.is_ready, 30)
            first.send(signal.SIGSTOP)
            eventually(lambda: data()["writer"].startswith("second"), 30, "the standby took over")
            first.send(signal.SIGCONT)
            assert first.exit_status() == 1
            count = int(data()["count"])
            eventually(lambda: int(data()["count"]) > count + 20)
        assert "Exiting: the lease could not be renewed for 3 s" in first.log.read_text()
    writes = [write for write in audit.new() if write.resource != "leases"]
    of_first, of_second = (
        [write.time for write in writes if write.user == fleets.user(a)] for a in ("first", "second")
    )
    assert (len(of_first) > 10, len(of_second) > 20) == (True, True)
    assert max(of_first) < min(of_second)


def test_one_failing_fleet_does_not_stall_another(fleets: Fleets, tmp_path: Path) -> None:
    with leading(fleets.cluster.kubeconfig, tmp_path, "one", **fleets.lease()) as process:
        for index in range(10):
            fleets.create(f"failing-{index}", **{"small/fails": "yes"})
        fleets.create("chat")
        fleets.await_seen("chat", 1)
        eventually(lambda: 'reconciles_total{outcome="failed"}' in process.get("/metrics")[1])
        fleets.edit("failing-0", {"metadata": {"annotations": {"small/fails": None}}})
        fleets.await_seen("failing-0", 1, seconds=10)
        assert process.get("/healthz") == (200, "ok\n")


def test_an_outage_of_the_api_server_is_survived(fleets: Fleets, tmp_path: Path) -> None:
    with leading(fleets.cluster.kubeconfig, tmp_path, "one", **fleets.lease()) as process:
        fleets.create("chat")
        fleets.await_seen("chat", 1)
        with fleets.cluster.without("kube-apiserver"):
            assert process.get("/healthz") == (200, "ok\n")
        generation = fleets.edit("chat", {"spec": {"suspend": True}})
        fleets.await_seen("chat", generation, seconds=60)
        assert process.popen.poll() is None


def test_a_process_that_never_reached_a_server_stops_when_told(own_cluster: Cluster, tmp_path: Path) -> None:
    moved = tmp_path / "kubeconfig"
    moved.write_text(own_cluster.kubeconfig.read_text().replace(own_cluster.url, "https://127.0.0.1:1"))
    with started(moved, tmp_path, "one") as process:
        eventually(lambda: process.get("/readyz") == (503, "the caches are not filled yet\n"), 20)
        assert process.get("/healthz") == (200, "ok\n")
        assert process.stop() == 0


def test_wrong_settings_end_the_process_with_their_sentence(tmp_path: Path) -> None:
    with started(tmp_path / "none", tmp_path, "one", HETEROFLEET_WORKERS="many") as process:
        assert process.exit_status() == 2
        assert process.log.read_text() == (
            "The operator's settings are wrong:\n"
            "HETEROFLEET_WORKERS: input should be a valid integer, unable to parse string as an integer "
            "(it is 'many').\n"
        )
