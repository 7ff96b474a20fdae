"""A few random walks in every test run; many more by `python -m randomwalk --seeds 0-199 --steps 50`.

A failure names its seed: `python -m randomwalk --seeds SEED --steps 25 --server-stays` does the same actions again.
"""

import concurrent.futures
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from randomwalk import generator, stage, world
from randomwalk.operators import REPOSITORY
from randomwalk.stage import Stage
from testbed.controlplane import Cluster

SEEDS = tuple(range(1000, 1006))
STEPS = 25
AT_ONCE = 3


@pytest.fixture(scope="module")
def walked_stage(loopback_cluster: Cluster) -> Iterator[Stage]:
    folder: Path = REPOSITORY / "build" / "random" / "test"
    with stage.opened(loopback_cluster, folder) as opened:
        yield opened


def test_whatever_is_done_to_a_fleet_it_heals_and_no_rule_is_broken_meanwhile(
    walked_stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"random walks: seeds {SEEDS}, {STEPS} steps each")
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(lambda seed: walked_stage.walk(seed, STEPS, restarts_server=False), SEEDS))
    report = [result.to_json() for result in results]
    (walked_stage.folder / "walks.json").write_text(json.dumps(report, indent=1))
    broken = {result.seed: [f"{v.rule.name}: {v.sentence}" for v in result.violations] for result in results}
    assert broken == {seed: [] for seed in SEEDS}


def test_a_seed_always_gives_the_same_actions() -> None:
    first, again = (generator.generate(7, 50, world.selector_of(7)) for _ in range(2))
    assert first == again
    assert generator.generate(8, 50, world.selector_of(8)) != first
