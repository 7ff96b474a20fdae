"""Which engine a tier of a fleet is played by: the profile of its model on its GPUs, and how long it takes to start.

A profile by name (`profile.load`) is the better one, since it was fitted to measurements; else it is derived from the
sizes of the catalogue's model and GPU. The tier's own bounds on batches and lengths hold for both.
"""

from dataclasses import dataclass, replace
from typing import Final

from heterofleet.api.labels import Tier
from heterofleet.api.tier import TierSpec
from heterofleet.planning import fit, memory, startup, topology
from heterofleet.planning.catalogue import Catalogue
from heterofleet.planning.topology import Layout
from heterofleet.simulate import profile
from heterofleet.simulate.profile import HARDWARE, Hardware, Profile

_START_UP_SECONDS: Final = {Tier.LARGE: 300.0, Tier.SMALL: 60.0}
"""Of an instance whose model is not known (scaling.md, "Definitions")."""

_HARDWARE: Final = {"A100": HARDWARE["a100-80gb"], "H100": HARDWARE["h100-80gb"], "H800": HARDWARE["h100-80gb"]}


class UnknownEngine(ValueError):
    """Nothing is known of how fast a tier's engine is; the sentence says what to write."""


@dataclass(frozen=True, slots=True)
class TierEngine:
    """How a tier's instances are played."""

    profile: Profile
    startup_seconds: float
    gpus: int


def of(
    tier: Tier, spec: TierSpec, catalogue: Catalogue, named: str | None = None, startup_seconds: float | None = None
) -> TierEngine:
    """The engine of a tier; `named` and `startup_seconds` have the word where they are given. Raises UnknownEngine."""
    layout = topology.lay_out(spec.parallelism, spec.placement.gpus_per_node)
    if not isinstance(layout, Layout):
        raise UnknownEngine(f"{tier}: {layout}")
    played = _named(tier, named) if named is not None else _derived(tier, spec, layout, catalogue)
    seconds = startup_seconds
    if seconds is None:
        known = startup.seconds_prior(catalogue.facts(spec.model), layout, downloads=_downloads(spec))
        seconds = _START_UP_SECONDS[tier] if known is None else known
    return TierEngine(_bounded(tier, played, spec), seconds, layout.world)


def _named(tier: Tier, name: str) -> Profile:
    known = profile.load()
    if name not in known:
        raise UnknownEngine(f"{tier}: no profile {name!r}; choose from {', '.join(known)}")
    return known[name]


def _derived(tier: Tier, spec: TierSpec, layout: Layout, catalogue: Catalogue) -> Profile:
    facts, hardware = catalogue.facts(spec.model), _hardware(spec.placement.gpu_product)
    fitted = fit.of_tier(spec, layout, catalogue)
    weights = memory.total_weight_bytes(facts) if facts is not None else None
    active = (facts.active_parameters or facts.parameters) if facts is not None else None
    if hardware is None or weights is None or active is None or not fitted.kv_tokens:
        missing = f"GPU {spec.placement.gpu_product or 'without a product'}" if hardware is None else spec.model.source
        raise UnknownEngine(
            f"{tier}: how fast an engine is cannot be derived for {missing}: choose one with --profile {tier}=NAME,"
            f" of {', '.join(profile.load())}"
        )
    return profile.derived(
        f"{tier}-derived",
        hardware,
        gpus=layout.world,
        weight_bytes=weights,
        active_parameters=active,
        kv_bytes_per_token=fitted.kv_bytes_per_token * layout.rank_gpus,
        kv_tokens=fitted.kv_tokens,
    )


def plays(product: str) -> bool:
    """Whether engines on this GPU can be derived without a measured profile."""
    return _hardware(product) is not None


def _downloads(spec: TierSpec) -> bool:
    """Whether each start fetches the weights: into a folder that goes with the pod, from a hub or a bucket."""
    cache = spec.storage.cache
    keeps = cache.persistent_volume_claim is not None or cache.host_path is not None
    return spec.model.source.startswith(("hf://", "s3://")) and not keeps


def _hardware(product: str | None) -> Hardware | None:
    return next((found for name, found in _HARDWARE.items() if name in (product or "")), None)


def _bounded(tier: Tier, played: Profile, spec: TierSpec) -> Profile:
    """The profile with what the tier says of its engine."""
    engine = spec.engine
    sequences = engine.max_num_seqs or played.max_num_seqs
    length = min(engine.max_model_len or played.max_model_len, played.kv_tokens)
    batched = max(engine.max_num_batched_tokens or played.max_num_batched_tokens, sequences)
    try:
        return replace(played, max_num_seqs=sequences, max_model_len=length, max_num_batched_tokens=batched)
    except ValueError as exc:
        raise UnknownEngine(f"{tier}: {exc}") from exc
