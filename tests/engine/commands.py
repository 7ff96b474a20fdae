"""The command lines of a fleet's ranks, as its pods run them, and what vLLM says of them without an engine."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from heterofleet.api.labels import Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.desired import engine
from heterofleet.supervisor import settings
from testbed import vllmcpu

DENSE: Final[dict[str, Any]] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 5120,
    "intermediate_size": 25_600,
    "num_hidden_layers": 64,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151_936,
    "max_position_embeddings": 131_072,
    "torch_dtype": "bfloat16",
}
"""Qwen3-32B, by its model card, with the longest context that it is served with."""

MIXTURE: Final[dict[str, Any]] = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "hidden_size": 4096,
    "intermediate_size": 12_288,
    "moe_intermediate_size": 1536,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 94,
    "num_attention_heads": 64,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "vocab_size": 151_936,
    "max_position_embeddings": 131_072,
    "torch_dtype": "bfloat16",
}
"""Qwen3-235B-A22B, likewise."""


def of_ranks(fleet: HeterogeneousDeployment, tier: Tier, model: Path) -> Iterator[list[str]]:
    """The command of the first and of the last pod of an instance."""
    pods = fleet.spec.tier(tier).pods_per_instance
    for index in sorted({0, pods - 1}):
        variables = {
            "HETEROFLEET_POD_NAME": f"rank-{index}",
            "HETEROFLEET_POD_IP": "127.0.0.1",
            "HETEROFLEET_POD_INDEX": str(index),
            "HETEROFLEET_PODS": str(pods),
            "HETEROFLEET_GROUP_SERVICE": "group",
            "HETEROFLEET_SERVED_MODEL": fleet.served_name(tier),
            "HETEROFLEET_DRAIN_SECONDS": str(fleet.spec.tier(tier).lifecycle.drain_timeout_seconds),
        }
        place = settings.read(variables)
        yield settings.command_line(
            engine.arguments(fleet, tier), place, model=str(model), leader="127.0.0.1", config=None
        )


def write(folder: Path, config: dict[str, Any]) -> Path:
    """A folder that holds what vLLM reads of a model before it loads it."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def refusals(lines: Sequence[Sequence[str]]) -> list[str | None]:
    """For each line None, or the sentence in which vLLM refuses it. Raises vllmcpu.MissingError."""
    python = vllmcpu.environment() / "bin" / "python"
    script = vllmcpu.FOLDER / "check_arguments.py"
    environment = {"PATH": os.environ["PATH"], "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    ended = subprocess.run(
        [str(python), str(script)],
        input=json.dumps(lines),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[str | None] = json.loads(ended.stdout.splitlines()[-1])
    return found
