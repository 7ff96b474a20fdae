"""The custom resource of a recommendation: what is written, and what the simulator plays, letter for letter.

Plain values with Kubernetes' keys, in the order in which people write them; defaults are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from heterofleet.api.labels import API_VERSION, FLEET_KIND, Manifest, Tier
from heterofleet.api.scaling import ForecastPolicy, Objective
from heterofleet.api.tier import TierSpec
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.recommend.wishes import Wishes

MOST_INSTANCES: Final = 1000
"""The API's own bound of a tier."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How one instance of a tier is cut over GPUs, and how many sequences it runs at once."""

    tensor: int
    pipeline: int = 1
    expert_parallel: bool = False
    max_num_seqs: int = 64

    @property
    def gpus(self) -> int:
        return self.tensor * self.pipeline

    def __str__(self) -> str:
        experts = " with expertParallel" if self.expert_parallel else ""
        stages = f" x PP {self.pipeline}" if self.pipeline > 1 else ""
        return f"TP {self.tensor}{stages}{experts}, {self.max_num_seqs} sequences"


@dataclass(frozen=True, slots=True)
class Bounds:
    """`instances` of a tier."""

    least: int = 1
    most: int = MOST_INSTANCES


@dataclass(frozen=True, slots=True)
class Setting:
    """All that is chosen: a shape and bounds for each tier, and how careful the forecast is."""

    shapes: Mapping[Tier, Shape]
    bounds: Mapping[Tier, Bounds] = field(default_factory=lambda: dict.fromkeys(Tier, Bounds()))
    quantile: float = ForecastPolicy().quantile


def fleet(wishes: Wishes, setting: Setting, contexts: Mapping[Tier, int]) -> HeterogeneousDeployment:
    """The fleet as the operator will read it; `contexts` are the tiers' maxModelLen."""
    return HeterogeneousDeployment.parse(body(wishes, setting, contexts))


def body(wishes: Wishes, setting: Setting, contexts: Mapping[Tier, int]) -> Manifest:
    """The custom resource."""
    tiers = {str(each): tier(wishes, each, setting.shapes[each], contexts[each], setting.bounds[each]) for each in Tier}
    scaling: dict[str, Any] = {}
    if wishes.gpus is not None:
        scaling["gpuBudget"] = wishes.gpus
    if setting.quantile != ForecastPolicy().quantile:
        scaling["forecast"] = {"quantile": setting.quantile}
    spec = {**tiers, **({"scaling": scaling} if scaling else {})}
    return {"apiVersion": API_VERSION, "kind": FLEET_KIND, "metadata": wishes.metadata(), "spec": spec}


def tier(wishes: Wishes, name: Tier, shape: Shape, context: int, bounds: Bounds) -> dict[str, Any]:
    """One tier of it."""
    return {
        "model": {"source": wishes.pair.source(name)},
        **_parallelism(shape),
        "instances": {"min": bounds.least, "max": bounds.most},
        "engine": {"maxModelLen": context, "maxNumSeqs": shape.max_num_seqs},
        "placement": {
            "gpuProduct": wishes.gpu,
            **({"gpusPerNode": wishes.gpus_per_node} if wishes.gpus_per_node != 8 else {}),
        },
        **wishes.storage(),
        "price": {"usdPerGpuHour": wishes.usd_per_gpu_hour},
        **_objective(wishes.objective),
    }


def tier_spec(wishes: Wishes, name: Tier, shape: Shape, context: int) -> TierSpec:
    """The same as the planner reads it, with bounds that bind nothing."""
    return TierSpec.model_validate(tier(wishes, name, shape, context, Bounds()))


def _parallelism(shape: Shape) -> dict[str, Any]:
    written: dict[str, Any] = {"tensor": shape.tensor} if shape.tensor > 1 else {}
    if shape.pipeline > 1:
        written["pipeline"] = shape.pipeline
    if shape.expert_parallel:
        written["expertParallel"] = True
    return {"parallelism": written} if written else {}


def _objective(objective: Objective) -> dict[str, Any]:
    usual = Objective()
    written = {
        key: value
        for key, value, default in (
            ("ttftSeconds", objective.ttft_seconds, usual.ttft_seconds),
            ("interTokenSeconds", objective.inter_token_seconds, usual.inter_token_seconds),
            ("attainment", objective.attainment, usual.attainment),
        )
        if value != default
    }
    return {"objective": written} if written else {}
