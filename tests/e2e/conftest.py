"""One bed of real nodes for the session, with the product's own images and its chart; the whole is skipped without."""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from e2e import hub, models, realfleet
from e2e.realfleet import NAMESPACE, Mounts
from e2e.report import Report
from e2e.site import Site, start_seconds
from testbed import images, vllmcpu
from testbed.namespaces import create_namespace
from testbed.realnodes import NodesUnavailable, RealNodes, addresses

ROOT: Final = Path(__file__).parents[2]
IMAGES: Final = ("operator", "router", "engine", "engine-sim")


class Notes:
    """Notes how each test ended in the run's report, which is written where E2E_REPORT says."""

    def __init__(self) -> None:
        seed = os.environ.get("SEED")
        self.report = Report(seed=int(seed) if seed else random.randrange(2**31))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if "/e2e/" in nodeid:
            self.report.begin(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if "/e2e/" in report.nodeid:
            self.report.end(report)

    def pytest_runtest_logfinish(self) -> None:
        """After each test: a run that is cut off has told what it saw until then."""
        if path := os.environ.get("E2E_REPORT"):
            self.report.write(Path(path))


_NOTES: Final = pytest.StashKey[Notes]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_NOTES] = Notes()
    config.pluginmanager.register(config.stash[_NOTES])


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    """What the run has seen; its seed decides what tests leave to chance."""
    return pytestconfig.stash[_NOTES].report


@pytest.fixture(scope="session")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNodes]:
    """Two machines of 8 GPUs that have the product's images. From here on the session is in the bed's network."""
    try:
        archives = [images.archive(name) for name in IMAGES]
        folder = Path(os.environ.get("E2E_FOLDER") or tmp_path_factory.mktemp("bed"))
        started = RealNodes.start(folder, nodes=2, gpus=8)
    except (NodesUnavailable, images.MissingError) as exc:
        pytest.skip(str(exc))
    with started:
        started.load(*archives)
        yield started


@pytest.fixture(scope="session")
def installed(nodes: RealNodes) -> RealNodes:
    """The bed with the product's own chart installed."""
    where = ("--namespace", "heterofleet-system", "--create-namespace")
    # One operator: what tests ask for is done by it or, while it is stopped, by nobody.
    nodes.helm("install", "heterofleet", str(ROOT / "charts" / "heterofleet"), *where, "--set", "replicas=1", "--wait")
    return nodes


@pytest.fixture(scope="session")
def mounts(tmp_path_factory: pytest.TempPathFactory) -> Mounts:
    """vLLM and the models that engines can be given."""
    try:
        return Mounts(tmp_path_factory.mktemp("mounts"))
    except vllmcpu.MissingError as exc:
        pytest.skip(str(exc))


@pytest.fixture(scope="session")
def site(mounts: Mounts, installed: RealNodes) -> Iterator[Site]:
    """The fleet of real engines, serving; deleted at the end, so that its memory is free for what comes after."""
    create_namespace(installed.api, NAMESPACE)
    volume = ("mount", "-t", "tmpfs", "-o", f"size={models.CACHE_BYTES},mode=1777", "models", str(mounts.cache))
    assert installed.exec(volume).wait() == 0
    with hub.serving(addresses.HOST, mounts.models, models.TOLD_BYTES) as url:
        installed.kubectl("apply", "-f", "-", input=realfleet.text(mounts, url))
        fleet = Site(installed, url)
        fleet.wait_settled()
        fleet.starts.append(start_seconds(fleet.group()[0]))
        yield fleet
        installed.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
