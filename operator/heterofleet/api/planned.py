"""What a status says of the plan: forecast, counts with what decided them, the last decisions, what was learned.

Numbers are rounded where they are written, and are written anew only with a decision or when they have moved by more
than a twentieth (contracts.md, "Status and writes at rest"); fresh ones are metrics.
"""

from enum import StrEnum

from pydantic import Field

from heterofleet.api.base import Reported, Timestamp
from heterofleet.api.labels import Tier
from heterofleet.api.routing import Degrade

MOST_DECISIONS = 10


class Bound(StrEnum):
    """What decided a tier's count; the value is stable, since alerts and people match on it."""

    FORECAST = "Forecast"
    QUEUE = "Queue"
    MINIMUM = "Minimum"
    MAXIMUM = "Maximum"
    SCHEDULE = "Schedule"
    RATIO = "Ratio"
    GPU_BUDGET = "GpuBudget"
    MONEY_BUDGET = "MoneyBudget"
    NO_PLACE = "NoPlace"
    STABILIZATION = "Stabilization"
    COOLDOWN = "Cooldown"
    MAX_STEP = "MaxStep"
    HYSTERESIS = "Hysteresis"
    SPILL_OVER = "SpillOver"
    TRADE = "Trade"
    METRICS_LOST = "MetricsLost"
    OVERRIDE = "Override"
    EXTERNAL = "External"
    OBJECTIVE = "Objective"
    """No number of instances meets the objective: the best effort was chosen."""

    @classmethod
    def _missing_(cls, value: object) -> "Bound | None":
        """A bound that only a newer version knows is read as the plainest one; the sentence beside it tells."""
        return cls.FORECAST if isinstance(value, str) else None


class ForecastStatus(Reported):
    """What a class is expected to offer at most while its tier's next instance would start."""

    tokens_per_second: float = Field(description="At the asked quantile, margin included: what is planned for.")
    expected_tokens_per_second: float = Field(description="The middle of what may come.")
    window_seconds: float = Field(description="The time it covers: what a start takes.")
    candidate: str = Field("", description="The model that was nearest lately.")
    margin: float = Field(1, description="Factor by which its own errors have taught it to aim higher.")


class Forecasts(Reported):
    """By class of request; none where nothing is known."""

    plan: ForecastStatus | None = None
    act: ForecastStatus | None = None


class PlannedTier(Reported):
    """One tier in the plan."""

    instances: int = Field(description="Instances planned, without warm ones.")
    need: int = Field(description="Instances that the load asks for, before any bound.")
    bound: Bound = Field(description="What decided the count.")
    message: str = Field("", description="The same in a sentence.")


class PlanStatus(Reported):
    """The plan that is in force, or, in mode Advisory, that would be."""

    large: PlannedTier
    small: PlannedTier
    bias: float = Field(
        0,
        description="Above 0: share of act requests that go to the large tier; below 0: of plan requests to the small.",
    )
    degrade: Degrade = Field(Degrade.NONE, description="What routers give up for lack of capacity or money.")
    usd_per_hour: str = Field("", description="Price of the planned GPUs, in USD an hour.")


class Decision(Reported):
    """One change of a tier's planned count, and why."""

    at: Timestamp = Field(description="When it was made.")
    tier: Tier = Field(description="Whose count.")
    before: int = Field(description="Instances planned until then.")
    after: int = Field(description="Instances planned since.")
    bound: Bound = Field(description="What decided the count.")
    message: str = Field("", description="The same in a sentence, with its figures.")
    forecast_tokens_per_second: float | None = Field(None, description="The forecast of the tier's class.")
    waiting_tokens: float = Field(0, description="Work that waited then.")
    capacity_tokens_per_second: float = Field(0, description="What one instance carries within its objective.")
    ready: int = Field(0, description="Instances that took requests then.")
    usd_per_hour: str = Field("", description="What it adds to the price of the fleet's GPUs, in USD an hour.")
    enforced: bool = Field(True, description="False where it was only published: mode Advisory.")


class Learned(Reported):
    """What the fleet has learned of its load; start-up and capacity stand with each tier."""

    prompt_weight: float | None = Field(None, description="Work of one prompt token, in tokens of an answer.")
    escalation_rate: float | None = Field(None, description="Large work for each unit of act work, by escalations.")
    spill_over_rate: float | None = Field(None, description="Share of act work that idle large instances took.")
    forecast_error: float | None = Field(None, description="Share of minutes in which the load was above the forecast.")
