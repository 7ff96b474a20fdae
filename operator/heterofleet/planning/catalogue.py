"""What is known of models and GPUs before they run: facts for the fit, priors for cost, latency and family.

Stands before `fit` and `pairs`: a tier's `model` becomes `Facts`, its `placement.gpuProduct` a `Gpu`. What a user
states in `model.facts` beats the catalogue, and a model that neither knows is no error: its fit is unknown.

The data is data/models.yaml and data/gpus.yaml of this package; `load` is the edge that reads them, everything
else takes the `Catalogue` as an argument.
"""

import difflib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from math import exp, log
from typing import Any, NamedTuple, Self

import yaml

from heterofleet.api.model import ModelFacts, ModelSource

_HUB = "hf://"


@dataclass(frozen=True, slots=True)
class Facts:
    """Architecture and sizes of one model; None means unknown, never zero.

    `experts` 0 is a dense model. `kv_lora_rank` marks multi-head latent attention. Sizes per layer are those of
    the checkpoint's config.json; `quantization_block` is the edge of a square block of FP8 weights.
    """

    name: str
    parameters: int | None = None
    active_parameters: int | None = None
    weight_bytes: int | None = None
    layers: int | None = None
    dense_layers: int = 0
    hidden_size: int | None = None
    vocab_size: int | None = None
    tied_embeddings: bool = False
    intermediate_size: int | None = None
    attention_heads: int | None = None
    kv_heads: int | None = None
    head_dim: int | None = None
    q_lora_rank: int | None = None
    kv_lora_rank: int | None = None
    qk_nope_head_dim: int = 128
    qk_rope_head_dim: int = 64
    v_head_dim: int = 128
    experts: int | None = None
    experts_per_token: int | None = None
    shared_experts: int = 0
    moe_intermediate_size: int | None = None
    quantization: str | None = None
    quantization_block: int | None = None
    context_length: int | None = None
    family: str | None = None
    tokenizer: str | None = None
    template: str | None = None

    @property
    def is_dense(self) -> bool:
        """Known to have no experts; an unknown model is not."""
        return self.experts == 0

    @property
    def is_mixture(self) -> bool:
        """Known to have experts; an unknown model is not."""
        return bool(self.experts)

    def stated(self, facts: ModelFacts) -> Self:
        """These facts with what a user stated in their place."""
        given = {name: value for name, value in facts.model_dump().items() if value is not None}
        if given.keys() & {"parameters", "quantization_block"} and "weight_bytes" not in given:
            given["weight_bytes"] = None  # The catalogue's bytes belong to the catalogue's weights.
        if "family" in given:
            given |= {"tokenizer": None, "template": None}
        return replace(self, **given)


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU product, named as its node label does."""

    product: str
    memory_gib: float
    compute_capability: float
    batched_tokens: int
    terabytes_per_second: float | None = None
    teraflops: float | None = None

    @property
    def memory_bytes(self) -> int:
        return int(self.memory_gib * 2**30)

    @property
    def has_fp8(self) -> bool:
        """Multiplies FP8 by itself (Ada, Hopper and later); others unpack FP8 weights in vLLM's Marlin kernels."""
        return self.compute_capability >= 8.9

    @property
    def has_bfloat16(self) -> bool:
        return self.compute_capability >= 8.0


class SizePrior(NamedTuple):
    """What a token of a model of this size costs and takes, until it is measured."""

    parameters: float
    relative_token_cost: float
    latency_seconds: float


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Models by lower-case ORG/NAME, GPUs by product label, priors by rising size."""

    models: Mapping[str, Facts]
    gpus: Mapping[str, Gpu]
    size_priors: Sequence[SizePrior]

    def facts(self, model: ModelSource) -> Facts | None:
        """What is known of a tier's model, the user's own statements first; None if nothing is."""
        known = self.model(model.source)
        if model.facts is None:
            return known
        return (known or Facts(name=model.source)).stated(model.facts)

    def model(self, source: str) -> Facts | None:
        """The entry of an `hf://ORG/NAME` source, named as the source is; other sources can be anything."""
        if not source.startswith(_HUB):
            return None
        name = source.removeprefix(_HUB).rstrip("/")
        entry = self.models.get(name.lower())
        return entry and replace(entry, name=name.rsplit("/", maxsplit=1)[-1])

    def gpu(self, product: str | None) -> Gpu | None:
        """The GPU of a product label; time-slicing's suffix does not change what it can do."""
        return self.gpus.get((product or "").removesuffix("-SHARED"))

    def similar_products(self, product: str) -> list[str]:
        """Known products whose label looks like `product`, the nearest first; empty if none does."""
        return difflib.get_close_matches(product, self.gpus, n=2, cutoff=0.5)

    def size_prior(self, parameters: float) -> SizePrior:
        """Interpolate cost and latency between the source document's sizes, on logarithmic axes.

        A mixture counts with all its weights, as the source's 235B row does: memory, and so GPUs, is what costs.
        """
        lower, upper = _neighbours(self.size_priors, parameters)
        share = log(parameters / lower.parameters) / log(upper.parameters / lower.parameters)

        def between(low: float, high: float) -> float:
            return exp(log(low) + share * log(high / low))

        return SizePrior(
            parameters,
            between(lower.relative_token_cost, upper.relative_token_cost),
            between(lower.latency_seconds, upper.latency_seconds),
        )


def parse(models: Mapping[str, Any], gpus: Mapping[str, Any]) -> Catalogue:
    """Build the catalogue from the two documents; an unknown field or a missing base raises."""
    entries: dict[str, Facts] = {}
    by_source: dict[str, Facts] = {}
    for document in models["models"]:
        fields = {name: value for name, value in document.items() if name not in ("like", "sources")}
        base = document.get("like")
        entry = replace(entries[base], **fields) if base else Facts(**fields)
        entries[entry.name] = entry
        by_source |= {source.lower(): entry for source in document["sources"]}
    return Catalogue(
        models=by_source,
        gpus={gpu["product"]: Gpu(**gpu) for gpu in gpus["gpus"]},
        size_priors=sorted(SizePrior(**prior) for prior in models["size_priors"]),
    )


@cache
def load() -> Catalogue:
    """Read the catalogue of this package, once a process."""
    return parse(_document("models.yaml"), _document("gpus.yaml"))


def _document(name: str) -> dict[str, Any]:
    text = resources.files("heterofleet.planning").joinpath("data", name).read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.load(text, Loader=_LOADER)  # noqa: S506  both are safe loaders
    return document


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _neighbours(priors: Sequence[SizePrior], parameters: float) -> tuple[SizePrior, SizePrior]:
    """The two priors around a size, or the two at its end of the scale."""
    pairs = list(itertools.pairwise(priors))
    return next((pair for pair in pairs if parameters <= pair[1].parameters), pairs[-1])
