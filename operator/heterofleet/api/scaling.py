"""How a fleet's counts are set: by whom, within which bounds, after which forecast (scaling.md, contracts.md).

`Scaling` holds the rules of the ratio, `Objective` what a tier's requests are promised, `Budget` what the fleet's GPUs
may cost. What is read by `planning` alone shapes no pod and rolls nothing.
"""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from heterofleet.api.base import KeyedBy, Model, ObjectName, Rule
from heterofleet.api.labels import Tier


class Mode(StrEnum):
    """Whether the plan is carried out, or only published."""

    ENFORCE = "Enforce"
    ADVISORY = "Advisory"


class Writer(StrEnum):
    """Who sets a tier's count: the operator's plan, or something else through /scale."""

    PLANNER = "Planner"
    EXTERNAL = "External"


class ClassPriority(StrEnum):
    """Whose work gets GPUs first when a budget binds."""

    PLAN_FIRST = "PlanFirst"
    ACT_FIRST = "ActFirst"


class TierScaling(Model):
    """Who sets one tier's count, and how fast it may move."""

    writer: Writer = Field(
        Writer.PLANNER,
        description="Planner: the operator; a count set by hand holds for overrideSeconds. External: whoever writes the"
        " HeterogeneousTier (kubectl scale, HPA, KEDA); the plan is only published.",
    )
    max_step: int | None = Field(
        None, ge=1, le=1000, description="Most instances by which one decision may change the count; any unless given."
    )


class Ratio(Model):
    """Bounds of small instances for each large one; they hold while the large tier has any."""

    min: float = Field(0, ge=0, le=1000, description="Fewest small instances for each large one.")
    max: float | None = Field(None, ge=0, le=1000, description="Most small instances for each large one.")

    RULES: ClassVar = (
        Rule(
            cel="!has(self.max) || self.min <= self.max",
            message="ratio.min must not be above ratio.max: lower min or raise max",
            holds=lambda r: r.max is None or r.min <= r.max,
        ),
    )


class ForecastPolicy(Model):
    """What the forecast promises and remembers."""

    quantile: float = Field(
        0.975, ge=0.5, le=0.999, description="Share of start-up windows whose highest load the forecast shall cover."
    )
    history_days: int = Field(7, ge=1, le=30, description="Days of load from which it learns.")


class Reactive(Model):
    """The floor that what waits now puts under the plan, with or without a forecast."""

    queue_seconds: int = Field(
        30, ge=1, le=3600, description="Time in which the work that waits in routers and engines shall be worked off."
    )


_TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
TimeOfDay = Annotated[str, StringConstraints(pattern=_TIME, max_length=5)]


class Weekday(StrEnum):
    MONDAY = "Mon"
    TUESDAY = "Tue"
    WEDNESDAY = "Wed"
    THURSDAY = "Thu"
    FRIDAY = "Fri"
    SATURDAY = "Sat"
    SUNDAY = "Sun"


class CountBounds(Model):
    """Bounds of a tier's count at a time of day, within those of `instances`."""

    min: int | None = Field(None, ge=0, le=1000, description="Fewest planned instances at that time.")
    max: int | None = Field(None, ge=0, le=1000, description="Most planned instances at that time.")

    RULES: ClassVar = (
        Rule(
            cel="!has(self.min) || !has(self.max) || self.min <= self.max",
            message="a schedule's min must not be above its max: lower min or raise max",
            holds=lambda b: b.min is None or b.max is None or b.min <= b.max,
        ),
    )


class Schedule(Model):
    """Bounds that hold at some time of the day; where two speak, the later in the list has the word."""

    name: ObjectName = Field(description="What it is called in decisions.")
    days: Annotated[list[Weekday], Field(max_length=7)] = Field(
        default_factory=list, description="Days on which it begins; every day unless given."
    )
    start: TimeOfDay = Field(description="When it begins, HH:MM.")
    end: TimeOfDay = Field(description="When it ends, HH:MM; on the next day where it is not after start.")
    time_zone: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        "UTC", description="Zone of both times, such as Europe/Berlin."
    )
    large: CountBounds | None = None
    small: CountBounds | None = None

    RULES: ClassVar = (
        Rule(
            cel="has(self.large) || has(self.small)",
            message="a schedule bounds a tier: set its large or small",
            holds=lambda s: s.large is not None or s.small is not None,
        ),
    )

    def bounds(self, tier: Tier) -> CountBounds | None:
        return self.large if tier is Tier.LARGE else self.small


class Scaling(Model):
    """Bounds and writers of the counts, and how the plan follows the load."""

    gpu_budget: int | None = Field(
        None,
        ge=0,
        le=100_000,
        description="GPUs that all pods of the fleet may hold together, those that start or stop"
        " included; no bound unless given.",
    )
    ratio: Ratio = Ratio()
    large: TierScaling = TierScaling()
    small: TierScaling = TierScaling()
    override_seconds: int = Field(
        3600, ge=0, le=604_800, description="How long a count set by hand is kept under writer Planner."
    )
    interval_seconds: int = Field(60, ge=10, le=3600, description="Time between two plans, jittered by a tenth.")
    forecast: ForecastPolicy = ForecastPolicy()
    reactive: Reactive = Reactive()
    stabilization_seconds: int = Field(
        300, ge=0, le=86_400, description="A count is lowered to the highest that was planned within this time."
    )
    cooldown_seconds: int = Field(
        0, ge=0, le=86_400, description="Shortest time between two changes of a tier's count downwards."
    )
    priority: ClassPriority = Field(
        ClassPriority.PLAN_FIRST, description="Whose work gets GPUs first where a budget does not carry all of it."
    )
    spill_over: bool = Field(
        True, description="Plan with act work that idle large instances take, as the router's spill-over lets them."
    )
    prometheus_url: Annotated[str, StringConstraints(pattern=r"^https?://[!-~]+$", max_length=512)] | None = Field(
        None, description="Another Prometheus than the operator's; it must stand in the operator's allow-list."
    )
    schedules: Annotated[list[Schedule], Field(max_length=16), KeyedBy("name")] = Field(
        default_factory=list, description="Bounds by time of day."
    )

    def writer(self, tier: Tier) -> Writer:
        return self.tier(tier).writer

    def tier(self, tier: Tier) -> TierScaling:
        return self.large if tier is Tier.LARGE else self.small


class Objective(Model):
    """What a tier's requests are promised; its instances carry as much as they can within it."""

    ttft_seconds: float = Field(4, ge=0.001, le=600, description="Time to the first token.")
    inter_token_seconds: float = Field(0.1, ge=0.001, le=60, description="Time between two tokens.")
    attainment: float = Field(0.99, ge=0.5, le=0.9999, description="Share of requests that shall get both.")


class WhenSoft(StrEnum):
    """What happens at the soft mark of the money budget."""

    PREFER_SMALL = "PreferSmall"
    ALERT = "Alert"


class WhenHard(StrEnum):
    """What happens when the money budget is spent."""

    THROTTLE = "Throttle"
    ALERT = "Alert"


class Budget(Model):
    """What the fleet's GPUs may cost: GPUs held x usdPerGpuHour over the last 24 hours."""

    usd_per_day: float | None = Field(
        None,
        ge=0.01,
        le=100_000_000,
        description="USD in any 24 hours; no bound unless given. Both tiers need a price.",
    )
    soft_fraction: float = Field(0.8, ge=0.01, le=1, description="Share of it at which whenSoft begins.")
    when_soft: WhenSoft = WhenSoft.PREFER_SMALL
    when_hard: WhenHard = WhenHard.THROTTLE
