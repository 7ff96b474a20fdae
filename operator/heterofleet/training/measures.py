"""What scores are worth against what small and large models really scored.

accuracy  share of (request, small model) pairs for which "score >= 0.5" says whether the model was enough
AUC       chance that a request for which a small model was enough has a higher score than one for which it was not;
          mean over the small models
APGR      average performance gap recovered, of RouteLLM (Ong et al. 2024, arXiv:2406.18665, section on metrics).
          Sending the share c of requests with the lowest scores to the large model reaches the mean quality q(c), and

              PGR(c) = (q(c) - q(0)) / (q(1) - q(0)),   APGR = integral of PGR over c from 0 to 1

          by the trapezoid rule; requests of equal score go together, as in random order. Random scores get 0.5.
          Mean over the pairs whose large model is better by at least 0.05: the formula divides by that gap.
          PGR at one threshold is that at c = share of the requests with a lower score, mean over the same pairs.
ECE       expected calibration error: in ten equal bins of the score, |mean score - share that was enough|, weighted
Brier     mean of (score - enough)^2 over (request, small model) pairs
"""

import itertools
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from heterofleet.training.traffic import ENOUGH, Array, Traffic

_BINS: Final = 10
_SMALLEST_GAP: Final = 0.05


class Measures(NamedTuple):
    """`apgr` is None where no large model is better than a small one."""

    accuracy: float
    auc: float
    apgr: float | None
    ece: float
    brier: float


class Cut(NamedTuple):
    """What one threshold does: `plan` is the share of requests below it, `pgr` is None as `apgr` is."""

    threshold: float
    plan: float
    accuracy: float
    pgr: float | None


def cut(threshold: float, scores: Array, traffic: Traffic) -> Cut:
    """What becomes of requests with these scores."""
    plan = scores < threshold
    found = [float((large - small)[plan].sum() / (large - small).sum()) for small, large in _pairs(traffic)]
    return Cut(
        threshold,
        plan=float(plan.mean()),
        accuracy=float((~plan[:, None] == (traffic.enough == 1)).mean()),
        pgr=float(np.mean(found)) if found else None,
    )


def of(scores: Array, traffic: Traffic) -> Measures:
    """All of them, for one score a request."""
    enough = traffic.enough
    return Measures(
        accuracy=float(((scores >= ENOUGH)[:, None] == (enough == 1)).mean()),
        auc=_mean_auc(scores, enough),
        apgr=_mean_apgr(scores, traffic),
        ece=calibration_error(scores, traffic.target),
        brier=float(((scores[:, None] - enough) ** 2).mean()),
    )


def _mean_auc(scores: Array, enough: Array) -> float:
    told = [labels for labels in enough.T if labels.min() != labels.max()]
    return float(np.mean([auc(scores, labels) for labels in told]))


def auc(scores: Array, labels: Array) -> float:
    """By ranks (Mann-Whitney), equal scores sharing theirs; `labels` are 0 and 1, both of them present."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positive = labels.sum()
    wins = ranks[labels == 1].sum() - positive * (positive + 1) / 2
    return float(wins / (positive * (len(labels) - positive)))


def _mean_apgr(scores: Array, traffic: Traffic) -> float | None:
    found = [apgr(scores, small, large) for small, large in _pairs(traffic)]
    return float(np.mean(found)) if found else None


def _pairs(traffic: Traffic) -> Iterator[tuple[Array, Array]]:
    """The scores of each small model beside those of each large one that is better."""
    for small, large in itertools.product(traffic.small.T, traffic.large.T):
        if large.mean() - small.mean() >= _SMALLEST_GAP:
            yield small, large


def apgr(scores: Array, small: Array, large: Array) -> float:
    """Of one pair of models; `small` and `large` are their scores, whose means differ."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    gains = np.bincount(place, weights=large - small)
    recovered = np.concatenate([[0.0], np.cumsum(gains)]) / (large - small).sum()
    return float(((recovered[1:] + recovered[:-1]) / 2) @ counts / len(scores))


def calibration_error(scores: Array, target: Array) -> float:
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    surplus = np.bincount(bins, weights=scores - target, minlength=_BINS)
    return float(np.abs(surplus).sum() / len(scores))
