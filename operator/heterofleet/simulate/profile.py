"""How fast one engine is, and how much it holds: the constants of the queueing model.

    step seconds = max(step, prefill tokens / prefill rate) + sequence x decodes + kv_token x KV tokens that they read

A step reads the weights once, however many tokens it computes, so a prefill hides behind that until computing it takes
longer (Sarathi-Serve, arXiv 2403.02310, section 3: decodes ride along with a chunk of prefill almost for free until the
chunk is large enough to fill the GPU). Each sequence that decodes adds its own bit, and the attention reads its cache.
What a prefill's own attention takes grows with the square of its length. It is left out, which makes a prompt of
8,192 tokens up to a fifth too fast.

`load` gives profiles by name: `tiny` ones for demos and tests, and those that `fit` made from measurements. `derived`
is the prior for a model that was not measured, from its sizes and the GPU's.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final, NamedTuple


@dataclass(frozen=True, slots=True)
class Profile:
    """One engine: a model on its GPUs. `kv_tokens` is what the KV cache of the whole instance holds."""

    name: str
    prefill_tokens_per_second: float
    step_seconds: float
    sequence_seconds: float
    kv_token_seconds: float
    kv_tokens: int
    load_seconds: float = 0.0
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 2048
    max_model_len: int = 32_768
    block_tokens: int = 16
    prefix_caching: bool = True
    heeds_priority: bool = False

    def __post_init__(self) -> None:
        positive = (self.prefill_tokens_per_second, self.step_seconds, self.kv_tokens, self.max_num_seqs)
        sizes = (self.max_num_batched_tokens, self.max_model_len, self.block_tokens)
        if min(*positive, *sizes) <= 0 or min(self.sequence_seconds, self.kv_token_seconds, self.load_seconds) < 0:
            raise ValueError(f"profile {self.name}: rates and sizes must be above 0, seconds not below")
        if self.max_model_len > self.kv_tokens:
            raise ValueError(
                f"profile {self.name}: max_model_len {self.max_model_len} does not fit the KV cache of {self.kv_tokens}"
                " tokens: one sequence of that length could never finish"
            )
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise ValueError(
                f"profile {self.name}: max_num_batched_tokens {self.max_num_batched_tokens} is below max_num_seqs"
                f" {self.max_num_seqs}: a full batch could not decode in one step"
            )

    def seconds(self, prefill_tokens: int, decodes: int, kv_tokens: int) -> float:
        """How long one step takes that computes these prompt tokens and decodes this many sequences."""
        computing = max(self.step_seconds, prefill_tokens / self.prefill_tokens_per_second)
        return computing + self.sequence_seconds * decodes + self.kv_token_seconds * kv_tokens


class Hardware(NamedTuple):
    """What one GPU does at best, from its data sheet, dense 16-bit."""

    bytes_per_second: float
    flops: float


HARDWARE: Final[Mapping[str, Hardware]] = {
    "a100-80gb": Hardware(2.039e12, 312e12),
    "h100-80gb": Hardware(3.35e12, 989e12),
}

_BANDWIDTH_SHARE: Final = 0.75
_FLOPS_SHARE: Final = 0.45
"""Shares of the data sheet that serving reaches; the fitted profiles reach 0.19 to 0.58 of the operations (`fit`)."""

_OVERHEAD_SECONDS: Final = 0.005
"""Scheduling, sampling and launches of one step, which no GPU shortens."""

_SEQUENCE_SECONDS: Final = 50e-6
"""Sampling and detokenising one token."""


def derived(
    name: str,
    hardware: Hardware,
    *,
    gpus: int,
    weight_bytes: float,
    active_parameters: float,
    kv_bytes_per_token: float,
    kv_tokens: int,
    load_seconds: float = 0.0,
) -> Profile:
    """A prior from sizes alone: a roofline with the shares above.

    `weight_bytes` are those that a step reads, of a mixture of experts those that a full batch touches: all of them.
    """
    bandwidth = gpus * hardware.bytes_per_second * _BANDWIDTH_SHARE
    return Profile(
        name=name,
        prefill_tokens_per_second=gpus * hardware.flops * _FLOPS_SHARE / (2 * active_parameters),
        step_seconds=_OVERHEAD_SECONDS + weight_bytes / bandwidth,
        sequence_seconds=_SEQUENCE_SECONDS,
        kv_token_seconds=kv_bytes_per_token / bandwidth,
        kv_tokens=kv_tokens,
        load_seconds=load_seconds,
        max_model_len=min(32_768, kv_tokens),
    )


_TINY: Final = (
    Profile("tiny", 200_000, 0.002, 10e-6, 1e-9, 262_144, max_num_seqs=256, max_num_batched_tokens=8192),
    Profile("tiny-large", 20_000, 0.016, 100e-6, 20e-9, 262_144, load_seconds=4, max_num_seqs=64),
    Profile("tiny-small", 80_000, 0.004, 40e-6, 10e-9, 131_072, load_seconds=1, max_num_seqs=128),
)
"""Not of any GPU: fast enough for demos and tests, with a large one that is four times slower than a small one."""


@cache
def load() -> Mapping[str, Profile]:
    """All profiles that have a name."""
    text = resources.files("heterofleet.simulate").joinpath("data", "profiles.json").read_text("utf-8")
    fitted = (Profile(name=name, **values) for name, values in json.loads(text)["profiles"].items())
    return {profile.name: profile for profile in (*_TINY, *fitted)}
