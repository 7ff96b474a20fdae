"""One control plane for this suite; each test has a namespace, nodes and an operator of its own on it."""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from heterofleet.api import crd, labels
from reconcile.operator import Operator
from reconcile.site import Site
from testbed.api import ApiError
from testbed.controlplane import Cluster
from testbed.eventually import eventually
from testbed.namespaces import create_namespace

ROUTER_NODES = 4
"""For pods that no test's own nodes take."""


@pytest.fixture(scope="session")
def loopback_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """With TESTBED_REUSE_LOOPBACK=DIR the kept cluster of that folder (`-m testbed up --loopback --dir DIR`)."""
    kept = os.environ.get("TESTBED_REUSE_LOOPBACK")
    if not kept:
        yield request.getfixturevalue("loopback_cluster")
        return
    with Cluster.attach(Path(kept)) as attached:
        yield attached


@pytest.fixture(scope="session")
def fleet_cluster(loopback_cluster: Cluster) -> Cluster:
    """The control plane with our definitions."""
    loopback_cluster.apply(*crd.definitions())

    def served() -> bool:
        try:
            return all(
                loopback_cluster.api.get(f"/apis/{labels.API_VERSION}/{plural}")
                for plural in (labels.FLEET_PLURAL, labels.TIER_PLURAL)
            )
        except ApiError:
            return False

    eventually(served, 30, "both definitions are served")
    if len(loopback_cluster.api.items("/api/v1/nodes")) < ROUTER_NODES:
        loopback_cluster.add_nodes(ROUTER_NODES)
    return loopback_cluster


@pytest.fixture
def site(fleet_cluster: Cluster) -> Iterator[Site]:
    """A fresh namespace; its nodes and pods go with the test, the rest of it in the background."""
    place = Site(fleet_cluster, f"test-{secrets.token_hex(4)}")
    create_namespace(fleet_cluster.api, place.namespace)
    yield place
    fleet_cluster.api.delete(f"/api/v1/namespaces/{place.namespace}")
    place.remove_nodes(*place.machines)
    fleet_cluster.api.delete(place.path("pods"), gracePeriodSeconds="0")


@pytest.fixture
def operator(site: Site) -> Iterator[Operator]:
    """The operator's parts in this process, for the test's namespace."""
    with Operator(site.cluster.kubeconfig, [site.namespace]) as running:
        yield running


Ready = Callable[..., Site]


@pytest.fixture
def ready(site: Site, operator: Operator) -> Ready:
    """Makes nodes and a fleet, and waits until it is Ready."""

    def make(nodes: int = 3, name: str = "chat", **spec: Any) -> Site:
        site.add_nodes(nodes)
        site.create(name, **spec)
        site.wait_ready(name)
        operator.writes()
        return site

    return make
