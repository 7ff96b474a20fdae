"""Logistic regression with a quadratic penalty, by Newton's method (iteratively reweighted least squares).

Minimises, over standardised features z and labels y that may be shares between 0 and 1,

    mean(log(1 + exp(s)) - y s) + penalty / 2 * |w|^2,   s = bias + w z

and folds the standardisation into what it returns, so that the model reads features as they are.
"""

from typing import Final, NamedTuple

import numpy as np

from heterofleet.training.traffic import Array

_STEPS: Final = 50
_CONVERGED: Final = 1e-10
_BIAS_PENALTY: Final = 1e-6
"""Keeps the bias finite where a part of the traffic has one label only."""

_CONSTANT: Final = 1e-9
"""Standard deviation below which a feature says nothing and gets the weight 0."""


class Model(NamedTuple):
    """Log odds = bias + features @ weights."""

    weights: Array
    bias: float

    def log_odds(self, features: Array) -> Array:
        return features @ self.weights + self.bias

    def scores(self, features: Array) -> Array:
        return sigmoid(self.log_odds(features))


def sigmoid(log_odds: Array) -> Array:
    """Without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * log_odds)


def fit(features: Array, target: Array, penalty: float) -> Model:
    """`features` has one row a request; `penalty` is relative to the mean loss, so that rows may be added;
    with 0 there is no model of labels that a line parts without a fault."""
    mean, spread = features.mean(axis=0), features.std(axis=0)
    told = spread > _CONSTANT
    scale = np.where(told, spread, 1.0)
    standardised = np.where(told, (features - mean) / scale, 0.0)
    columns = np.column_stack([np.ones(len(features)), standardised])
    penalties = np.full(columns.shape[1], penalty)
    penalties[0] = _BIAS_PENALTY
    found = _newton(columns, target, penalties)
    weights = np.where(told, found[1:] / scale, 0.0)
    return Model(weights, float(found[0] - weights @ mean))


def _newton(columns: Array, target: Array, penalties: Array) -> Array:
    found = np.zeros(columns.shape[1])
    for _ in range(_STEPS):
        likely = sigmoid(columns @ found)
        slope = columns.T @ (likely - target) / len(target) + penalties * found
        weighted = columns * (likely * (1 - likely))[:, None]
        curvature = weighted.T @ columns / len(target) + np.diag(penalties)
        step = np.linalg.solve(curvature, slope)
        found -= step
        if np.abs(step).max() < _CONVERGED:
            break
    return found
