"""Fixtures that every suite shares: the test bed's clusters and a namespace of one's own on them."""

import contextlib
import os
import secrets
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from testbed.controlplane import Cluster, ClusterError, UnsupportedError
from testbed.namespaces import create_namespace, delete_namespace

NODES = 16

# On a loaded machine an example may take any time: no test asserts how long something takes, hypothesis neither.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")

# A test that asks for one of these needs the real control plane; `-m "not cluster"` leaves it out.
_CLUSTER_FIXTURES = {"cluster", "loopback_cluster"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that uses a cluster, also through another fixture."""
    for item in items:
        if _CLUSTER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.cluster)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    """Skip, with its reason, what needs a cluster that this version of Kubernetes cannot be."""
    try:
        return (yield)
    except UnsupportedError as exc:
        pytest.skip(str(exc))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One control plane with 16 A100 nodes of 8 GPUs for the whole session, started by the first test that asks.

    With TESTBED_REUSE=DIR the cluster of that folder is used, or started there, and left running.
    """
    reuse = os.environ.get("TESTBED_REUSE")
    with _kept(Path(reuse)) if reuse else Cluster.start(nodes=NODES, audit=True) as running:
        yield running


@pytest.fixture(scope="session")
def loopback_cluster() -> Iterator[Cluster]:
    """The same with pod addresses inside 127.0.0.0/8, on which a test's own processes can listen."""
    with Cluster.start(nodes=NODES, audit=True, loopback_pods=True) as started:
        yield started


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace on ``cluster``, deleted with its pods after the test."""
    yield from _namespace(cluster)


@pytest.fixture
def loopback_namespace(loopback_cluster: Cluster) -> Iterator[str]:
    """A fresh namespace on ``loopback_cluster``."""
    yield from _namespace(loopback_cluster)


def _kept(folder: Path) -> Cluster:
    with contextlib.suppress(ClusterError):
        return Cluster.attach(folder)
    with contextlib.suppress(ClusterError):  # What a reboot left of it.
        Cluster.discard(folder)
    return Cluster.start(folder, nodes=NODES, audit=True, keep=True)


def _namespace(cluster: Cluster) -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}"
    create_namespace(cluster.api, name)
    yield name
    delete_namespace(cluster.api, name)
