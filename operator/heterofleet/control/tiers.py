"""How many instances each tier of one fleet shall have, from its HeterogeneousTier objects, its plan and its bounds.

Reads who wrote a tier's count where it is not what we wrote: the cache has no managedFields, so the object is read
afresh, once for each version of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from heterofleet.api import labels
from heterofleet.api.conditions import Override
from heterofleet.api.labels import Tier
from heterofleet.api.scaling import Mode, Writer
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cluster import objects
from heterofleet.cluster.client import Cluster
from heterofleet.cluster.objects import Observed
from heterofleet.control.observe import FleetView
from heterofleet.planning import counts
from heterofleet.planning.counts import Asked, Target, TierObject

COUNT_FIELD = "spec.instances"
MOST_WRITERS_KEPT = 4096
SCALE = "scale"
"""Names the writer where Kubernetes does not: somebody came through the subresource of that name."""


@dataclass(frozen=True)
class Wanted:
    """The counts of both tiers: what is asked for, and what comes of it within the bounds."""

    asked: Mapping[Tier, Asked]
    targets: Mapping[Tier, Target]

    @property
    def wake_at(self) -> datetime | None:
        """When the first override ends."""
        return min((a.override.until for a in self.asked.values() if a.override), default=None)


class Writers:
    """Who wrote a tier object's count last, by version of the object."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[tuple[str, int], str] = {}

    async def foreign(self, found: Observed) -> str:
        """The manager, other than this operator, that set the count; "" if it is ours.

        It is not ours as soon as we do not own it: a custom resource's second write through /scale leaves the field
        without any owner (seen on Kubernetes 1.37).
        """
        version = (found.uid, found.resource_version)
        if version not in self._known:
            manifest = await self._cluster.get(found.ref)
            owners = objects.owners_of(manifest, [COUNT_FIELD]) if manifest else frozenset({labels.FIELD_MANAGER})
            if len(self._known) >= MOST_WRITERS_KEPT:
                self._known.clear()
            self._known[version] = "" if labels.FIELD_MANAGER in owners else min(owners, default=SCALE)
        return self._known[version]


async def wanted(
    fleet: HeterogeneousDeployment,
    view: FleetView,
    planned: Mapping[Tier, int],
    running: Mapping[Tier, int | None],
    writers: Writers,
    now: datetime,
) -> Wanted:
    """The counts of a fleet now. `running`: instances that exist, None where the tier has none yet."""
    asked = {}
    for tier in Tier:
        previous = fleet.status.tier(tier).override
        writer = fleet.spec.scaling.writer(tier)
        count = _left_alone(fleet, view.tiers.get(tier), planned[tier])
        found = await _tier_object(fleet, view.tiers.get(tier), tier, count, previous, writers)
        asked[tier] = counts.asked(
            planned=count,
            writer=writer,
            found=found,
            running=_running(fleet, tier, running[tier]),
            previous=previous,
            override_seconds=fleet.spec.scaling.override_seconds,
            now=now,
        )
    large = counts.bounded(asked[Tier.LARGE].instances, fleet.spec.large.instances)
    small = counts.bounded(asked[Tier.SMALL].instances, fleet.spec.small.instances)
    large, small = counts.within_budget(fleet.spec, large, small)
    return Wanted(asked, {Tier.LARGE: large, Tier.SMALL: small})


def _left_alone(fleet: HeterogeneousDeployment, found: Observed | None, planned: int) -> int:
    """The planned count; in mode Advisory the one that stands there, whoever wrote it."""
    if fleet.spec.mode is Mode.ENFORCE or found is None or found.deleting:
        return planned
    count: int = found.body["spec"]["instances"]
    return count


def _running(fleet: HeterogeneousDeployment, tier: Tier, existing: int | None) -> int | None:
    """The count that runs: what was desired when it was last told, without the warm ones; those that exist before."""
    told = fleet.status.tier(tier)
    warm = fleet.spec.tier(tier).instances.warm
    count = told.desired if told.revision else existing
    return None if count is None else max(0, count - warm)


async def _tier_object(
    fleet: HeterogeneousDeployment,
    found: Observed | None,
    tier: Tier,
    planned: int,
    previous: Override | None,
    writers: Writers,
) -> TierObject | None:
    if found is None or found.deleting:
        return None
    instances: int = found.body["spec"]["instances"]
    external = fleet.spec.scaling.writer(tier) is Writer.EXTERNAL
    if not external and previous is None and instances == planned:
        return TierObject(instances)
    if not external and previous is not None and instances == previous.instances:
        return TierObject(instances, previous.by, _is_released(fleet, found, previous))
    return TierObject(instances, await writers.foreign(found))


def _is_released(fleet: HeterogeneousDeployment, found: Observed, override: Override) -> bool:
    """Whether somebody has asked, since the override began, that it ends."""
    began = override.until - timedelta(seconds=fleet.spec.scaling.override_seconds)
    marks = (found.annotations.get(labels.RELEASE), fleet.metadata.annotations.get(labels.RELEASE))
    return any(time is not None and time >= began for time in map(moment, marks))


def moment(text: str | None) -> datetime | None:
    """The time that an annotation states; None if it states none, or one without a zone."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else None
