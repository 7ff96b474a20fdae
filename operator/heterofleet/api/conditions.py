"""The status of a fleet: what it reports, condition types and reasons, and what the operator must remember.

The process keeps no memory of its own (architecture.md, principle 10): overrides, restart counts and drains that
must survive a restart are fields here. Numbers are rounded where they are written (contracts.md, "Status and
writes at rest").
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from heterofleet.api.base import KeyedBy, Reported, Timestamp
from heterofleet.api.labels import Tier
from heterofleet.api.planned import MOST_DECISIONS, Decision, Forecasts, Learned, PlanStatus


class ConditionType(StrEnum):
    """Positive ones are True when all is well; negative ones (see NEGATIVE) are False when all is well."""

    ACCEPTED = "Accepted"
    READY = "Ready"
    LARGE_TIER_READY = "LargeTierReady"
    SMALL_TIER_READY = "SmallTierReady"
    ROUTER_READY = "RouterReady"
    ROUTER_CONFIGURED = "RouterConfigured"
    METRICS_AVAILABLE = "MetricsAvailable"
    PAIR_MATCHED = "PairMatched"
    DEGRADED = "Degraded"
    SCALING_LIMITED = "ScalingLimited"
    BUDGET_EXCEEDED = "BudgetExceeded"
    UPDATE_AVAILABLE = "UpdateAvailable"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"


NEGATIVE = frozenset(
    {
        ConditionType.DEGRADED,
        ConditionType.SCALING_LIMITED,
        ConditionType.BUDGET_EXCEEDED,
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
    SCALED_TO_ZERO = "ScaledToZero"
    ROUTER_NOT_READY = "RouterNotReady"
    NOT_ACCEPTED = "NotAccepted"
    GROUP_RESTARTING = "GroupRestarting"
    ROLLING = "Rolling"
    SUSPENDED = "Suspended"
    # RouterConfigured
    CONFIGURED = "Configured"
    CONFIG_PENDING = "ConfigPending"
    CONFIG_REJECTED = "ConfigRejected"
    # MetricsAvailable
    METRICS_FRESH = "MetricsFresh"
    METRICS_NOT_CONFIGURED = "MetricsNotConfigured"
    METRICS_LOST = "MetricsLost"
    METRICS_MISSING = "MetricsMissing"
    METRICS_ADDRESS_REFUSED = "MetricsAddressRefused"
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
    PODS_REFUSED = "PodsRefused"
    MUTATED_BY_ADMISSION = "MutatedByAdmission"
    APPLY_FAILED = "ApplyFailed"
    ROLL_STUCK = "RollStuck"
    # ScalingLimited
    WITHIN_BOUNDS = "WithinBounds"
    ABOVE_MAX = "AboveMax"
    BELOW_MIN = "BelowMin"
    GPU_BUDGET = "GpuBudget"
    RATIO_BOUND = "RatioBound"
    SCHEDULE_BOUND = "ScheduleBound"
    NO_PLACE = "NoPlace"
    OBJECTIVE_OUT_OF_REACH = "ObjectiveOutOfReach"
    # BudgetExceeded; the last limits the scaling, too
    WITHIN_BUDGET = "WithinBudget"
    BUDGET_SOFT = "BudgetSoft"
    MONEY_BUDGET = "MoneyBudget"
    # UpdateAvailable
    UP_TO_DATE = "UpToDate"
    TEMPLATE_DIFFERS = "TemplateDiffers"
    # Reconciling, Stalled
    SETTLED = "Settled"
    PROGRESSING = "Progressing"
    OPERATOR_ERROR = "OperatorError"
    OUTAGE_NOT_ALLOWED = "OutageNotAllowed"
    EVACUATION_WAITS = "EvacuationWaits"


def _is_true(status: Any) -> Any:
    """Kubernetes writes three words; Unknown, which we never write, counts as not True."""
    return status == "True" if status in ("True", "False", "Unknown") else status


Status = Annotated[
    bool,
    BeforeValidator(_is_true),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string"}),
]
"""A condition's status: a bool here, "True" or "False" in Kubernetes."""


class Condition(Reported):
    """Kubernetes' condition: one thing that is so or is not, and why."""

    type: ConditionType = Field(description="What this condition says.")
    status: Status = Field(description="True, False or Unknown.")
    reason: Reason = Field(
        description="Why it is so, as one word for alerts to match; see docs/reference/conditions.md."
    )
    message: str = Field("", description="The same as a sentence, with what to do where something is to be done.")
    observed_generation: int = Field(0, description="Generation of the fleet that this condition answers.")
    last_transition_time: Timestamp = Field(description="When its status last changed.")

    @property
    def is_amiss(self) -> bool:
        """Says that something is not as it should be."""
        return self.status is (self.type in NEGATIVE)


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

    @classmethod
    def _missing_(cls, value: object) -> "InstanceState | None":
        """A state that only a newer version knows: what is observed will tell, and the restarts are kept."""
        return cls.STARTING if isinstance(value, str) else None


