"""The walk is worth something: it finds each of four bugs that were put into copies of the operator's sources."""

import concurrent.futures
import dataclasses
from collections.abc import Iterator

import pytest

from randomwalk import plants, stage
from randomwalk.operators import REPOSITORY, Nursery
from randomwalk.plants import PLANTS, Plant
from randomwalk.stage import Stage
from testbed.controlplane import Cluster

SEEDS = {
    "apply-order": (2100, 2101),
    "prune-guard": (2000, 2002, 2004),
    "ownership": (2200, 2201),
    "leader": (2300, 7, 33),
}
STEPS = 40


@pytest.fixture(scope="module")
def planted_stage(loopback_cluster: Cluster) -> Iterator[Stage]:
    with stage.opened(loopback_cluster, REPOSITORY / "build" / "random" / "planted") as opened:
        yield opened


def test_each_planted_bug_breaks_the_rule_that_guards_against_it(
    planted_stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"planted bugs: seeds {SEEDS}, {STEPS} steps each")
    with concurrent.futures.ThreadPoolExecutor(len(PLANTS)) as pool:
        broken = dict(zip(PLANTS, pool.map(lambda plant: _broken_by(plant, planted_stage), PLANTS), strict=True))
    missed = {plant.name: sorted(rules) for plant, rules in broken.items() if plant.breaks.name not in rules}
    assert missed == {}


def _broken_by(plant: Plant, healthy: Stage) -> set[str]:
    """Names of the rules that walks over an operator with the bug see broken; the first that finds it is enough."""
    broken: set[str] = set()
    folder = healthy.folder / plant.name
    with Nursery(plants.sow(plant, folder / "sources")) as nursery:
        ill = dataclasses.replace(healthy, nursery=nursery, folder=folder)
        for seed in SEEDS[plant.name]:
            broken |= {violation.rule.name for violation in ill.stray(seed, STEPS, plant.often).violations}
            if plant.breaks.name in broken:
                break
    return broken
