"""The rival that reads words: hashed tf-idf with a logistic model, as a router without features of its own would do.

Words fall into a fixed number of buckets; a row is tf x log(rows / rows that have the word), scaled to length 1. The
matrix is sparse and kept as three vectors, whose products are sums by bucket. The loss is that of `logistic` without
standardisation, minimised by Nesterov's accelerated gradient descent: rows of length 1 bound its curvature.
"""

import re
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heterofleet.router.openai import Request
from heterofleet.training.folds import Rows
from heterofleet.training.logistic import sigmoid
from heterofleet.training.traffic import Array

_BUCKETS: Final = 2**15
_STEPS: Final = 150
_CURVATURE: Final = 0.5
"""Of the loss at most: a quarter of the squared length of a row, its constant 1 for the bias included."""

_WORD: Final = re.compile(r"\w+|[^\w\s]")


class Words(NamedTuple):
    """Counts of words: `times[i]` of bucket `bucket[i]` in row `row[i]`."""

    rows: int
    row: NDArray[np.intp]
    bucket: NDArray[np.intp]
    times: Array

    def of(self, rows: Rows) -> "Words":
        """Those of some rows, numbered anew in the order given."""
        place = np.full(self.rows, -1)
        place[rows] = np.arange(len(rows))
        kept = place[self.row] >= 0
        return Words(len(rows), place[self.row[kept]], self.bucket[kept], self.times[kept])


def words(requests: Sequence[Request]) -> Words:
    """Counted once for all folds. The hash is CRC-32, for Python's own differs from process to process."""
    counted = [
        Counter(zlib.crc32(word.encode("utf-8", "replace")) % _BUCKETS for word in _WORD.findall(_text(request)))
        for request in requests
    ]
    row = np.repeat(np.arange(len(counted)), [len(counts) for counts in counted])
    bucket = np.array([key for counts in counted for key in counts], dtype=np.intp)
    times = np.array([value for counts in counted for value in counts.values()], dtype=float)
    return Words(len(counted), row, bucket, times)


def _text(request: Request) -> str:
    return "\n".join(message.text for message in request.messages).lower()


def scores(counted: Words, target: Array, rows: Rows, others: Rows) -> Array:
    """Learn from `rows` and score `others`."""
    known = counted.of(rows)
    rarity = np.log(len(rows) / np.maximum(np.bincount(known.bucket, minlength=_BUCKETS), 1))
    weights, bias = _descend(_weighted(known, rarity), target[rows])
    return sigmoid(_product(_weighted(counted.of(others), rarity), weights) + bias)


def _weighted(counted: Words, rarity: Array) -> Words:
    values = counted.times * rarity[counted.bucket]
    length = np.sqrt(np.bincount(counted.row, weights=values**2, minlength=counted.rows))
    return counted._replace(times=values / np.where(length > 0, length, 1.0)[counted.row])


def _product(matrix: Words, weights: Array) -> Array:
    sums = np.bincount(matrix.row, weights=matrix.times * weights[matrix.bucket], minlength=matrix.rows)
    return sums.astype(float)


def _descend(matrix: Words, target: Array) -> tuple[Array, float]:
    """Weights of the buckets, and the bias. The penalty is scikit-learn's default: 1 / rows of the mean loss."""
    rows, penalty = matrix.rows, 1 / matrix.rows
    rate = 1 / (_CURVATURE + penalty)
    found, ahead = np.zeros(_BUCKETS + 1), np.zeros(_BUCKETS + 1)
    momentum = 1.0
    for _ in range(_STEPS):
        error = (sigmoid(_product(matrix, ahead[:-1]) + ahead[-1]) - target) / rows
        slope = np.bincount(matrix.bucket, weights=matrix.times * error[matrix.row], minlength=_BUCKETS)
        step = rate * np.append(slope + penalty * ahead[:-1], error.sum())
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        stepped = ahead - step
        ahead = stepped + (momentum - 1) / following * (stepped - found)
        found, momentum = stepped, following
    return found[:-1], float(found[-1])
