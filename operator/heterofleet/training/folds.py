"""Parts the traffic so that every request is scored by a model that has not seen it.

`random` tells how good a model is on traffic like that it learned from, `by_task` how good on tasks that are new to it.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from heterofleet.training.traffic import Array

Rows = NDArray[np.intp]
Learner = Callable[[Rows, Rows], Array]
"""Learns from some rows and returns the scores of others."""


def random(rows: int, parts: int, seed: int) -> tuple[Rows, ...]:
    """Parts of equal size, drawn by chance."""
    return tuple(np.array_split(np.random.default_rng(seed).permutation(rows), parts))


def by_task(tasks: Sequence[str]) -> tuple[Rows, ...]:
    """One part a task, in the order of their names; none where there are not at least two."""
    names = sorted(set(tasks))
    each = np.array(tasks)
    return tuple(np.flatnonzero(each == name) for name in names) if len(names) > 1 else ()


def held_out(parts: Sequence[Rows], learn: Learner) -> Array:
    """The score of every row, from what was learned of all parts but its own."""
    scores = np.empty(sum(len(part) for part in parts))
    for number, part in enumerate(parts):
        others = np.concatenate([other for index, other in enumerate(parts) if index != number])
        scores[part] = learn(np.sort(others), part)
    return scores
