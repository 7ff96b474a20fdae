"""The vLLM process of a tier: what is typed, and which of vLLM's own arguments may stand beside it."""

import re
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field, StringConstraints

from heterofleet.api.base import Image, KeyedBy, Model, Overlay, Quantity, Rule


class Dtype(StrEnum):
    AUTO = "auto"
    HALF = "half"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"


def _in_cel(names: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"'{name}'" for name in names) + "]"


OWN_VARIABLES = ("POD_INDEX", "VLLM_HOST_IP", "VLLM_API_KEY")
OWN_VARIABLES_PREFIX = "HETEROFLEET_"


class EnvVar(Model):
    """An environment variable of the engine: a value, or Kubernetes' valueFrom."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)] = Field(
        description="Name of the variable; no two in a list are alike."
    )
    value: Annotated[str, StringConstraints(max_length=4096)] | None = Field(
        None, description="Its value; empty unless this or valueFrom is given."
    )
    value_from: Overlay | None = Field(
        None, description="Where its value comes from, as in a container: secretKeyRef, configMapKeyRef, fieldRef."
    )

    RULES: ClassVar = (
        Rule(
            cel="!(has(self.value) && has(self.valueFrom))",
            message="an environment variable has a value or a valueFrom, not both: remove one",
            holds=lambda e: e.value is None or e.value_from is None,
        ),
        Rule(
            cel=f"!self.name.startsWith('{OWN_VARIABLES_PREFIX}') && !(self.name in {_in_cel(OWN_VARIABLES)})",
            message=f"{', '.join(OWN_VARIABLES)} and {OWN_VARIABLES_PREFIX}* are set by the operator: remove them",
            holds=lambda e: e.name not in OWN_VARIABLES and not e.name.startswith(OWN_VARIABLES_PREFIX),
        ),
    )


RESERVED_ARGUMENTS = (
    "--model", "--revision", "--served-model-name", "--host", "--port", "--tensor-parallel-size", "-tp",
    "--pipeline-parallel-size", "-pp", "--prefill-context-parallel-size", "-pcp", "--data-parallel-size", "-dp",
    "--data-parallel-size-local", "-dpl", "--data-parallel-rank", "-dpn", "--data-parallel-start-rank", "-dpr",
    "--data-parallel-address", "-dpa", "--data-parallel-backend", "-dpb", "--data-parallel-hybrid-lb", "-dph",
    "--data-parallel-external-lb", "-dpe", "--data-parallel-multi-port-external-lb", "-dpm", "--enable-expert-parallel",
    "-ep", "--no-enable-expert-parallel", "--distributed-executor-backend", "--nnodes", "-n", "--node-rank", "-r",
    "--master-addr", "--master-port", "--headless", "--gpu-memory-utilization", "--device-memory-utilization",
    "--max-model-len", "--max-num-seqs", "--max-num-batched-tokens", "--dtype", "--enable-prefix-caching",
    "--no-enable-prefix-caching", "--shutdown-timeout", "--api-key", "--config", "--download-dir", "--hf-token",
    "--root-path", "--uds", "--ssl-keyfile", "--ssl-certfile",
)  # fmt: skip
"""Flags of vLLM 0.32 that a typed field or the operator sets; they may not stand in extraArgs."""

_LONG: Final = tuple(name for name in RESERVED_ARGUMENTS if name.startswith("--"))
_SHORT: Final = tuple(name for name in RESERVED_ARGUMENTS if not name.startswith("--"))


def reserved(argument: str) -> str | None:
    """The reserved flag for which vLLM would take an argument, if it is one.

    vLLM's parser takes underscores for dashes, any abbreviation of a long flag (`--tensor-parallel=4`), and a number
    joined to a flag of one letter (`-n2`).
    """
    name = _flag(argument)
    if name in RESERVED_ARGUMENTS:
        return name
    if name.startswith("--"):
        return next((known for known in _LONG if known.startswith(name)), None)
    return name[:2] if re.match("-[nr][0-9]", name) else None


def _flag(argument: str) -> str:
    return argument.split("=", maxsplit=1)[0].replace("_", "-")


class Engine(Model):
    """The vLLM process of a tier. What is not given is left to vLLM or derived from the model."""

    image: Image | None = Field(
        None, description="Image with vLLM and python3; the operator's default engine image unless given."
    )
    gpu_memory_utilization: float = Field(
        0.9, ge=0.1, le=1.0, description="Fraction of each GPU's memory that vLLM takes for weights and KV cache."
    )
    max_model_len: int | None = Field(
        None,
        ge=16,
        le=16_777_216,
        description="Longest prompt and answer together, in tokens; the model's own unless given.",
    )
    max_num_seqs: int | None = Field(
        None, ge=1, le=65_536, description="Most requests that run at once in one instance; vLLM's own unless given."
    )
    max_num_batched_tokens: int | None = Field(
        None, ge=1, le=16_777_216, description="Most tokens of one step of the engine; vLLM's own unless given."
    )
    dtype: Dtype = Field(Dtype.AUTO, description="Type in which weights are computed; auto takes the checkpoint's.")
    prefix_caching: bool = Field(True, description="Keep the KV cache of prompt beginnings for later requests.")
    shared_memory: Quantity = Field(
        "16Gi", description="Size of /dev/shm, which NCCL and vLLM use between the GPUs of a pod; counted as memory."
    )
    extra_args: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=256)]], Field(max_length=48)
    ] = Field(
        default_factory=list,
        description="More arguments of `vllm serve`, one item each, as they stand; none that a typed field sets.",
    )
    env: Annotated[list[EnvVar], Field(max_length=64), KeyedBy("name")] = Field(
        default_factory=list, description="More environment variables of the engine."
    )

    RULES: ClassVar = (
        Rule(
            cel="!has(self.extraArgs) || self.extraArgs.map(a, a.split('=')[0].replace('_', '-')).all(flag,"
            f" !(flag in {_in_cel(_SHORT)}) && !flag.matches('^-[nr][0-9]')"
            f" && !(flag.startsWith('--') && {_in_cel(_LONG)}.exists(known, known.startsWith(flag))))",
            message="extraArgs may not hold an argument that a typed field or the operator sets"
            " (parallelism, model, names, ports, lengths, dtype, caching): write the typed field instead",
            holds=lambda e: all(reserved(a) is None for a in e.extra_args),
        ),
        Rule(
            cel="!has(self.extraArgs) || self.extraArgs.all(a, !a.startsWith('-') || !a.split('=')[0].contains(' '))",
            message="an item of extraArgs is one argument: write a flag and its value as two items, or with '='",
            holds=lambda e: all(not a.startswith("-") or " " not in _flag(a) for a in e.extra_args),
        ),
        Rule(
            cel="!has(self.maxNumSeqs) || !has(self.maxNumBatchedTokens)"
            " || self.maxNumSeqs <= self.maxNumBatchedTokens",
            message="engine.maxNumBatchedTokens must not be below maxNumSeqs, since each request takes a token a step:"
            " raise it or lower maxNumSeqs",
            holds=lambda e: (
                e.max_num_seqs is None or e.max_num_batched_tokens is None or e.max_num_seqs <= e.max_num_batched_tokens
            ),
        ),
    )
