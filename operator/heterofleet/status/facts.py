"""What a status is made of: each tier and the routers as they are and shall be, and what was found of them.

The reconcile gathers it (`control.report`); nothing here decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from heterofleet.api.conditions import InstanceStatus, LastDrain, Override, Reason
from heterofleet.api.labels import Tier
from heterofleet.planning.counts import Target
from heterofleet.planning.instances import Hold
from heterofleet.planning.telling import Told


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be, or not yet: a reason and the sentence that helps."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class TierFacts:
    """One tier as it is and as it shall be. `instances` is listed for the large tier only."""

    target: Target
    ready: int = 0
    serving: int = 0
    draining: int = 0
    gpus: int = 0
    revision: str = ""
    rolling: bool = False
    expert_parallel_size: int | None = None
    instances: Sequence[InstanceStatus] = ()
    override: Override | None = None
    holds: frozenset[Hold] = frozenset()
    waiting: str = ""
    progress: str = ""
    restarting: str = ""
    problems: Sequence[Finding] = ()


@dataclass(frozen=True)
class RouterFacts:
    desired: int = 0
    ready: int = 0
    configured: Finding | None = None
    """None when all running routers have the config in force."""
    digest: str = ""
    updates: tuple[str, ...] = ()
    """What routers of another image would be told."""


@dataclass(frozen=True)
class Facts:
    """Everything that a status is made of."""

    tiers: dict[Tier, TierFacts]
    router: RouterFacts
    endpoint: str
    refused: Finding | None = None
    accepted: Finding = field(default_factory=lambda: Finding(Reason.VALID, "the spec is valid and every model fits"))
    pair: Finding = field(default_factory=lambda: Finding(Reason.FAMILY_UNKNOWN, "a tier's model is not known"))
    problems: Sequence[Finding] = ()
    updates: Sequence[str] = ()
    last_drain: LastDrain | None = None
    suspended: bool = False
    told: Told = field(default_factory=Told)
    """What the last plan tells; empty before the first, and then what was told before stays."""
    metrics: Finding | None = None
    money: Finding | None = None
    """Of load and money nothing is known before the first plan: then what was said before stays."""
