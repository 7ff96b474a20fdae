"""Which instances boot and when they are expected, for the routers that hold requests for them: pure.

    expected at = when its last pod was made + what a start of its model takes, to the next full minute

as learned, or with the prior of planning.startup. Of facts alone, never of the time of now, so that the plan changes
when an instance comes or is ready and not while it boots: a start that takes longer keeps a time that has passed. What
still looks for a place has no time yet, and neither has a model of unknown size.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from heterofleet.api.labels import Tier
from heterofleet.api.routing import Arrival
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cluster.records import PodRecord
from heterofleet.control import observe
from heterofleet.control.observe import FleetView
from heterofleet.desired import engine
from heterofleet.planning import startup, topology
from heterofleet.planning.catalogue import Catalogue

_MINUTE = timedelta(minutes=1)


def expected(
    fleet: HeterogeneousDeployment, view: FleetView, catalogue: Catalogue, learned: Mapping[Tier, timedelta]
) -> tuple[Arrival, ...]:
    """What boots, by the minute in which it is expected; `learned` is what starts take, where that is known."""
    takes = {tier: learned.get(tier) or _start(fleet, tier, catalogue) for tier in Tier}
    found = Counter((tier, at) for tier in Tier for at in _times(tier, view, takes[tier]))
    return tuple(
        Arrival(tier=tier, instances=count, at=at)
        for (tier, at), count in sorted(found.items(), key=lambda item: (item[0][1], item[0][0]))
    )


def _times(tier: Tier, view: FleetView, takes: timedelta | None) -> Iterator[datetime]:
    if takes is None:
        return
    for pods in _instances(tier, view):
        if _boots(pods):
            at = max(pod.created for pod in pods) + takes
            yield at + (datetime.min.replace(tzinfo=at.tzinfo) - at) % _MINUTE


def _start(fleet: HeterogeneousDeployment, tier: Tier, catalogue: Catalogue) -> timedelta | None:
    spec = fleet.spec.tier(tier)
    layout = topology.lay_out(spec.parallelism, spec.placement.gpus_per_node)
    if not isinstance(layout, topology.Layout):
        return None
    facts = catalogue.facts(spec.model)
    seconds = startup.seconds_prior(facts, layout, downloads=engine.downloads(spec.model.source))
    return None if seconds is None else timedelta(seconds=seconds)


def _instances(tier: Tier, view: FleetView) -> Iterator[Sequence[PodRecord]]:
    """The pods of each instance of a tier."""
    if tier is Tier.LARGE:
        yield from view.large_pods.values()
    else:
        yield from ((pod,) for pods in view.small_pods.values() for pod in pods)


def _boots(pods: Sequence[PodRecord]) -> bool:
    """Whether all its pods have their place, none is on its way out, and not all are ready yet."""
    placed = all(pod.scheduled and not (pod.terminating or pod.finished or observe.is_marked(pod)) for pod in pods)
    return placed and not all(pod.ready for pod in pods)
