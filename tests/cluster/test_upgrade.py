"""From a released version to this one and back, with a fleet that serves: nothing of an engine is touched.

Helm, CRDs and the operators are the real ones: a release's own chart, and its own code out of its wheel with the
environment and the rights of that chart. Pods are played, so an engine that was restarted shows by its pod's UID and
restart count.
"""

import secrets
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from golden import render
from heterofleet.api import labels
from heterofleet.cluster.comparison import covers
from reconcile.site import Site, is_ready, uids_of
from testbed.controlplane import Cluster
from testbed.datacentre import DataCentre
from testbed.demo import charted
from testbed.eventually import eventually
from testbed.namespaces import create_namespace
from testbed.operatorprocess import OperatorProcess

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "heterofleet"
RELEASES = ROOT / "tests" / "fixtures" / "releases"
GUIDE = (ROOT / "docs" / "install.md").read_text("utf-8")
SYSTEM = charted.NAMESPACE
ENGINES = f"{labels.COMPONENT}=engine"

Manifest = dict[str, Any]


class House:
    """One cluster on which one version is installed and runs."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.operator: OperatorProcess | None = None
        self._sources = {"this": ROOT / "operator"}

    def helm(self, *arguments: str) -> None:
        command = [self.cluster.binary("helm"), "--kubeconfig", str(self.cluster.kubeconfig), *arguments]
        done = subprocess.run([*command, "--namespace", SYSTEM], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def install(self, version: str) -> None:
        """Put a version's chart there, in the place of another one."""
        chart = CHART if version == "this" else RELEASES / version / f"heterofleet-{version}.tgz"
        self.helm("upgrade", "--install", "heterofleet", str(chart), "--wait", "--timeout", "60s")

    def run(self, version: str) -> None:
        """End the operator and start a version's own, as the chart that is installed says."""
        self.stop()
        folder = self.folder / secrets.token_hex(4)
        folder.mkdir()
        more = {"PYTHONPATH": str(self.sources(version))}
        self.operator = charted.operator(self.cluster, folder, more).start()
        eventually(self.leads, 30, "the operator leads")

    def stop(self) -> None:
        if self.operator is not None:
            self.operator.stop()
            assert self.operator.errors() == []
            self.operator = None

    def leads(self) -> bool:
        return self.operator is not None and "heterofleet_operator_leader 1.0" in self.operator.metrics()

    def sources(self, version: str) -> Path:
        """Where a version's code lies."""
        if version not in self._sources:
            (wheel,) = (RELEASES / version).glob("*.whl")
            self._sources[version] = self.folder / version
            zipfile.ZipFile(wheel).extractall(self._sources[version])
        return self._sources[version]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with Cluster.start(nodes=2, loopback_pods=True) as started:
        create_namespace(started.api, SYSTEM)
        made = House(started, tmp_path_factory.mktemp("house"))
        with DataCentre(started.api):
            yield made


@pytest.fixture
def site(house: House) -> Iterator[Site]:
    """Where a fleet lives; with the test it goes, and the version that is installed, but for the definitions."""
    place = Site(house.cluster, f"test-{secrets.token_hex(4)}")
    create_namespace(house.cluster.api, place.namespace)
    place.add_nodes(3)
    yield place
    house.stop()
    house.helm("uninstall", "heterofleet", "--wait", "--ignore-not-found")
    house.cluster.api.delete(f"/api/v1/namespaces/{place.namespace}")
    house.cluster.api.delete(place.path("pods"), gracePeriodSeconds="0")
    place.remove_nodes(*place.machines)