class LastExit(Reported):
    """How the last process of an instance ended, as its container state tells."""

    pod: str = Field("", description="Pod in which it ended.")
    exit_code: int = Field(0, description="Its exit code; above 128 it is 128 + signal.")
    reason: str = Field("", description="Kubernetes' word for it, such as OOMKilled or Error.")
    message: str = Field("", description="Its last lines.")
    at: Timestamp | None = Field(None, description="When it ended.")


class InstanceStatus(Reported):
    """One instance of the large tier."""

    index: int = Field(description="Number in the names of its objects; never used again while one of them exists.")
    revision: str = Field("", description="Revision from which its pods were made.")
    state: InstanceState = Field(
        InstanceState.CREATING,
        description="Creating, WaitingForGpus, Starting, Ready, Restarting, Draining, Lost or Failed.",
    )
    ready_ranks: int = Field(0, description="Pods of the group that are Ready.")
    ranks: int = Field(0, description="Pods of the group.")
    restarts: int = Field(0, description="Failures counted since it was last Ready for restartResetSeconds.")
    failure: str = Field("", description="Identity of the last failure counted, so that it counts once.")
    unplaced: int = Field(
        0, description="Times in a row that it was removed, since its pods did not all find a place in time."
    )
    since: Timestamp | None = Field(None, description="When it came into this state.")
    retry_at: Timestamp | None = Field(None, description="When it is tried again, while it backs off.")
    progress: str | None = Field(None, description="How far it has come while it starts, as its supervisors say.")
    last_exit: LastExit | None = None


class Override(Reported):
    """A count that somebody else set under writer Planner."""

    instances: int = Field(description="The count.")
    by: str = Field(description="The field manager that wrote it.")
    until: Timestamp = Field(description="When the operator takes it back.")


class TierStatus(Reported):
    """One tier."""

    summary: str = Field("0/0", description="Ready / desired instances, for a column of kubectl get.")
    desired: int = Field(0, description="Instances that should run, within max and budget.")
    ready: int = Field(0, description="Instances that take requests.")
    draining: int = Field(0, description="Instances that finish their requests before they go.")
    gpus: int = Field(0, description="GPUs that the tier's pods hold, those that start or stop included.")
    expert_parallel_size: int | None = Field(None, description="GPUs over which experts are spread: tensor x data.")
    revision: str = Field("", description="Revision of the present spec.")
    instances: Annotated[list[InstanceStatus], KeyedBy("index")] = Field(
        default_factory=list, description="Each instance; large tier only."
    )
    override: Override | None = None
    startup_seconds: float | None = Field(None, description="Time from an instance's start to Ready, as learned.")
    capacity_tokens_per_second: float | None = Field(
        None, description="Work that one instance carries within the objective, as learned."
    )


class LastDrain(Reported):
    """Proof of the last drain."""

    instance: str = Field(description="Instance or pod that was drained.")
    in_flight_at_start: int | None = Field(None, description="Requests that ran when it began; none if unreadable.")
    completed: Timestamp | None = Field(None, description="When nothing was left in flight.")
    aborted: bool = Field(False, description="Its deadline came first.")
    reason: str = Field("", description="Why it was drained.")


class CostStatus(Reported):
    """What the fleet costs."""

    usd_per_hour: str = Field("", description="Price of the GPUs held, in USD an hour.")
    savings_ratio: str = Field(
        "", description="Share that the plan saves of what large instances alone would cost for the same forecast."
    )


def _known(conditions: Any) -> Any:
    """Leave out the conditions that only a newer version knows: each is told anew at the next reconcile."""
    if not isinstance(conditions, list):
        return conditions
    types, reasons = set(ConditionType), set(Reason)
    return [
        condition
        for condition in conditions
        if not isinstance(condition, dict) or (condition.get("type") in types and condition.get("reason") in reasons)
    ]


class FleetStatus(Reported):
    """What the fleet is, in facts."""

    observed_generation: int = Field(0, description="Generation of the spec that this status answers.")
    conditions: Annotated[list[Condition], BeforeValidator(_known), KeyedBy("type")] = Field(
        default_factory=list, description="What is so and what is not, each once."
    )
    large: TierStatus = TierStatus()
    small: TierStatus = TierStatus()
    ratio: str = Field("", description="Small instances for each large one.")
    endpoint: str = Field(
        "", description="Address to which requests are sent, in the cluster: the base URL of clients."
    )
    cost: CostStatus = CostStatus()
    forecast: Forecasts = Forecasts()
    plan: PlanStatus | None = Field(None, description="The plan in force, or the one that would be in mode Advisory.")
    decisions: list[Decision] = Field(
        default_factory=list, description=f"The last changes of a count, newest first; at most {MOST_DECISIONS}."
    )
    learned: Learned = Learned()
    last_drain: LastDrain | None = None

    def tier(self, tier: Tier) -> TierStatus:
        return self.large if tier is Tier.LARGE else self.small

    def condition(self, type_: ConditionType) -> Condition | None:
        return next((c for c in self.conditions if c.type is type_), None)
