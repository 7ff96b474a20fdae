"""The operator's entrance: gives the process (`main`) the reconciler, and the reconciler its tools."""

import importlib.resources
import random
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache as once

import aiohttp

from heterofleet.cluster.cache import Cache
from heterofleet.cluster.client import Cluster
from heterofleet.control import main as process
from heterofleet.control.events import EventSink
from heterofleet.control.loads import Loads, Queues, Readers
from heterofleet.control.lore import Lore
from heterofleet.control.planner import Planner
from heterofleet.control.reconcile import Reconciler, Tools
from heterofleet.control.settings import Settings
from heterofleet.control.virtual import Clock
from heterofleet.desired.platform import Platform
from heterofleet.metrics.scrape import Scrape
from heterofleet.metrics.sources import Sources
from heterofleet.planning import catalogue


def main() -> None:
    """Run the operator until it is told to stop."""
    sys.exit(process.run(build))


def build(cluster: Cluster, cache: Cache, settings: Settings, events: EventSink) -> Reconciler:
    """The reconciler of a process; called inside its event loop."""
    # One connection a question: pods come and go, and an idle connection to a dead one would be tried first.
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))
    scrape = Scrape(session)
    clock = Clock(lambda: datetime.now(UTC), settings.time_scale)
    tools = Tools(
        cluster=cluster,
        cache=cache,
        events=events,
        engines=scrape,
        platform=lambda: platform(settings, cache),
        clock=clock.now,
        planner=planner(Sources(settings.prometheus, settings.time_scale), scrape, clock),
    )
    return Reconciler(tools)


def planner(readers: Readers, queues: Queues, clock: Clock) -> Planner:
    """What makes the plans of a process."""
    return Planner(Loads(readers, queues, clock), Lore(_catalogue(), clock), clock, random.random)


def platform(settings: Settings, cache: Cache) -> Platform:
    """What the operator brings to rendering, with what the cluster serves now."""
    return Platform(
        operator_namespace=settings.pod_namespace,
        engine_image=settings.engine_image,
        router_image=settings.router_image,
        supervisor=supervisor_texts(),
        catalogue=_catalogue(),
        pod_monitors=cache.served("monitoring.coreos.com/v1", "PodMonitor"),
        prometheus_rules=cache.served("monitoring.coreos.com/v1", "PrometheusRule"),
        pod_groups=cache.served("scheduling.k8s.io/v1beta1", "PodGroup"),
    )


@once
def supervisor_texts() -> Mapping[str, str]:
    """The supervisor's files by name, as they are shipped to the engines' pods."""
    folder = importlib.resources.files("heterofleet.supervisor")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".py")), key=lambda f: f.name)
    return {file.name: file.read_text() for file in files}


@once
def _catalogue() -> catalogue.Catalogue:
    return catalogue.load()


if __name__ == "__main__":
    main()
