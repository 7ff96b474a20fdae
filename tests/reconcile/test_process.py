"""The real process against the real API server, with engines and routers that answer on their pods' addresses.

Here is what only a process shows: its watches, its Lease, its death, the questions that it asks over HTTP, and that
it writes nothing at rest by the API server's own log.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from heterofleet.api import labels
from reconcile.site import Site, names_of, state_of, uids_of
from testbed.audit import AuditLog
from testbed.controlplane import Cluster
from testbed.datacentre import DataCentre
from testbed.eventually import eventually
from testbed.namespaces import create_namespace
from testbed.operatorprocess import OperatorProcess

SAMPLES = Path(__file__).parents[2] / "manifests" / "samples"


class House:
    """One operator with a user of its own, and two namespaces that it is limited to."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.sites = [Site(cluster, f"process-{secrets.token_hex(3)}") for _ in range(2)]
        for site in self.sites:
            create_namespace(cluster.api, site.namespace)
        home = self.sites[0].namespace
        self.user = f"system:serviceaccount:{home}:operator"
        cluster.kubectl("create", "serviceaccount", "operator", "-n", home)
        cluster.kubectl(
            "create", "clusterrolebinding", home, "--clusterrole=cluster-admin", f"--serviceaccount={home}:operator"
        )
        kubeconfig = cluster.service_account_kubeconfig(home, "operator", folder / "operator.kubeconfig")
        self.operator = OperatorProcess(
            kubeconfig,
            namespaces=[site.namespace for site in self.sites],
            lease_namespace=home,
            folder=folder / "operator",
        )

    def close(self) -> None:
        self.cluster.kubectl("delete", "clusterrolebinding", self.sites[0].namespace)
        for site in self.sites:
            self.cluster.api.delete(f"/api/v1/namespaces/{site.namespace}")
            site.remove_nodes(*site.machines)
            self.cluster.api.delete(site.path("pods"), gracePeriodSeconds="0")


@pytest.fixture(scope="module")
def house(fleet_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(fleet_cluster, tmp_path_factory.mktemp("house"))
    with made.operator:
        yield made
        made.operator.stop()
        assert made.operator.errors() == []
    made.close()


@pytest.fixture(scope="module")
def centre(house: House) -> Iterator[DataCentre]:
    with DataCentre(house.cluster.api) as opened:
        yield opened


@pytest.fixture
def site(house: House, centre: DataCentre) -> Iterator[Site]:
    """The operator's first namespace, empty again after the test."""
    if not house.operator.runs:
        house.operator.start()
    place = house.sites[0]
    yield place
    for name in place.names(labels.FLEET_PLURAL):
        place.cluster.api.delete(place.path(labels.FLEET_PLURAL, name))
    eventually(lambda: not place.items("statefulsets") and not place.items("deployments"), 30)
    place.cluster.api.delete(place.path("pods"), gracePeriodSeconds="0")
    eventually(lambda: not place.pods(), 30)
    place.remove_nodes(*place.machines)


def test_the_minimal_sample_becomes_ready_its_routers_agree_and_then_nothing_is_written(site: Site, house: House):
    sample = (SAMPLES / "minimal.yaml").read_text()
    site.cluster.kubectl("apply", "-n", site.namespace, "-f", "-", input=sample)
    site.wait_ready()
    assert site.condition("RouterConfigured")[:2] == ("True", "Configured")
    audit = AuditLog(site.cluster.audit_log)
    agent = [write for write in audit.new(house.user) if write.resource not in ("leases", "events")]
    assert agent, "the log tells of the operator's writes"
    last = len(agent)
    quiet: list[int] = []

    def stays_silent() -> bool:
        quiet.append(len([w for w in audit.new(house.user) if w.resource not in ("leases", "events")]))
        return len(quiet) >= 100 and sum(quiet[-60:]) == 0

    eventually(stays_silent, 60, f"no write at rest, after {last} to make it")


def test_a_drain_reads_the_engine_and_outlives_the_operator(site: Site, house: House, centre: DataCentre):
    site.add_nodes(1)
    site.create(large={"instances": {"min": 0}}, small={"instances": {"min": 2}})
    site.wait_ready()
    names = names_of(site.small_pods())
    for name in names:
        centre.engine(name).state.running = 2
    site.edit(small={"instances": {"min": 1}})
    chosen = site.eventually(
        lambda: next((p["metadata"]["name"] for p in site.small_pods() if state_of(p) == "draining"), None)
    )
    before = site.get("pods", chosen)["metadata"]["annotations"][labels.DRAIN_DEADLINE]
    house.operator.kill()
    house.operator.start()
    site.eventually(lambda: site.condition("Reconciling")[0] == "True")
    centre.engine(chosen).state.running = 0
    centre.engine(chosen).state.waiting = 1
    router = names_of(site.pods(f"{labels.COMPONENT}=router"))[0]
    address = site.get("pods", chosen)["status"]["podIP"]
    centre.router(router).in_flight[f"{address}:8000"] = 1
    centre.engine(chosen).state.waiting = 0
    assert site.get("pods", chosen)["metadata"]["annotations"][labels.DRAIN_DEADLINE] == before
    assert names_of(site.small_pods()) == names
    centre.router(router).in_flight.clear()
    site.eventually(lambda: names_of(site.small_pods()) == [name for name in names if name != chosen])
    site.eventually(lambda: site.status().get("lastDrain", {}).get("instance") == chosen)
    assert site.status()["lastDrain"]["aborted"] is False


def test_a_fleet_that_is_deleted_while_the_operator_is_down_leaves_nothing_behind(site: Site, house: House):
    site.add_nodes(3)
    site.create()
    site.wait_ready()
    house.operator.kill()
    assert "finalizers" not in site.fleet()["metadata"]
    site.cluster.api.delete(site.path(labels.FLEET_PLURAL, "chat"))
    kinds = (
        "pods", "statefulsets", "deployments", "services", "configmaps", "controllerrevisions", "networkpolicies",
        "poddisruptionbudgets", "serviceaccounts", "roles", "rolebindings", labels.TIER_PLURAL,
    )  # fmt: skip

    def nothing() -> bool:
        return not [item for kind in kinds for item in site.items(kind, labels.FLEET)]

    site.eventually(nothing, 60)
    house.operator.start()
    assert nothing()


def test_a_killed_operator_s_fleets_serve_on_and_its_successor_takes_up_what_changed(site: Site, house: House):
    site.add_nodes(3)
    site.create()
    site.wait_ready()
    before = uids_of(site.pods())
    house.operator.kill()
    site.edit(small={"instances": {"min": 2}})
    site.cluster.api.delete(site.path("services", "chat-small"))
    house.operator.start()
    site.wait_ready()
    site.eventually(lambda: site.find("services", "chat-small"))
    assert before <= uids_of(site.pods())
    assert len(site.small_pods()) == 2


def test_one_fleet_that_fails_holds_no_other_up(site: Site, house: House):
    other = house.sites[1]
    site.add_nodes(3)
    broken = {"spec": {"dnsPolicy": "Astrology"}}
    for name in ("bad-1", "bad-2", "bad-3"):
        site.create(name, large={"instances": {"min": 0}}, small={"podTemplate": broken})
    for name in ("bad-1", "bad-2", "bad-3"):
        site.wait("Degraded", "True", "ApplyFailed", name=name)
    other.add_nodes(1)
    other.create(large={"instances": {"min": 0}})
    other.wait_ready()
    other.cluster.api.delete(other.path(labels.FLEET_PLURAL, "chat"))
