"""What each bound of a plan means to a person: why it decided a count, and what would change if it were lifted.

Pure; used by `explainsentences`. The words stand in a table by `Bound`, so that a new bound without words fails a test.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from heterofleet.api.labels import Tier
from heterofleet.api.planned import Bound
from heterofleet.api.v1alpha1 import FleetSpec


class About(NamedTuple):
    """Words for one bound.

    `says` completes "decided by"; `field` is the place in the spec that set it, with TIER for the tier's name, "" where
    none did; `lifted` begins the sentence of what would be else, "" where the load itself decided; `ends` says when it
    goes away by itself, "" where somebody must change something.
    """

    says: str
    field: str = ""
    lifted: str = ""
    ends: str = ""


_LATER: Final = "without that hold"

ABOUT: Final[Mapping[Bound, About]] = {
    Bound.FORECAST: About("the forecast asks for so many, and no bound stands in the way"),
    Bound.QUEUE: About("what waits asks for more than the forecast", "scaling.reactive.queueSeconds"),
    Bound.SPILL_OVER: About(
        "idle large instances take some of the act work, so that fewer small ones are needed", "scaling.spillOver"
    ),
    Bound.OBJECTIVE: About(
        "not even an idle instance meets the objective, so this is the best effort: loosen it, or cut the model over"
        " more GPUs",
        "TIER.objective",
    ),
    Bound.MINIMUM: About("the load asks for fewer than may be", "TIER.instances.min", "with a lower instances.min"),
    Bound.MAXIMUM: About("the load asks for more than may be", "TIER.instances.max", "with a higher instances.max"),
    Bound.SCHEDULE: About("a schedule bounds the count at this time", "", "without the schedule", "when it ends"),
    Bound.RATIO: About("small instances for each large one are bounded", "scaling.ratio", "with a wider scaling.ratio"),
    Bound.GPU_BUDGET: About("the fleet may hold no more GPUs", "scaling.gpuBudget", "with a larger scaling.gpuBudget"),
    Bound.MONEY_BUDGET: About(
        "the money of 24 hours leaves no more", "budget.usdPerDay", "with a larger budget.usdPerDay"
    ),
    Bound.TRADE: About(
        "the GPUs of the budget buy more work in the other tier",
        "scaling.gpuBudget",
        "with a larger scaling.gpuBudget",
        "when the other tier needs fewer",
    ),
    Bound.NO_PLACE: About(
        "nodes have no whole places for more", "TIER.placement.capacity", "with more free GPUs on nodes"
    ),
    Bound.STABILIZATION: About(
        "more were needed a moment ago, and a count is lowered only to the highest need of that time",
        "scaling.stabilizationSeconds",
        _LATER,
        "by itself, if the load stays as it is",
    ),
    Bound.COOLDOWN: About(
        "it was lowered lately, and is not again so soon", "scaling.cooldownSeconds", _LATER, "by itself"
    ),
    Bound.MAX_STEP: About(
        "one decision may move it only so far", "scaling.TIER.maxStep", "with a larger maxStep", "with the next plans"
    ),
    Bound.HYSTERESIS: About(
        "one fewer would leave less than a tenth of an instance to spare",
        "",
        "without that margin",
        "when the load falls a little further",
    ),
    Bound.METRICS_LOST: About(
        "nothing is known of the load, and no data is never zero: the count is held",
        ends="when Prometheus answers again (condition MetricsAvailable says what is amiss)",
    ),
    Bound.OVERRIDE: About(
        "somebody set it by hand", "scaling.overrideSeconds", "by the plan alone", "when the override ends"
    ),
    Bound.EXTERNAL: About("somebody else sets it", "scaling.TIER.writer", "by the plan alone"),
}


def because(bound: Bound, tier: Tier, spec: FleetSpec | None) -> str:
    """Why the count is what it is: the bound's words, and the field that set it with its value where it is known."""
    about = ABOUT[bound]
    path = about.field.replace("TIER", str(tier))
    value = None if spec is None or not path else _value(spec, path)
    return f"{about.says} ({path}: {value})" if value is not None else about.says


def _value(spec: FleetSpec, path: str) -> str | None:
    """What stands at a path of the spec, defaults included; None where nothing does."""
    found: Any = spec.model_dump(mode="json", by_alias=True)
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    if isinstance(found, dict):
        stated = [f"{key} {_plain(value)}" for key, value in found.items() if value is not None]
        return ", ".join(stated) or None
    return None if found is None else _plain(found)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