class Untouched(NamedTuple):
    """What an upgrade leaves as it is."""

    lives: dict[str, tuple[str, int]]
    """Of each engine pod its UID, and how often its container was restarted."""
    templates: dict[str, Manifest]
    """What engine pods are made from, and the hashes of the spec that it was made for."""

    @classmethod
    def of(cls, site: Site) -> "Untouched":
        makers = [*site.items("statefulsets", ENGINES), *site.items("deployments", ENGINES)]
        return cls(
            {
                pod["metadata"]["name"]: (pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"])
                for pod in site.pods(ENGINES)
            },
            {
                maker["metadata"]["name"]: {"hash": maker["metadata"]["annotations"][labels.SPEC_HASH]}
                | maker["spec"]["template"]
                for maker in makers
            },
        )


def routers(site: Site) -> set[str]:
    return uids_of(site.pods(f"{labels.COMPONENT}=router"))


def begin(house: House, site: Site, version: str) -> Untouched:
    """Install a release and let a fleet serve by it."""
    house.install(version)
    house.run(version)
    site.create()
    site.wait_ready(within=60)
    return Untouched.of(site)


def change_to(house: House, site: Site, version: str, **edit: Any) -> None:
    """Another version's chart and operator, which has looked at the fleet when this returns: `edit` makes it."""
    house.install(version)
    house.run(version)
    site.edit(**edit)
    site.wait_ready(within=60)


NEWER_SUPERVISOR = ", ".join(
    f"{tier}.{field}"
    for tier in ("large", "small")
    for field in ("spec.volumes[supervisor].configMap.name", "supervisor")
)
"""What has changed in engine pods since 0.1.0; it comes with the next roll and not before."""


def test_the_first_release_is_upgraded_and_its_routers_are_rolled_once(house: House, site: Site) -> None:
    before = begin(house, site, "0.1.0")
    unrolled = routers(site)
    change_to(house, site, "this", small={"instances": {"max": 4}})
    assert (Untouched.of(site), routers(site)) == (before, unrolled)
    assert site.condition("UpdateAvailable") == (
        "True",
        "TemplateDiffers",
        f"`heterofleet roll` would change: {NEWER_SUPERVISOR}, router.spec.containers[router].image",
    )
    site.edit(router={"image": "ghcr.io/heterofleet/router:0.3.0"})
    site.eventually(lambda: len(routers(site)) == 2 and not unrolled & routers(site), 60, "both routers are rolled")
    site.wait_ready()
    assert Untouched.of(site) == before
    assert site.condition("UpdateAvailable")[2] == f"`heterofleet roll` would change: {NEWER_SUPERVISOR}"


def test_a_release_is_upgraded_rolled_back_removed_and_found_again_by_the_next(house: House, site: Site) -> None:
    before = begin(house, site, "0.2.0")
    change_to(house, site, "this", small={"instances": {"max": 4}})
    assert Untouched.of(site) == before
    house.helm("rollback", "heterofleet", "1", "--wait", "--timeout", "60s")
    change_to(house, site, "0.2.0", small={"instances": {"max": 5}})
    assert Untouched.of(site) == before
    house.stop()
    house.helm("uninstall", "heterofleet", "--wait")
    (victim,) = site.small_pods()
    site.cluster.api.delete(site.path("pods", victim["metadata"]["name"]), gracePeriodSeconds="0")
    site.eventually(lambda: all(map(is_ready, site.pods())) and len(site.small_pods()) == 1, 30, "Kubernetes goes on")
    alone = Untouched.of(site)
    change_to(house, site, "this", small={"instances": {"max": 6}})
    assert Untouched.of(site) == alone


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_what_a_release_stored_is_what_this_version_reads_and_takes(house: House, site: Site, version: str) -> None:
    """Of every field that its golden fleets use; a field that came later may be added, and goes with the older CRD."""
    house.install(version)
    place = site.path(labels.FLEET_PLURAL)
    stored = [site.cluster.api.create(place, fleet) for fleet in golden_fleets(site, version)]
    house.install("this")
    for old in stored:
        path = f"{place}/{old['metadata']['name']}"
        read = site.cluster.api.get(path)
        assert covers(read["spec"], old["spec"]) == ()
        taken = site.cluster.api.call("PUT", path, body=read)
        assert (taken["metadata"]["generation"], taken["spec"]) == (1, read["spec"])
        newer = site.cluster.api.merge(path, {"spec": {"scaling": {"forecast": {"historyDays": 3}}}})
        assert newer["spec"]["scaling"]["forecast"]["historyDays"] == 3
    house.install(version)
    for old in stored:
        read = site.cluster.api.get(f"{place}/{old['metadata']['name']}")
        assert read["spec"] == old["spec"]


def golden_fleets(site: Site, version: str) -> Iterator[Manifest]:
    """The fleets of a release's golden manifests, for this namespace."""
    for file in sorted((render.FOLDER / version).glob("*.yaml")):
        fleet = yaml.safe_load((render.FOLDER / "fleets" / file.name).read_text("utf-8"))
        yield {**fleet, "metadata": {"name": fleet["metadata"]["name"], "namespace": site.namespace}}


def test_everything_is_removed_by_the_commands_of_the_guide(house: House, site: Site) -> None:
    """The last one here: Kubernetes needs half a minute to learn of a definition that comes again."""
    begin(house, site, "this")
    house.stop()
    house.helm("uninstall", "heterofleet", "--wait")
    commands = GUIDE.partition("To\nremove everything, ")[2].split("\n\n")[1].splitlines()
    assert [line.split()[:3] for line in commands] == [
        ["kubectl", "delete", "heterogeneousdeployments"],
        ["kubectl", "delete", "crd"],
    ]
    for command in commands:
        site.cluster.kubectl(*command.split()[1:])
    kinds = ("pods", "statefulsets", "deployments", "services", "configmaps", "controllerrevisions", "roles")
    assert [found for kind in kinds for found in site.names(kind, labels.FLEET)] == []
