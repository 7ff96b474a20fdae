"""What a plan is made from, and what comes out: the values that pass between forecast, allocation and plan.

Work is output tokens + alpha x prompt tokens (scaling.md, "Demand"); every rate of it is in work tokens a second.
`control.planner` fills a `Situation` from the cluster and from Prometheus, `simulate` from a trace on a virtual
clock; both hand it to the very same `plan.plan`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from heterofleet.api.labels import Tier
from heterofleet.api.planned import Bound
from heterofleet.api.routing import Degrade, RequestClass
from heterofleet.api.v1alpha1 import FleetSpec

CLASS_OF: Final = {Tier.LARGE: RequestClass.PLAN, Tier.SMALL: RequestClass.ACT}
"""The class that each tier is there for."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a class will offer at most during the next `window_seconds`, in work tokens a second.

    `expected` is the middle of what may come, `upper` the asked quantile with the conformal margin in it; `candidate`
    names the model that had the lowest trailing loss, and `points` how many minutes of history it stands on.
    """

    expected: float
    upper: float
    window_seconds: float
    candidate: str
    margin: float
    points: int


@dataclass(frozen=True, slots=True)
class ClassLoad:
    """What one class asks for. None is "not known", which holds the plan; it is never zero."""

    forecast: Forecast | None
    offered: float | None
    """Work tokens a second over the last minutes, cache hits taken off."""
    waiting: float = 0.0
    """Work tokens that wait now, in the routers' queues and in engines; known without Prometheus."""


@dataclass(frozen=True, slots=True)
class TierNow:
    """One tier as it is, in instances, and what one instance of it carries and costs."""

    count: int
    """The planned count in force, without warm instances; in mode Advisory the one that was advised last."""
    ready: int
    capacity: float
    """Work tokens a second that one instance carries within its objective."""
    startup_seconds: float
    gpus_per_instance: int
    booting: tuple[float, ...] = ()
    """Seconds until each starting instance is expected to serve."""
    pending: int = 0
    """Created, and without a place on nodes yet."""
    draining: int = 0
    failed: int = 0
    placeable: int | None = None
    """Further instances for which whole places are free now; None where nobody can say (Elastic)."""
    held: bool = False
    """Somebody else sets the count now (override or writer External): it is a fact, not a choice."""
    usd_per_gpu_hour: float | None = None
    within_objective: bool = True
    """False where not even an idle instance meets the objective; `capacity` is then what it carries at best."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the next plan must know of the former ones; kept in status (architecture.md, principle 10).

    `needs` holds, by tier, (when, instances) of the needs that still hold a count up, newest last and bounded.
    """

    needs: Mapping[Tier, tuple[tuple[datetime, int], ...]] = field(default_factory=dict)
    lowered_at: Mapping[Tier, datetime] = field(default_factory=dict)
    unplaced_at: Mapping[Tier, datetime] = field(default_factory=dict)
    """When a tier last had GPUs to spare in the budget and no place for them on nodes."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that one plan is made from."""

    spec: FleetSpec
    now: datetime
    tiers: Mapping[Tier, TierNow]
    loads: Mapping[RequestClass, ClassLoad]
    escalation_rate: float = 0.0
    """Work that the large tier gets for each unit of act work, since the small answer was not good enough."""
    spent_usd: float | None = None
    """Fleet money of the last 24 hours; None where nothing is known, e.g. without prices."""
    spill_over_share: float = 0.25
    """Largest share of act work that idle large instances may be planned with: as much as was measured safe."""
    memory: Memory = Memory()


@dataclass(frozen=True, slots=True)
class TierCount:
    """What the plan says of one tier: `count` planned instances (without warm ones), `need` before any bound."""

    count: int
    need: int
    bound: Bound
    sentence: str
    """Why, in words and figures, for status.decisions, Events and `heterofleet explain`."""


@dataclass(frozen=True, slots=True)
class ScalePlan:
    """The plan: counts with their reasons, what the routers are told, and what it costs."""

    tiers: Mapping[Tier, TierCount]
    bias: float
    degrade: Degrade
    usd_per_hour: float | None
    usd_per_hour_before: float | None
    memory: Memory
