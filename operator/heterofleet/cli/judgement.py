"""What the operator would say of a fleet whose schema is sound: can an instance have this shape, does the model fit.

The questions are those of `Accepted` and `PairMatched`; the answers come from the same pure code. Third step of
`validate`, after `schema`.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from heterofleet.api.conditions import Reason
from heterofleet.api.labels import Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli.yamltext import Path
from heterofleet.planning import topology


class Severity(StrEnum):
    """An error keeps the fleet from running; a warning is for a person to weigh; a note is neither."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Judgement(NamedTuple):
    path: Path
    severity: Severity
    reason: Reason
    message: str


def judge(fleet: HeterogeneousDeployment) -> Iterator[Judgement]:
    """Yield what the operator would refuse or warn of."""
    for tier in Tier:
        yield from _shape(fleet, tier)


def _shape(fleet: HeterogeneousDeployment, tier: Tier) -> Iterator[Judgement]:
    spec = fleet.spec.tier(tier)
    path: Path = ("spec", str(tier), "parallelism")
    layout = topology.lay_out(spec.parallelism, spec.placement.gpus_per_node, single_pod=tier is Tier.SMALL)
    if isinstance(layout, topology.Refusal):
        yield Judgement(path, Severity.ERROR, Reason.INVALID_LAYOUT, layout.message)
    elif layout.spans_pods:
        message = f"tensor {layout.tensor} spans pods of {layout.gpus_per_pod} GPUs, which needs a fast fabric"
        yield Judgement(path, Severity.WARNING, Reason.FAST_FABRIC_NEEDED, message)
