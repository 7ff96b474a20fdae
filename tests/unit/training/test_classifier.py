"""The weights: the router scores as training does, and what is shipped is what the command writes."""

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import heterofleet
from heterofleet.router import classify, features
from heterofleet.training import classifier, evaluation, traffic
from heterofleet.training.measures import Measures

ROOT = Path(heterofleet.__file__).parents[2]
DATA = ROOT / "tests" / "data" / "routing" / "llmrouter_train.csv.gz"


@pytest.fixture(scope="module")
def labelled() -> traffic.Traffic:
    return traffic.read(gzip.decompress(DATA.read_bytes()).decode(), lines_of_json=False)


@pytest.fixture(scope="module")
def columns(labelled: traffic.Traffic) -> traffic.Array:
    return classifier.matrix(labelled.requests)


def test_the_shipped_weights_are_those_that_the_command_writes(
    labelled: traffic.Traffic, columns: traffic.Array
) -> None:
    document = json.loads((ROOT / "operator/heterofleet/router/data/weights.json").read_bytes())
    model = classifier.rounded(classifier.train(columns, labelled.target, seed=0))
    assert tuple(document["weights"]) == features.NAMES
    assert list(document["weights"].values()) == pytest.approx(model.weights.tolist(), rel=1e-5)
    assert document["bias"] == pytest.approx(model.bias, rel=1e-5)
    assert document["provenance"] == {
        "command": f"heterofleet train-classifier {DATA.name} --seed 0",
        "sha256": hashlib.sha256(DATA.read_bytes()).hexdigest(),
        "requests": 5608,
        "tasks": 14,
        "small_models": 6,
        "large_models": 3,
        "enough": 0.4139,
    }


def test_the_router_scores_as_training_does(labelled: traffic.Traffic, columns: traffic.Array) -> None:
    model = classifier.rounded(classifier.train(columns[::10], labelled.target[::10], seed=1))
    weights = classify.Weights.parse(classifier.written(model, {}))
    scores = [weights.score(features.extract(request)) for request in labelled.requests[:200]]
    assert scores == pytest.approx(model.scores(columns[:200]).tolist(), abs=1e-12)


def test_features_that_mislead_leave_the_mean_alone() -> None:
    # Each row is the only one of its kind, and what its neighbours tell of it is wrong.
    target = np.tile([0.0, 1.0, 1.0], 40)
    misled = np.random.default_rng(0).permutation(120)[:, None].astype(float)
    scores = classifier.train(misled, target, seed=0).scores(misled)
    assert scores.mean() == pytest.approx(2 / 3, abs=1e-3)
    assert np.ptp(scores) < 0.1


def test_a_threshold_makes_the_share_asked_for_plan() -> None:
    scores = np.linspace(0.0, 1.0, 101)
    assert classifier.threshold(scores, 0.3) == {"threshold": 0.3, "share": pytest.approx(0.297)}
    assert classifier.threshold(scores, 0.0) == {"threshold": 0.0, "share": 0.0}


@pytest.fixture(scope="module")
def measured(labelled: traffic.Traffic, columns: traffic.Array) -> dict[tuple[str, str], Measures]:
    every = slice(None, None, 6)
    some = traffic.Traffic(
        labelled.requests[every], labelled.tasks[every], labelled.small[every], labelled.large[every]
    )
    rows, _ = evaluation.measure(some, columns[every], seed=0)
    return {(row.split, row.method): row.measures for row in rows}


def test_every_method_is_measured_on_both_splits(measured: dict[tuple[str, str], Measures]) -> None:
    methods = ["ours", "random", "length", "tf-idf", "label"]
    assert list(measured) == [(split, method) for split in ("random", "leave-one-task-out") for method in methods]


@pytest.mark.parametrize("split", ["random", "leave-one-task-out"])
def test_random_scores_tell_nothing_and_recover_half_the_gap(
    measured: dict[tuple[str, str], Measures], split: str
) -> None:
    found = measured[split, "random"]
    assert found.auc == pytest.approx(0.5, abs=0.05)
    assert found.apgr == pytest.approx(0.5, abs=0.1)


def test_on_tasks_that_are_new_ours_tells_more_than_every_rival(
    measured: dict[tuple[str, str], Measures],
) -> None:
    auc = {method: found.auc for (split, method), found in measured.items() if split == "leave-one-task-out"}
    assert auc["ours"] > max(auc["random"], auc["length"], auc["tf-idf"])


def test_on_known_tasks_ours_is_calibrated(measured: dict[tuple[str, str], Measures]) -> None:
    assert measured["random", "ours"].ece < 0.06
