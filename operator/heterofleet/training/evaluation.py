"""Measures our classifier beside what is simpler, on traffic that none of them has seen.

The rivals: random scores; the length of the request alone; words (tf-idf). Beside them stands what nobody can have,
the label itself: no order by "was the small model enough" recovers more of the gap, and it recovers less than one might
think, because where a small model fails the large one often fails too.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np

from heterofleet.router import features
from heterofleet.training import classifier, folds, logistic, measures, tfidf
from heterofleet.training.folds import Learner, Rows
from heterofleet.training.measures import Cut, Measures
from heterofleet.training.traffic import Array, Traffic

OURS: Final = "ours"
LABEL: Final = "label"
RANDOM_SPLIT: Final = "random"
TASK_SPLIT: Final = "leave-one-task-out"

THRESHOLDS: Final = (0.3, 0.34, 0.38, 0.42, 0.46, 0.5)
"""Those that people choose among; `classifier.threshold` finds one for any share."""

_PARTS: Final = 5
_LENGTH: Final = features.NAMES.index("length")
_LENGTH_PENALTY: Final = 1e-3
"""One weight needs no more than to be kept finite."""


class Row(NamedTuple):
    """What one method is worth on one split."""

    split: str
    method: str
    measures: Measures


class Chosen(NamedTuple):
    """What a threshold on our scores does on one split."""

    split: str
    cut: Cut


def measure(traffic: Traffic, columns: Array, seed: int) -> tuple[tuple[Row, ...], tuple[Chosen, ...]]:
    """Every method on the random split, and on the split by tasks where there are several; and ours by threshold."""
    rows, chosen = [], []
    for split, parts in _splits(traffic, seed):
        for method, learn in _learners(traffic, columns, seed).items():
            scores = folds.held_out(parts, learn)
            rows.append(Row(split, method, measures.of(scores, traffic)))
            if method == OURS:
                chosen += [Chosen(split, measures.cut(threshold, scores, traffic)) for threshold in THRESHOLDS]
    return tuple(rows), tuple(chosen)


def _splits(traffic: Traffic, seed: int) -> Iterator[tuple[str, tuple[Rows, ...]]]:
    yield RANDOM_SPLIT, folds.random(len(traffic.requests), _PARTS, seed)
    if by_task := folds.by_task(traffic.tasks):
        yield TASK_SPLIT, by_task


def _learners(traffic: Traffic, columns: Array, seed: int) -> Mapping[str, Learner]:
    target = traffic.target
    length = columns[:, [_LENGTH]]
    counted = tfidf.words(traffic.requests)
    chance = np.random.default_rng(seed).random(len(target))

    def ours(rows: Rows, others: Rows) -> Array:
        return classifier.train(columns[rows], target[rows], seed).scores(columns[others])

    def by_length(rows: Rows, others: Rows) -> Array:
        return logistic.fit(length[rows], target[rows], _LENGTH_PENALTY).scores(length[others])

    return {
        OURS: ours,
        "random": lambda _, others: chance[others],
        "length": by_length,
        "tf-idf": lambda rows, others: tfidf.scores(counted, target, rows, others),
        LABEL: lambda _, others: target[others],
    }
