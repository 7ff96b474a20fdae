"""How high a load may get within the next minutes, by six simple models: the candidates of the forecast.

Each gives a level for each minute, which is compared with the highest value of the `horizon` minutes after it:

    LastValue      the value now
    Ewma           the exponentially weighted mean
    RecentMaximum  the highest value of the last 15 minutes
    Blend          0.7 x the value now + 0.3 x the highest value of the last 30 minutes
    Ridge          the value now x exp(w . features), with w from ridge regression over the last day
    Seasonal       the value now x how the load moved within the same minutes yesterday

The features are logarithms of ratios (highest, mean and former values over the value now), so that w does not depend
on the size of a fleet. None of the models knows how far it is off: that is the margin's business.
"""

from enum import StrEnum
from itertools import accumulate
from typing import Final

import numpy as np

from heterofleet.planning.series import Flags, Floats, windows


class Candidate(StrEnum):
    LAST_VALUE = "LastValue"
    EWMA = "Ewma"
    RECENT_MAXIMUM = "RecentMaximum"
    BLEND = "Blend"
    RIDGE = "Ridge"
    SEASONAL = "Seasonal"


ORDER: Final = tuple(Candidate)
"""The rows of every array that has one for each candidate."""

CONTEXT: Final = 60
"""Minutes that a level is made from, the present one with them."""

_EWMA_WEIGHT: Final = 0.5
_RECENT: Final = 15
_BLEND: Final = (0.7, 30)
_MAXIMA: Final = (5, 15, 30, 60)
_MEANS: Final = (5, 15, 60)
_LAGS: Final = (1, 5)
FEATURES: Final = 1 + len(_MAXIMA) + len(_MEANS) + len(_LAGS)

_FARTHEST: Final = 2.0
"""Bound of a feature: a load that was 7 times as high says no more than that."""

_RIDGE_BOUNDS: Final = (-0.5, 0.7)
_RIDGE_PENALTY: Final = 1.0
_SEASONAL_BOUNDS: Final = (0.8, 1.5)


def levels(recent: Floats, average: float, weights: Floats, seasonal: Floats, floor: float) -> tuple[Floats, Floats]:
    """The level of each candidate (rows) for each minute of a block (columns), and the average after each.

    `recent` holds the CONTEXT - 1 minutes before the block, too (fewer at the beginning of a series); `average` is the
    exponential mean before it, `seasonal` what `seasonal_ratio` gives for each minute of the block.
    """
    count = len(seasonal)
    past = _windows(recent, count)
    last = past[:, -1]
    averages = _averages(last, average)
    share, minutes = _BLEND
    blend = share * last + (1 - share) * past[:, -minutes:].max(axis=1)
    growth = np.exp(np.clip(features(recent, count, floor) @ weights, *_RIDGE_BOUNDS))
    rows = (last, averages, past[:, -_RECENT:].max(axis=1), blend, last * growth, last * seasonal)
    return np.stack(rows), averages


def features(recent: Floats, count: int, floor: float) -> Floats:
    """The features of the last `count` minutes, one row each. Values below `floor` are taken for it."""
    logs = _windows(np.log(np.maximum(recent, floor)), count)
    last = logs[:, -1]
    columns = [np.full(count, _FARTHEST / 2)]
    columns += [logs[:, -minutes:].max(axis=1) - last for minutes in _MAXIMA]
    columns += [logs[:, -minutes:].mean(axis=1) - last for minutes in _MEANS]
    columns += [last - logs[:, -1 - minutes] for minutes in _LAGS]
    bounded: Floats = np.clip(np.stack(columns, axis=1), -_FARTHEST, _FARTHEST)
    return bounded


def ridge_weights(values: Floats, seen: Flags, horizon: int, floor: float) -> Floats:
    """w = argmin |X w - y|^2 + |w|^2, where y is log(highest value of the next `horizon` minutes / value now).

    Minutes count that were seen together with all of their horizon; with fewer than a row a feature w stays 0.
    """
    rows = len(values) - horizon - (CONTEXT - 1)
    if rows < FEATURES:
        return np.zeros(FEATURES)
    logs = np.log(np.maximum(values, floor))
    known = np.flatnonzero(windows(seen[-rows - horizon :], horizon + 1).all(axis=1))
    targets = windows(logs[-rows - horizon + 1 :], horizon).max(axis=1) - logs[-rows - horizon : -horizon]
    matrix, target = features(values[:-horizon], rows, floor)[known], targets[known]
    penalty = _RIDGE_PENALTY * np.eye(FEATURES)
    solved: Floats = np.linalg.solve(matrix.T @ matrix + penalty, matrix.T @ target)
    return solved


def seasonal_ratio(yesterday: Floats, seen: Flags, count: int, horizon: int) -> Floats:
    """How far the load rose within `horizon` minutes after each minute of the block, a day before it.

    `yesterday` is `count` + `horizon` minutes long and begins a day before the block; 1 where it is not known.
    """
    missing = count + horizon - len(yesterday)
    if missing > 0:
        yesterday = np.concatenate([np.zeros(missing), yesterday])
        seen = np.concatenate([np.zeros(missing, dtype=np.bool_), seen])
    highest: Floats = windows(yesterday[1:], horizon)[:count].max(axis=1)
    known: Flags = np.logical_and.reduce(windows(seen, horizon + 1)[:count], axis=1)
    ratio = np.divide(highest, yesterday[:count], out=np.ones(count), where=known & (yesterday[:count] > 0))
    bounded: Floats = np.clip(ratio, *_SEASONAL_BOUNDS)
    return bounded


def _windows(recent: Floats, count: int) -> Floats:
    """The CONTEXT minutes that end with each of the last `count`; before its beginning a series was as it began."""
    missing = count + CONTEXT - 1 - len(recent)
    padded = np.concatenate([np.full(missing, recent[0]), recent]) if missing > 0 else recent
    return windows(padded[-(count + CONTEXT - 1) :], CONTEXT)


def _averages(block: Floats, before: float) -> Floats:
    steps = accumulate(block.tolist(), lambda mean, value: mean + _EWMA_WEIGHT * (value - mean), initial=before)
    return np.fromiter(steps, dtype=np.float64, count=len(block) + 1)[1:]
