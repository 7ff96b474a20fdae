"""What one instance sustains within its objective, in work tokens a second, before it was ever measured.

An engine's step with n sequences that decode, and with them the prompts that take their places, is a roofline
(Williams et al., CACM 52(4), 2009; that prefills ride along with decodes: Sarathi-Serve, arXiv 2403.02310, section 3):

    T(n) = max(step, n p/o / prefill rate) + sequence x n + kv token x n (p + o/2)

with p prompt and o answer tokens a request, since a sequence leaves every o steps and its successor brings p prompt
tokens. An instance is within its objective at n where T(n) is at most the inter-token time and a prompt's own prefill
behind one step is at most the time to the first token. Arrivals are no clockwork: the mean m of running sequences may
only be so high that m + z sqrt(m), the quantile of a Poisson number at the promised share of requests, is still such an
n. The work is then m / T(m) answers' tokens a second and alpha for each of their prompts' tokens.

`learning` replaces this prior by what is measured. Where the model or its GPU is not known, it is a guess.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Final, NamedTuple, Protocol

from heterofleet.api.scaling import Objective
from heterofleet.api.tier import TierSpec
from heterofleet.planning import fit, memory, topology
from heterofleet.planning.catalogue import Catalogue, Facts, Gpu
from heterofleet.planning.topology import Layout

PROMPT_WEIGHT: Final = 0.1
"""Work of a prompt token in tokens of an answer, until it is measured (scaling.md, "Definitions")."""

_LEAST_WEIGHT: Final = 0.005
_MOST_WEIGHT: Final = 1.0

_BANDWIDTH_SHARE: Final = 0.75
_FLOPS_SHARE: Final = 0.45
"""Shares of the data sheet that serving reaches; those of the measured profiles are 0.19 to 0.58 of the operations."""

_OVERHEAD_SECONDS: Final = 0.005
"""Scheduling, sampling and launches of one step, which no GPU shortens."""

_SEQUENCE_SECONDS: Final = 50e-6
"""Sampling and detokenising one token."""

_SEQUENCES: Final = 256
"""vLLM's default of --max-num-seqs."""

_GUESSED_SEQUENCES: Final = 16
"""Sequences that an instance of an unknown model or GPU is trusted with."""


