"""The shipped samples are valid fleets that fit their GPUs, without a cluster."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from heterofleet.api.labels import Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.planning import catalogue, fit, topology
from heterofleet.planning.topology import Layout

SAMPLES = Path(__file__).resolve().parents[2] / "manifests" / "samples"
SIZED = sorted(path.stem for path in SAMPLES.glob("*-*.yaml"))
CATALOGUE = catalogue.load()

# Section 4.2 of the source: GPUs of the large instance (tensor, pipeline), small instances, their tensor size, batch.
SIZES = {"small": ((4, 1), 4, 1, 32), "medium": ((8, 1), 16, 1, 64), "large": ((8, 4), 32, 2, 128)}
PAIRS = {
    "qwen3": ("hf://Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", "hf://Qwen/Qwen3-4B-Instruct-2507"),
    "deepseek": ("hf://deepseek-ai/DeepSeek-R1", "hf://deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"),
    "glm": ("hf://zai-org/GLM-4.5-Air", "hf://zai-org/GLM-4-9B-0414"),
}


def sample(name: str) -> HeterogeneousDeployment:
    return HeterogeneousDeployment.parse(yaml.safe_load((SAMPLES / f"{name}.yaml").read_text("utf-8")))


def layout(fleet: HeterogeneousDeployment, tier: Tier) -> Layout:
    spec = fleet.spec.tier(tier)
    found = topology.lay_out(spec.parallelism, spec.placement.gpus_per_node, single_pod=tier is Tier.SMALL)
    assert isinstance(found, Layout), found
    return found


def fit_of(fleet: HeterogeneousDeployment, tier: Tier) -> fit.Fit:
    return fit.of_tier(fleet.spec.tier(tier), layout(fleet, tier), CATALOGUE, single_pod=tier is Tier.SMALL)


def nulls(value: Any, path: str = "") -> Iterator[str]:
    if value is None:
        yield path
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from nulls(part, f"{path}.{key}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from nulls(part, f"{path}[{index}]")


def test_there_is_a_sample_of_each_size_for_each_pair() -> None:
    assert sorted(f"{size}-{pair}" for size in SIZES for pair in PAIRS) == SIZED


def test_the_minimal_sample_is_below_15_lines() -> None:
    assert len((SAMPLES / "minimal.yaml").read_text("utf-8").splitlines()) < 15
    assert sample("minimal").metadata.name == "chat"


@pytest.mark.parametrize("name", SIZED)
def test_both_models_of_a_sample_fit_their_gpus(name: str) -> None:
    fleet = sample(name)
    answers = {tier: fit_of(fleet, tier) for tier in Tier}
    assert {tier: answer.status for tier, answer in answers.items()} == dict.fromkeys(Tier, fit.Status.FITS), answers


@pytest.mark.parametrize("name", SIZED)
def test_a_sample_is_the_sources_pair_in_the_sources_size(name: str) -> None:
    fleet = sample(name)
    size, _, pair = name.partition("-")
    (tensor, pipeline), instances, small_tensor, batch = SIZES[size]
    large, small = fleet.spec.large, fleet.spec.small
    assert (large.model.source, small.model.source) == PAIRS[pair]
    assert (small.instances.min, small.parallelism.tensor, small.engine.max_num_seqs) == (
        instances,
        small_tensor,
        batch,
    )
    if (large.parallelism.tensor, large.parallelism.pipeline) != (tensor, pipeline):
        asked = fit.question(large, layout(fleet, Tier.LARGE), CATALOGUE)
        assert layout(fleet, Tier.LARGE) == fit.smallest_layout(asked)
        asked_for = large.parallelism.model_copy(update={"tensor": tensor, "pipeline": pipeline})
        refused = large.model_copy(update={"parallelism": asked_for})
        narrower = topology.lay_out(asked_for, large.placement.gpus_per_node)
        assert isinstance(narrower, Layout)
        assert fit.of_tier(refused, narrower, CATALOGUE).status is fit.Status.DOES_NOT_FIT


@pytest.mark.parametrize("name", SIZED)
def test_a_samples_gpu_budget_is_what_its_instances_hold(name: str) -> None:
    fleet = sample(name)
    held = {tier: fleet.spec.tier(tier).instances.min * layout(fleet, tier).world for tier in Tier}
    header = (SAMPLES / f"{name}.yaml").read_text("utf-8").splitlines()[0]
    assert fleet.spec.scaling.gpu_budget == sum(held.values())
    assert header.endswith(f": {held[Tier.LARGE]} + {held[Tier.SMALL]} GPUs of 80 GB.")


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_sample_holds_no_null(path: Path) -> None:
    assert list(nulls(yaml.safe_load(path.read_text("utf-8")))) == []
