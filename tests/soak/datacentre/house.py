"""Brings the data centre up: control plane, chart's operator, played pods with real routers, Prometheus, the fleet."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from heterofleet.api.labels import Tier
from heterofleet.metrics import shipped
from heterofleet.simulate.api import Settings
from randomwalk.history import Observatory
from randomwalk.written import Written
from soak import fleet
from soak.datacentre import faulting
from soak.datacentre.keeper import Keeper
from soak.datacentre.site import PLACE, Site
from testbed import ports
from testbed.controlplane import Cluster
from testbed.datacentre import DataCentre, Simulated
from testbed.demo import charted
from testbed.eventually import eventually
from testbed.podtargets import PodTargets
from testbed.prometheus import PrometheusServer
from testbed.routerprocess import Routers

ROOT: Final = Path(__file__).resolve().parents[3]
FLEET_FILE: Final = Path(__file__).with_name("fleet.yaml")
FLEET_PATH: Final = f"/apis/heterofleet.io/v1alpha1/namespaces/{PLACE}/heterogeneousdeployments/{fleet.FLEET}"
NODES: Final = 6
"""A hundred per cent of the budget fit on them while one is lost."""

SCALE: Final = 60
"""Plans, rules and the trace run so many times as fast: a minute is a second."""

_LOAD_SECONDS: Final = 0.3
_LINGER_SECONDS: Final = 1.0


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Site]:
    """The fleet, Ready, and everything around it; logs go to `folder`, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began, origin = time.monotonic(), time.time()
    with contextlib.ExitStack() as things:
        cluster = things.enter_context(Cluster.start(nodes=NODES, loopback_pods=True, audit=True))
        keeper = things.enter_context(Keeper(cluster.components))
        port = ports.free(1)[0]
        _install(cluster, port)
        operator = charted.operator(cluster, folder, {"HETEROFLEET_TIME_SCALE": str(SCALE)})
        written = Written(cluster.audit_log, charted.NAMESPACE, {_account(): "a"})
        targets = things.enter_context(PodTargets(cluster.api, folder / "targets.json"))
        scrapes = [
            *targets.jobs,
            {"job_name": "operator", "static_configs": [{"targets": [f"127.0.0.1:{operator.port}"]}]},
        ]
        prometheus = PrometheusServer(
            folder / "prometheus", scrapes=scrapes, rules=shipped.recorded(SCALE), interval="500ms", port=port
        )
        things.enter_context(prometheus)
        observatory = things.enter_context(Observatory(cluster))
        things.callback(operator.stop)
        faulting.start(operator)
        centre = things.enter_context(_centre(cluster, folder))
        parts = (cluster, operator, centre, prometheus, observatory, written, keeper, folder)
        site = Site(*parts, now=lambda: time.monotonic() - began, origin=origin)
        _create(cluster)
        eventually(lambda: is_ready(site), 120, lambda: f"the fleet is Ready: {conditions(site)}\n{operator.tail()}")
        yield site


def conditions(site: Site) -> dict[str, Any]:
    """Status and message of each condition."""
    found = site.cluster.api.get(FLEET_PATH).get("status", {}).get("conditions", ())
    return {one["type"]: (one["status"], one["message"]) for one in found}


def is_ready(site: Site) -> bool:
    told = conditions(site)
    return all(told.get(name, ("",))[0] == "True" for name in ("Ready", "RouterConfigured"))


def _account() -> str:
    return f"system:serviceaccount:{charted.NAMESPACE}:{charted.ACCOUNT}"


def _install(cluster: Cluster, prometheus_port: int) -> None:
    values = {"prometheus.url": f"http://127.0.0.1:{prometheus_port}", "prometheus.timeoutSeconds": "2"}
    sets = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    chart = str(ROOT / "charts" / "heterofleet")
    subprocess.run(
        [cluster.binary("helm"), "install", "heterofleet", chart, "--namespace", charted.NAMESPACE,
         "--create-namespace", "--wait", *sets],
        env={**os.environ, **cluster.environment()}, check=True, capture_output=True,
    )  # fmt: skip


def _centre(cluster: Cluster, folder: Path) -> DataCentre:
    settings = {
        tier.value: Settings(quality=manner.quality, mean_tokens=manner.mean_tokens, load_seconds=_LOAD_SECONDS)
        for tier, manner in fleet.MANNERS.items()
    }
    profiles = {tier.value: fleet.PROFILES[tier] for tier in Tier}
    routers = Routers(cluster, folder / "routers", linger_seconds=_LINGER_SECONDS)
    return DataCentre(cluster.api, simulated=Simulated(profiles, settings), routers=routers)


def _create(cluster: Cluster) -> None:
    cluster.api.create("/api/v1/namespaces", {"metadata": {"name": PLACE}})
    keys = {"metadata": {"name": "soak-keys"}, "stringData": fleet.key_files()}
    cluster.api.create(f"/api/v1/namespaces/{PLACE}/secrets", keys)
    cluster.apply(yaml.safe_load(FLEET_FILE.read_text()), namespace=PLACE)
