"""The status of a fleet: what it reports, condition types and reasons, and what the operator must remember.

The process keeps no memory of its own (architecture.md, principle 10): overrides, restart counts and drains that
must survive a restart are fields here. Numbers are rounded where they are written (contracts.md, "Status and
writes at rest").
"""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from heterofleet.api.base import Reported


class ConditionType(StrEnum):
    """Positive ones are True when all is well; negative ones (see NEGATIVE) are False when all is well."""

    ACCEPTED = "Accepted"
    READY = "Ready"
    LARGE_TIER_READY = "LargeTierReady"
    SMALL_TIER_READY = "SmallTierReady"
    ROUTER_READY = "RouterReady"
    ROUTER_CONFIGURED = "RouterConfigured"
    PAIR_MATCHED = "PairMatched"
    DEGRADED = "Degraded"
    SCALING_LIMITED = "ScalingLimited"
    UPDATE_AVAILABLE = "UpdateAvailable"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"


NEGATIVE = frozenset(
    {
        ConditionType.DEGRADED,
        ConditionType.SCALING_LIMITED,
        ConditionType.UPDATE_AVAILABLE,
        ConditionType.RECONCILING,
        ConditionType.STALLED,
    }
)


class Reason(StrEnum):
    """Why a condition is as it is. The value is stable: alerts and people match on it."""

    # Accepted
    VALID = "Valid"
    FIT_UNKNOWN = "FitUnknown"
    FAST_FABRIC_NEEDED = "FastFabricNeeded"
    INVALID_SPEC = "InvalidSpec"
    INVALID_LAYOUT = "InvalidLayout"
    DOES_NOT_FIT = "DoesNotFit"
    NAME_TAKEN = "NameTaken"
    CACHE_NOT_SHARED = "CacheNotShared"
    CACHE_MISSING = "CacheMissing"
    UNKNOWN_GPU_PRODUCT = "UnknownGpuProduct"
    NODES_NOT_READABLE = "NodesNotReadable"
    INVALID_TEMPLATE = "InvalidTemplate"
    # tiers, router and Ready
    ALL_READY = "AllReady"
    STARTING = "Starting"
    WAITING_FOR_GPUS = "WaitingForGpus"
    NO_INSTANCES = "NoInstances"
    SCALED_TO_ZERO = "ScaledToZero"
    TIER_NOT_READY = "TierNotReady"
    ROUTER_NOT_READY = "RouterNotReady"
    NOT_ACCEPTED = "NotAccepted"
    GROUP_RESTARTING = "GroupRestarting"
    ROLLING = "Rolling"
    SUSPENDED = "Suspended"
    # RouterConfigured
    CONFIGURED = "Configured"
    CONFIG_PENDING = "ConfigPending"
    CONFIG_REJECTED = "ConfigRejected"
    # PairMatched
    SAME_FAMILY = "SameFamily"
    FAMILIES_DIFFER = "FamiliesDiffer"
    FAMILY_UNKNOWN = "FamilyUnknown"
    # Degraded
    HEALTHY = "Healthy"
    INSTANCE_FAILED = "InstanceFailed"
    NODE_LOST = "NodeLost"
    SECRET_MISSING = "SecretMissing"  # noqa: S105  the reason's name, not a secret
    IMAGE_NOT_PULLED = "ImageNotPulled"
    MUTATED_BY_ADMISSION = "MutatedByAdmission"
    APPLY_FAILED = "ApplyFailed"
    ROLL_STUCK = "RollStuck"
    DRAIN_ABORTED = "DrainAborted"
    # ScalingLimited
    WITHIN_BOUNDS = "WithinBounds"
    ABOVE_MAX = "AboveMax"
    BELOW_MIN = "BelowMin"
    GPU_BUDGET = "GpuBudget"
    # UpdateAvailable
    UP_TO_DATE = "UpToDate"
    TEMPLATE_DIFFERS = "TemplateDiffers"
    # Reconciling, Stalled
    SETTLED = "Settled"
    PROGRESSING = "Progressing"
    OUTAGE_NOT_ALLOWED = "OutageNotAllowed"
    EVACUATION_WAITS = "EvacuationWaits"


class Condition(Reported):
    """Kubernetes' condition."""

    type: ConditionType
    status: bool
    reason: Reason
    message: str = ""
    observed_generation: int = 0
    last_transition_time: datetime


class InstanceState(StrEnum):
    """Where an instance stands: Creating -> Starting -> Ready, and its ways out."""

    CREATING = "Creating"
    WAITING = "WaitingForGpus"
    STARTING = "Starting"
    READY = "Ready"
    RESTARTING = "Restarting"
    DRAINING = "Draining"
    LOST = "Lost"
    FAILED = "Failed"


class LastExit(Reported):
    """How the last process of an instance ended, as its container state tells."""

    pod: str = ""
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    at: datetime | None = None


class InstanceStatus(Reported):
    """One instance of the large tier. `failure` names the last counted failure, so that it counts once."""

    index: int
    revision: str = ""
    state: InstanceState = InstanceState.CREATING
    ready_ranks: int = 0
    ranks: int = 0
    restarts: int = 0
    failure: str = ""
    since: datetime | None = None
    retry_at: datetime | None = None
    last_exit: LastExit | None = None


class Override(Reported):
    """A count that somebody else set under writer Planner."""

    instances: int
    by: str
    until: datetime


class TierStatus(Reported):
    """One tier. `summary` is ready/desired, ready-made for a printer column."""

    summary: str = "0/0"
    desired: int = 0
    ready: int = 0
    draining: int = 0
    gpus: int = 0
    expert_parallel_size: int | None = None
    revision: str = ""
    instances: list[InstanceStatus] = Field(default_factory=list)
    override: Override | None = None


class LastDrain(Reported):
    """Proof of the last drain."""

    instance: str
    in_flight_at_start: int | None = None
    completed: datetime | None = None
    aborted: bool = False
    reason: str = ""


class CostStatus(Reported):
    usd_per_hour: str = ""


class FleetStatus(Reported):
    """What the fleet is, in facts."""

    observed_generation: int = 0
    conditions: list[Condition] = Field(default_factory=list)
    large: TierStatus = TierStatus()
    small: TierStatus = TierStatus()
    ratio: str = ""
    endpoint: str = ""
    cost: CostStatus = CostStatus()
    last_drain: LastDrain | None = None

    def condition(self, type_: ConditionType) -> Condition | None:
        return next((c for c in self.conditions if c.type is type_), None)
