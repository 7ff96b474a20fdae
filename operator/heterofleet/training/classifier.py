"""Ours: the logistic model over `router.features`, calibrated, and written as the weights that the router reads."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from heterofleet.router import classify, features
from heterofleet.router.openai import Request
from heterofleet.training import folds, logistic
from heterofleet.training.logistic import Model
from heterofleet.training.traffic import Array

PENALTY: Final = 1.0
"""Strong, for labels differ between tasks far more than within them, and tasks are few: with each of 14 public tasks
left out in turn, a tenth of it costs order and calibration on the new task, and gains nothing on the known ones. What
it shrinks too much the calibration stretches again."""

_CALIBRATION_PARTS: Final = 5
_CALIBRATION_PENALTY: Final = 1e-3
"""Of the slope, which would have no bound where the scores tell the labels apart without a fault."""

_DIGITS: Final = 6
"""Significant digits of a weight: enough for scores, few enough to be the same on every machine."""


def matrix(requests: Sequence[Request]) -> Array:
    """The features, one row a request."""
    return np.array([features.extract(request) for request in requests])


def train(columns: Array, target: Array, seed: int) -> Model:
    """Fit and calibrate: Platt's method, on scores of rows that the fitted model had not seen."""
    model = logistic.fit(columns, target, PENALTY)
    parts = folds.random(len(target), _CALIBRATION_PARTS, seed)
    unseen = folds.held_out(
        parts, lambda rows, others: logistic.fit(columns[rows], target[rows], PENALTY).log_odds(columns[others])
    )
    scaling = logistic.fit(unseen[:, None], target, _CALIBRATION_PENALTY)
    if scaling.weights[0] < 0:
        # The features mislead: the mean alone is left of them.
        scaling = logistic.fit(np.zeros_like(unseen)[:, None], target, _CALIBRATION_PENALTY)
    slope = float(scaling.weights[0])
    return Model(model.weights * slope, model.bias * slope + scaling.bias)


def threshold(scores: Array, share: float) -> Mapping[str, float]:
    """The threshold below which this share of the scores lies, as near as equal scores allow, and the true share."""
    found = round(float(np.quantile(scores, share)), 4)
    return {"threshold": found, "share": round(float((scores < found).mean()), 4)}


def rounded(model: Model) -> Model:
    """As it is written down."""
    return Model(np.array([_rounded(weight) for weight in model.weights]), _rounded(model.bias))


def written(model: Model, provenance: Mapping[str, Any]) -> str:
    """The document that `classify.Weights.parse` reads."""
    weights = {name: _rounded(weight) for name, weight in zip(features.NAMES, model.weights, strict=True)}
    document = {
        "version": classify.WEIGHTS_VERSION,
        "bias": _rounded(model.bias),
        "weights": weights,
        "provenance": provenance,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _rounded(value: float) -> float:
    # 0.0 is added so that no weight is written as -0.0.
    return float(f"{value:.{_DIGITS}g}") + 0.0
