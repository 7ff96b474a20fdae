"""Which shapes an instance of a tier may have: those that fit the GPU, the most promising first.

    GPUs of an instance      1, 2, 4 … of a node; whole nodes where one does not hold the model (large tier)
    their cut                the shortest pipeline that `planning.fit` finds room for, expertParallel where it must be
    sequences at once        32 to 256                      all in the order of GPUs for a unit of work

The order is the prior of `planning.capacity`, which costs microseconds; the event model of `simulate` measures the best
few. More nodes than the model takes are not tried: neither model knows what the network between them costs, so that
they would look better than they are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from heterofleet.api.labels import Tier
from heterofleet.planning import capacity, fit, topology
from heterofleet.planning.capacity import Capacity
from heterofleet.planning.catalogue import Catalogue
from heterofleet.planning.topology import Layout
from heterofleet.recommend import manifest
from heterofleet.recommend.errors import NothingFits
from heterofleet.recommend.manifest import Shape
from heterofleet.recommend.wishes import Wishes

SEQUENCES: Final = (32, 64, 128, 256)

_MOST_NODES: Final = 8


@dataclass(frozen=True, slots=True)
class Candidate:
    """A shape that fits, and what an instance of it should carry before it is measured."""

    shape: Shape
    prior: Capacity

    @property
    def gpus_per_work(self) -> float:
        return self.shape.gpus / max(1e-9, self.prior.work_per_second)


def fitting(tier: Tier, wishes: Wishes, catalogue: Catalogue, usual: capacity.Shape) -> tuple[Candidate, ...]:
    """All shapes that fit, the cheapest for its work first. Raises NothingFits.

    Those that the prior sees within the objective stand before those that it does not.
    """
    shapes = list(_fitting(tier, wishes, catalogue))
    if not shapes:
        raise NothingFits(_nothing(tier, wishes, catalogue))
    length = context(tier, wishes, catalogue)
    made = []
    for shape in shapes:
        spec = manifest.tier_spec(wishes, tier, shape, length)
        made.append(Candidate(shape, capacity.prior(spec, catalogue, usual)))
    return tuple(sorted(made, key=lambda each: (not each.prior.within_objective, each.gpus_per_work, each.shape.gpus)))


def shortlist(candidates: Sequence[Candidate], most: int) -> tuple[Shape, ...]:
    """The most promising: the best number of sequences of every cut first, then the others in order."""
    leaders = list({each.shape.gpus: each for each in reversed(candidates)}.values())
    leaders.sort(key=candidates.index)
    others = [each for each in candidates if each not in leaders]
    return tuple(each.shape for each in (*leaders, *others)[:most])


def context(tier: Tier, wishes: Wishes, catalogue: Catalogue) -> int:
    """maxModelLen of a tier."""
    facts = catalogue.model(wishes.pair.source(tier))
    return wishes.context(facts.context_length if facts is not None else None)


def _fitting(tier: Tier, wishes: Wishes, catalogue: Catalogue) -> Iterator[Shape]:
    """For each number of GPUs the first cut that fits, with every number of sequences that it fits with."""
    found = False
    for gpus, cuts in _cuts(tier, wishes, catalogue):
        if found and gpus > wishes.gpus_per_node:
            return
        for cut in cuts:
            shapes = [replace(cut, max_num_seqs=sequences) for sequences in SEQUENCES]
            fits = [shape for shape in shapes if refusal(tier, shape, wishes, catalogue) is None]
            if fits:
                found = True
                yield from fits
                break


def _cuts(tier: Tier, wishes: Wishes, catalogue: Catalogue) -> Iterator[tuple[int, list[Shape]]]:
    """Cuts by rising numbers of GPUs, those of a short pipeline and without expertParallel first."""
    node = wishes.gpus_per_node
    tensors = [2**power for power in range(node.bit_length())]
    facts = catalogue.model(wishes.pair.source(tier))
    switches = (False, True) if facts is not None and facts.is_mixture else (False,)
    nodes = range(1, _MOST_NODES + 1) if tier is Tier.LARGE else range(1, 2)
    for gpus in sorted({*tensors, *(count * node for count in nodes)}):
        cuts = [Shape(tensor, gpus // tensor, experts)
                for tensor in reversed(tensors) if gpus % tensor == 0 for experts in switches]  # fmt: skip
        yield gpus, [cut for cut in cuts if tier is Tier.LARGE or cut.pipeline == 1]


def refusal(tier: Tier, shape: Shape, wishes: Wishes, catalogue: Catalogue) -> str | None:
    """Why a shape does not fit, in the planner's own words; None where it does."""
    spec = manifest.tier_spec(wishes, tier, shape, context(tier, wishes, catalogue))
    layout = topology.lay_out(spec.parallelism, wishes.gpus_per_node, single_pod=tier is Tier.SMALL)
    if not isinstance(layout, Layout):
        return layout.message
    answer = fit.of_tier(spec, layout, catalogue, single_pod=tier is Tier.SMALL)
    return None if answer.status is fit.Status.FITS else answer.message


def _nothing(tier: Tier, wishes: Wishes, catalogue: Catalogue) -> str:
    """The widest cut's own refusal says how much is missing."""
    widest = Shape(2 ** (wishes.gpus_per_node.bit_length() - 1))
    reason = refusal(tier, widest, wishes, catalogue) or "no layout fits"
    other = "a GPU with more memory (--gpu), a shorter context (--max-model-len) or a smaller model (--pair)"
    return f"the {tier} model fits no number of these GPUs: {reason.rstrip('.')}; choose {other}"
