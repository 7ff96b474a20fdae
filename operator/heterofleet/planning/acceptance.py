"""What is wrong with a fleet whose schema is sound: can an instance have this shape, does the model fit, do they pair.

Stands between the parsed spec and everything that costs GPUs: `Accepted` and `PairMatched` come from here, in the
cluster and in the offline `validate` alike. Only what is known not to work refuses; the rest warns.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from heterofleet.api.conditions import Reason
from heterofleet.api.labels import Tier
from heterofleet.api.v1alpha1 import FleetSpec
from heterofleet.planning import fit, pairs, schedule, topology
from heterofleet.planning.catalogue import Catalogue

Path = tuple[str, ...]


class Remark(NamedTuple):
    """One thing to say of a spec; `path` leads to the field that it is about."""

    path: Path
    refuses: bool
    reason: Reason
    message: str


def remarks(spec: FleetSpec, catalogue: Catalogue) -> tuple[Remark, ...]:
    """Everything to say, refusals first."""
    found = [
        *_of_tier(spec, Tier.LARGE, catalogue),
        *_of_tier(spec, Tier.SMALL, catalogue),
        *_of_schedules(spec),
        *_of_pair(spec, catalogue),
    ]
    return tuple(sorted(found, key=lambda remark: not remark.refuses))


def joined(said: Sequence[Remark]) -> str:
    """Several remarks as one text, each a sentence without its full stop."""
    return "; ".join(remark.message.removesuffix(".") for remark in said)


def pair(spec: FleetSpec, catalogue: Catalogue) -> tuple[Reason, str]:
    """Whether the tiers' models share tokenizer and chat template."""
    match = pairs.match(catalogue.facts(spec.large.model), catalogue.facts(spec.small.model))
    if match.matched is None:
        return Reason.FAMILY_UNKNOWN, match.message
    return (Reason.SAME_FAMILY if match.matched else Reason.FAMILIES_DIFFER), match.message


def _of_tier(spec: FleetSpec, tier: Tier, catalogue: Catalogue) -> Iterator[Remark]:
    own = spec.tier(tier)
    path = ("spec", str(tier))
    single_pod = tier is Tier.SMALL
    layout = topology.lay_out(own.parallelism, own.placement.gpus_per_node, single_pod=single_pod)
    if isinstance(layout, topology.Refusal):
        yield Remark((*path, "parallelism"), True, Reason.INVALID_LAYOUT, f"{tier}: {layout.message}")
        return
    if layout.spans_pods:
        sentence = f"{tier}: tensor {layout.tensor} spans pods of {layout.gpus_per_pod} GPUs, which needs a fast fabric"
        yield Remark((*path, "parallelism", "tensor"), False, Reason.FAST_FABRIC_NEEDED, sentence)
    product = own.placement.gpu_product
    if product is not None and catalogue.gpu(product) is None and (similar := catalogue.similar_products(product)):
        sentence = f"{tier}: GPU product {product} is not in the catalogue, did you mean {' or '.join(similar)}?"
        yield Remark((*path, "placement", "gpuProduct"), False, Reason.UNKNOWN_GPU_PRODUCT, sentence)
    answer = fit.of_tier(own, layout, catalogue, single_pod=single_pod)
    if answer.status is fit.Status.DOES_NOT_FIT:
        yield Remark((*path, "parallelism"), True, Reason.DOES_NOT_FIT, f"{tier}: {answer.message}")
    elif answer.status is fit.Status.UNKNOWN:
        yield Remark((*path, "model"), False, Reason.FIT_UNKNOWN, f"{tier}: {answer.message}")


def _of_schedules(spec: FleetSpec) -> Iterator[Remark]:
    problem = schedule.problem(spec.scaling.schedules)
    if problem is not None:
        yield Remark(("spec", "scaling", "schedules"), True, Reason.INVALID_SPEC, problem)


def _of_pair(spec: FleetSpec, catalogue: Catalogue) -> Iterator[Remark]:
    reason, message = pair(spec, catalogue)
    if reason is Reason.FAMILIES_DIFFER:
        yield Remark(("spec", "small", "model"), False, reason, message)
