"""The three sizes of the source document (section 4.2), and what each would carry of the load at hand.

The source names its sizes by requests a second alone. What a request asks for decides as much, so that each size is
measured here with the load's own requests, and the sentence says how many of them a second it carries.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Final, NamedTuple

from heterofleet.api.labels import Tier
from heterofleet.recommend import candidates
from heterofleet.recommend.manifest import Shape
from heterofleet.recommend.trials import Trials

_MOST_OF_SMALL: Final = 100.0
_MOST_OF_MEDIUM: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Size:
    """One instance of the large tier, and `small_instances` of the other."""

    name: str
    shapes: Mapping[Tier, Shape]
    small_instances: int

    def instances(self, tier: Tier) -> int:
        return 1 if tier is Tier.LARGE else self.small_instances

    @property
    def gpus(self) -> int:
        return sum(self.instances(tier) * shape.gpus for tier, shape in self.shapes.items())


SMALL: Final = Size("small (below 100 QPS)", {Tier.LARGE: Shape(4), Tier.SMALL: Shape(1, max_num_seqs=32)}, 4)
MEDIUM: Final = Size("medium (100 to 1,000 QPS)", {Tier.LARGE: Shape(8), Tier.SMALL: Shape(1, max_num_seqs=64)}, 16)
LARGE: Final = Size(
    "large (above 1,000 QPS)",
    {Tier.LARGE: Shape(8, 4, expert_parallel=True), Tier.SMALL: Shape(2, max_num_seqs=128)},
    32,
)


class Compared(NamedTuple):
    """`carries_qps` is None where the size cannot be built with these models."""

    size: Size
    carries_qps: float | None
    sentence: str


def of(qps: float) -> Size:
    """The source's size for so many requests a second."""
    if qps < _MOST_OF_SMALL:
        return SMALL
    return MEDIUM if qps <= _MOST_OF_MEDIUM else LARGE


def compare(trials: Trials, peak_qps: float, recommended: Mapping[Tier, Shape]) -> Compared:
    """What the source's size for this load carries of it, and where the recommendation differs."""
    size = of(peak_qps)
    shapes: dict[Tier, Shape] = {}
    for tier, shape in size.shapes.items():
        usable = _usable(trials, tier, shape)
        if isinstance(usable, str):
            return Compared(size, None, f"The source's size {size.name} cannot be built of this pair: {usable}")
        shapes[tier] = usable
    carried = {tier: _carries(trials, size, tier, shape) for tier, shape in shapes.items()}
    bound = min(carried, key=lambda tier: carried[tier])
    qps = carried[bound]
    head = f"The source's size {size.name} is {_told(size, shapes)}, {size.gpus} GPUs"
    same = all(recommended[tier] == shape for tier, shape in shapes.items())
    if qps >= peak_qps:
        shaped = "in the same shape" if same else "in the shape that carries most with a GPU"
        tail = (
            f"it carries {qps:,.0f} of these requests a second; recommended are as many instances as needed, {shaped}"
        )
        return Compared(size, qps, f"{head}: {tail}.")
    work = trials.engine(bound, shapes[bound]).work_per_second * size.instances(bound)
    wanted = trials.work_per_request(bound) * peak_qps
    tail = (
        f"it carries {qps:,.1f} of the {peak_qps:,.0f} requests a second of the busiest hour, since its {bound} tier"
        f" carries {work:,.0f} work tokens/s within the objective and they bring {wanted:,.0f}"
    )
    return Compared(size, qps, f"{head}: {tail}.")


def _usable(trials: Trials, tier: Tier, shape: Shape) -> Shape | str:
    """The shape, with or without expertParallel, or why it does not fit."""
    facts = trials.catalogue.model(trials.wishes.pair.source(tier))
    if facts is not None and not facts.is_mixture:
        shape = replace(shape, expert_parallel=False)
    refused = candidates.refusal(tier, shape, trials.wishes, trials.catalogue)
    if refused is None:
        return shape
    other = replace(shape, expert_parallel=not shape.expert_parallel)
    mixture = facts is not None and facts.is_mixture
    if mixture and candidates.refusal(tier, other, trials.wishes, trials.catalogue) is None:
        return other
    return refused


def _carries(trials: Trials, size: Size, tier: Tier, shape: Shape) -> float:
    """Requests a second of all classes that so many instances of a tier carry their part of."""
    work = trials.work_per_request(tier)
    return size.instances(tier) * trials.engine(tier, shape).work_per_second / work if work > 0 else inf


def _told(size: Size, shapes: Mapping[Tier, Shape]) -> str:
    return " and ".join(f"{size.instances(tier)} {tier} ({shape})" for tier, shape in shapes.items())
