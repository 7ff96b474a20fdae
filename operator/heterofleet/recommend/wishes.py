"""What is asked of a fleet beside its load: models, GPUs and their price, objectives, and where weights are kept."""

from dataclasses import dataclass, field
from typing import Any, Final

from heterofleet.api.scaling import Objective
from heterofleet.recommend.modelpairs import PAIRS, USUAL, Pair

GPU: Final = "NVIDIA-A100-SXM4-80GB"
"""The GPU of the source document's figures."""

USD_PER_GPU_HOUR: Final = 2.2
"""A rented A100 of 80 GB in 2025, as in the samples; a price of one's own is better."""

MAX_MODEL_LEN: Final = 32_768

BATCH: Final = Objective(ttft_seconds=60, inter_token_seconds=0.5, attainment=0.95)
"""Of work that nobody waits for, unless said otherwise."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """`gpus` is how many may be held at once, None where nothing bounds them. `weights` is a folder of each node in
    which weights are kept, None where each start downloads them."""

    pair: Pair = PAIRS[USUAL]
    gpu: str = GPU
    gpus_per_node: int = 8
    usd_per_gpu_hour: float = USD_PER_GPU_HOUR
    gpus: int | None = None
    objective: Objective = field(default_factory=Objective)
    max_model_len: int = MAX_MODEL_LEN
    weights: str | None = "/var/lib/models"
    name: str = "recommended"
    namespace: str | None = None

    def storage(self) -> dict[str, Any]:
        """The tier's `storage`; empty where nothing keeps the weights."""
        return {"storage": {"cache": {"hostPath": {"path": self.weights}}}} if self.weights else {}

    def metadata(self) -> dict[str, str]:
        return {"name": self.name} | ({"namespace": self.namespace} if self.namespace else {})

    def context(self, longest: int | None) -> int:
        """`maxModelLen` of a tier: what was wished, within what its model knows."""
        return min(self.max_model_len, longest or self.max_model_len)
