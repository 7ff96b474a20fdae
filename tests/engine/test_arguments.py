"""vLLM takes every command line that the operator makes of a fleet that it accepts, or it is known here why not.

A generated fleet is one that the operator's rules let pass. What vLLM refuses of those must be in `EXPLAINED`.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pydantic
import pytest
import yaml

from engine import commands
from heterofleet.api.labels import Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from testbed import vllmcpu

ROOT: Final = Path(__file__).parents[2]
COUNT: Final = 600
EXPLAINED: Final = {
    "heads": r"Total number of attention heads \(64\) must be divisible by tensor parallel size",
    "types": r"torch.float32 is not supported for quantization method fp8",
}
"""What depends on a model's own configuration, which the operator does not read: the first generation never comes, the
engine's last words are in the fleet's conditions, and a roll stops at the first instance."""

ENGINE: Final[dict[str, list[Any]]] = {
    "dtype": ["auto", "bfloat16", "float16", "float32"],
    "maxModelLen": [16, 1024, 32_768, 131_072],
    "maxNumSeqs": [1, 8, 256, 1024],
    "maxNumBatchedTokens": [1, 64, 2048, 65_536],
    "prefixCaching": [True, False],
    "gpuMemoryUtilization": [0.5, 0.85, 1.0],
}
# No --reasoning-parser: it looks words up in a tokenizer, which the models here are without.
EXTRA: Final = (
    ("--quantization", "fp8"),
    ("--kv-cache-dtype", "fp8"),
    ("--enable-auto-tool-choice", "--tool-call-parser", "hermes"),
    ("--scheduling-policy", "priority"),
    ("--seed=1",),
    ("--enforce-eager",),
    ("--async-scheduling",),
    ("--max-logprobs", "5"),
    ("--generation-config", "vllm"),
    ("--enable-prompt-tokens-details",),
)


def _engine(dice: random.Random) -> dict[str, Any]:
    fields = {name: dice.choice(values) for name, values in ENGINE.items() if dice.random() < 0.4}
    return {**fields, "extraArgs": [item for items in EXTRA if dice.random() < 0.15 for item in items]}


def _parallelism(dice: random.Random, mixture: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "tensor": dice.choice([1, 2, 3, 4, 6, 8, 16, 32]),
        "pipeline": dice.choice([1, 1, 2, 3, 4]),
    }
    if mixture:
        fields |= {"data": dice.choice([1, 2, 3, 4]), "expertParallel": dice.random() < 0.5}
    if dice.random() < 0.3:
        fields["gpusPerPod"] = dice.choice([1, 2, 4, 8])
    return fields


def _accepted(dice: random.Random, mixture: bool) -> HeterogeneousDeployment:
    """A fleet that the operator's rules let pass."""
    while True:
        source = {"model": {"source": "pvc://models/own"}}
        large = {**source, "parallelism": _parallelism(dice, mixture), "engine": _engine(dice)}
        try:
            return _parsed({"large": large, "small": {**source, "engine": _engine(dice)}})
        except pydantic.ValidationError:
            continue


def _parsed(spec: dict[str, Any]) -> HeterogeneousDeployment:
    head = {"apiVersion": "heterofleet.io/v1alpha1", "kind": "HeterogeneousDeployment"}
    return HeterogeneousDeployment.parse({**head, "metadata": {"name": "chat"}, "spec": spec})


def _refusals(lines: list[list[str]]) -> list[str | None]:
    try:
        return commands.refusals(lines)
    except vllmcpu.MissingError as exc:
        pytest.skip(str(exc))


@pytest.fixture
def models(tmp_path: Path) -> dict[bool, Path]:
    """Folders of models: by whether they are mixtures of experts."""
    return {
        False: commands.write(tmp_path / "dense", commands.DENSE),
        True: commands.write(tmp_path / "mixture", commands.MIXTURE),
    }