class Engine(Protocol):
    """How fast one instance is; `simulate.profile.Profile` is one."""

    @property
    def prefill_tokens_per_second(self) -> float: ...
    @property
    def step_seconds(self) -> float: ...
    @property
    def sequence_seconds(self) -> float: ...
    @property
    def kv_token_seconds(self) -> float: ...
    @property
    def kv_tokens(self) -> int: ...
    @property
    def max_num_seqs(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Rates:
    """An engine from sizes alone."""

    prefill_tokens_per_second: float
    step_seconds: float
    sequence_seconds: float
    kv_token_seconds: float
    kv_tokens: int
    max_num_seqs: int = _SEQUENCES


class Shape(NamedTuple):
    """Tokens of a mean request; the default is near that of production traffic of large models."""

    prompt: float = 1000.0
    answer: float = 200.0


USUAL: Final = Shape()


class Capacity(NamedTuple):
    """Work tokens a second of one instance, and whether that is within its objective or the best without it."""

    work_per_second: float
    within_objective: bool = True


def prior(tier: TierSpec, catalogue: Catalogue, shape: Shape = USUAL, alpha: float = PROMPT_WEIGHT) -> Capacity:
    """What an instance of a tier should sustain, from what is known of its model and GPU."""
    engine = rates(tier, catalogue)
    if engine is None:
        tokens = _GUESSED_SEQUENCES / tier.objective.inter_token_seconds
        return Capacity(tokens * (1 + alpha * USUAL.prompt / USUAL.answer))
    return sustained(engine, tier.objective, shape, alpha)


def rates(tier: TierSpec, catalogue: Catalogue) -> Rates | None:
    """The roofline of a tier's instance; None where its model, its GPU or their fit is not known."""
    layout = topology.lay_out(tier.parallelism, tier.placement.gpus_per_node)
    facts, gpu = catalogue.facts(tier.model), catalogue.gpu(tier.placement.gpu_product)
    if not isinstance(layout, Layout) or facts is None or gpu is None:
        return None
    fitting = fit.of_tier(tier, layout, catalogue)
    if fitting.kv_tokens <= 0:
        return None
    return _roofline(facts, gpu, layout.world, fitting.kv_bytes_per_token, fitting.kv_tokens, tier.engine.max_num_seqs)


def sustained(engine: Engine, objective: Objective, shape: Shape, alpha: float = PROMPT_WEIGHT) -> Capacity:
    """What an instance sustains within the objective; at best effort where it meets it not even with one request."""
    shape = Shape(max(shape.prompt, 0.0), max(shape.answer, 1.0))
    highest = _highest(engine, shape)
    fitting = _fitting(engine, objective, shape, highest)
    z = NormalDist().inv_cdf(objective.attainment)
    mean = _mean_below(fitting or highest, z)
    tokens = mean / _seconds(engine, shape, mean)
    return Capacity(tokens * (1 + alpha * shape.prompt / shape.answer), fitting > 0)


def prompt_weight(engine: Engine, shape: Shape, sequences: float) -> float:
    """Alpha: the time of a prompt token's prefill, in those of an answer's token among so many sequences."""
    decoding = engine.step_seconds + sequences * (
        engine.sequence_seconds + engine.kv_token_seconds * (shape.prompt + shape.answer / 2)
    )
    weight = sequences / (engine.prefill_tokens_per_second * decoding)
    return min(_MOST_WEIGHT, max(_LEAST_WEIGHT, weight))


def _roofline(
    facts: Facts, gpu: Gpu, gpus: int, kv_bytes: float, kv_tokens: int, max_num_seqs: int | None
) -> Rates | None:
    """Weights are read once a step; of a mixture of experts a full batch touches all of them."""
    weights, active = memory.total_weight_bytes(facts), facts.active_parameters or facts.parameters
    if weights is None or active is None or gpu.terabytes_per_second is None or gpu.teraflops is None:
        return None
    bandwidth = gpus * gpu.terabytes_per_second * 1e12 * _BANDWIDTH_SHARE
    return Rates(
        prefill_tokens_per_second=gpus * gpu.teraflops * 1e12 * _FLOPS_SHARE / (2 * active),
        step_seconds=_OVERHEAD_SECONDS + weights / bandwidth,
        sequence_seconds=_SEQUENCE_SECONDS,
        # Each GPU reads its own part of the cache, so what one token takes there is read at one GPU's rate.
        kv_token_seconds=kv_bytes * gpus / bandwidth,
        kv_tokens=kv_tokens,
        max_num_seqs=max_num_seqs or _SEQUENCES,
    )


def _seconds(engine: Engine, shape: Shape, sequences: float) -> float:
    """Mean time of a step with so many sequences."""
    prefill = sequences * shape.prompt / shape.answer / engine.prefill_tokens_per_second
    read = sequences * (shape.prompt + shape.answer / 2)
    return max(engine.step_seconds, prefill) + engine.sequence_seconds * sequences + engine.kv_token_seconds * read


def _highest(engine: Engine, shape: Shape) -> int:
    """Sequences that the scheduler and the KV cache take at once; always one."""
    return max(1, min(engine.max_num_seqs, int(engine.kv_tokens / (shape.prompt + shape.answer))))


def _fitting(engine: Engine, objective: Objective, shape: Shape, highest: int) -> int:
    """Most sequences within the objective; 0 where one is too many. Steps only grow with them."""
    low, high = 0, highest
    while low < high:
        middle = (low + high + 1) // 2
        step = _seconds(engine, shape, middle)
        first = shape.prompt / engine.prefill_tokens_per_second + step
        if step <= objective.inter_token_seconds and first <= objective.ttft_seconds:
            low = middle
        else:
            high = middle - 1
    return low


def _mean_below(most: int, z: float) -> float:
    """The mean of a Poisson number whose quantile is `most`, in its normal approximation; half of it at least.

    m + z sqrt(m) = most, solved for sqrt(m).
    """
    root = (sqrt(z * z + 4 * most) - z) / 2
    return max(root * root, most / 2)
