"""How much must be added to a level so that it covers what comes: a conformal margin, calibrated on its own errors.

For each candidate a histogram of log(what came / the level before) is kept, in which an error weighs half as much after
`HALF_LIFE` minutes. The margin at a quantile is that quantile of the histogram (split conformal prediction, with
weights that fade as in Barber et al., "Conformal prediction beyond exchangeability", 2023), and the loss of a candidate
is the mean pinball loss that it has with its own margin:

    loss(q) = mean of q x max(0, e - m) + (1 - q) x max(0, m - e)        e an error, m the margin, both as logarithms

A prior of `PRIOR` errors about +10 % keeps the margin of a new fleet where a target utilisation of 70 % would have it.
"""

from typing import Final, NamedTuple

import numpy as np

from heterofleet.planning.series import Floats

HALF_LIFE: Final = 1440
PRIOR: Final = 100.0

_LOWEST: Final = -0.605
_HIGHEST: Final = 1.205
_WIDTH: Final = 0.01
_BINS: Final = round((_HIGHEST - _LOWEST) / _WIDTH)
_CENTRES: Final = _LOWEST + _WIDTH * (np.arange(_BINS) + 0.5)
_FADING: Final = 0.5 ** (1 / HALF_LIFE)
_PRIOR_MEAN, _PRIOR_SPREAD = 0.1, 0.15


class Calibration(NamedTuple):
    """By candidate: the margin and the median as factors of the level, and the loss at the asked quantile."""

    margins: Floats
    medians: Floats
    losses: Floats


class Errors:
    """The errors of `candidates` models."""

    def __init__(self, candidates: int) -> None:
        prior = np.exp(-0.5 * ((_CENTRES - _PRIOR_MEAN) / _PRIOR_SPREAD) ** 2)
        self._weights = np.tile(PRIOR * prior / prior.sum(), (candidates, 1)).astype(np.float32)

    def record(self, errors: Floats) -> None:
        """Add errors: one row a candidate, one column a minute, oldest first; logarithms of what came over the level.

        What lies outside the histogram counts at its edge, which is beyond every margin that may be given.
        """
        count = errors.shape[1]
        bins = np.clip((errors - _LOWEST) / _WIDTH, 0, _BINS - 1).astype(np.intp)
        fading = _FADING ** np.arange(count - 1, -1, -1)
        self._weights *= np.float32(_FADING**count)
        np.add.at(self._weights, (np.arange(len(errors))[:, None], bins), fading)

    def calibrate(self, quantile: float) -> Calibration:
        weights = self._weights.astype(np.float64)
        below = weights.cumsum(axis=1)
        total = below[:, -1]
        margin, at = _quantile(weights, below, quantile)
        median, _ = _quantile(weights, below, 0.5)
        moment = (weights * _CENTRES).cumsum(axis=1)
        rows = np.arange(len(weights))
        mass, mean = below[rows, at], moment[rows, at]
        above = (moment[:, -1] - mean) - (total - mass) * margin
        under = mass * margin - mean
        losses = (quantile * above + (1 - quantile) * under) / total
        return Calibration(np.exp(margin), np.exp(median), losses)


def _quantile(weights: Floats, below: Floats, quantile: float) -> tuple[Floats, Floats]:
    """The quantile of each row, linear within a bin, and the bin that it lies in."""
    wanted = quantile * below[:, -1]
    at = np.minimum((below < wanted[:, None]).sum(axis=1), _BINS - 1)
    rows = np.arange(len(weights))
    inside = weights[rows, at]
    share = np.divide(wanted - (below[rows, at] - inside), inside, out=np.ones(len(weights)), where=inside > 0)
    return _LOWEST + _WIDTH * (at + np.clip(share, 0.0, 1.0)), at