def test_generated_fleets_are_taken_or_it_is_known_why_not(models: dict[bool, Path]):
    dice = random.Random(6)
    lines: list[list[str]] = []
    for number in range(COUNT):
        fleet = _accepted(dice, mixture := number % 2 == 0)
        lines += [line for tier in Tier for line in commands.of_ranks(fleet, tier, models[mixture])]
    found = _refusals(lines)
    surprises = [
        (" ".join(line[3:]), said)
        for line, said in zip(lines, found, strict=True)
        if said is not None and not any(re.search(known, said) for known in EXPLAINED.values())
    ]
    assert surprises == []
    assert sum(said is None for said in found) > COUNT


def _samples() -> Iterator[HeterogeneousDeployment]:
    for path in sorted((ROOT / "manifests" / "samples").glob("*.yaml")):
        for body in yaml.safe_load_all(path.read_text()):
            if body["kind"] == "HeterogeneousDeployment":
                yield HeterogeneousDeployment.parse(body)


def _is_mixture(fleet: HeterogeneousDeployment, tier: Tier) -> bool:
    """Whether only a mixture of experts can be laid out so."""
    sizes = fleet.spec.tier(tier).parallelism
    return sizes.expert_parallel or sizes.data > 1


def test_every_sample_is_taken(models: dict[bool, Path]):
    lines = [
        line
        for fleet in _samples()
        for tier in Tier
        for line in commands.of_ranks(fleet, tier, models[_is_mixture(fleet, tier)])
    ]
    assert len(lines) > 20
    assert [said for said in _refusals(lines) if said is not None] == []


@dataclass(frozen=True)
class Refused:
    """A tier that the operator refuses, in these words, and what vLLM says of it; None where it would start."""

    tier: dict[str, Any]
    operator: str
    arguments: tuple[str, ...]
    vllm: str | None


def _nodes(count: int) -> tuple[str, ...]:
    return ("--nnodes", str(count), "--node-rank", "0", "--master-addr", "127.0.0.1")


REFUSED: Final = {
    "uneven pods": Refused(
        {"parallelism": {"tensor": 6, "gpusPerPod": 4}},
        "must be a multiple of gpusPerPod",
        ("-tp", "6", *_nodes(4)),
        "must evenly divide the total world size",
    ),
    "fewer tokens a step than requests": Refused(
        {"engine": {"maxNumBatchedTokens": 64, "maxNumSeqs": 256}},
        "must not be below maxNumSeqs",
        ("--max-num-batched-tokens", "64", "--max-num-seqs", "256"),
        "must be greater than or equal to max_num_seqs",
    ),
    # vLLM's configuration takes it; its ranks would have half a copy of the model on each node.
    "a data-parallel rank across a pod's edge": Refused(
        {"parallelism": {"tensor": 4, "data": 3, "gpusPerPod": 6}},
        "lies whole in one pod or spans whole pods",
        ("-tp", "4", "-dp", "3", *_nodes(2)),
        None,
    ),
    # vLLM takes it; instances do the same, and come and go one by one.
    "copies of a dense model in one instance": Refused(
        {"parallelism": {"tensor": 4, "data": 2}, "model": {"facts": {"experts": 0}}},
        "need a mixture-of-experts model",
        ("-tp", "4", "-dp", "2"),
        None,
    ),
}


def test_what_the_operator_refuses_vllm_refuses_too_or_it_is_known_why_not(models: dict[bool, Path]):
    said = _refusals([["vllm", "serve", str(models["data" in name]), *r.arguments] for name, r in REFUSED.items()])
    for found, (name, refused) in zip(said, REFUSED.items(), strict=True):
        model = {"source": "pvc://models/own", **refused.tier.get("model", {})}
        with pytest.raises(pydantic.ValidationError, match=refused.operator):
            _parsed({"large": {**refused.tier, "model": model}, "small": {"model": {"source": "pvc://models/own"}}})
        assert (found is None) == (refused.vllm is None), name
        assert refused.vllm is None or re.search(refused.vllm, found or ""), name
