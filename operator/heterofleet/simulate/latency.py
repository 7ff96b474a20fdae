"""Latency by load: what the event model of an engine says, kept as a table, so that days of minutes can be looked up.

    event model at a dozen steady loads -> LatencyTable -> what an instance carries within its objective
                                                        -> latencies of every request of a simulated run

The approximation: within a minute the load of an instance is steady, requests are spread evenly over the tier's
instances, and what waited from earlier minutes delays everybody by the fluid's backlog delay, which is added to the
time to the first token. It leaves out what a burst of seconds does beyond Poisson's, and the prefix cache. Between two
loads of the table requests are a mixture of both. tests/simulate/test_latency.py holds it to the event model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heterofleet.api.scaling import Objective
from heterofleet.simulate import steady
from heterofleet.simulate.profile import Profile
from heterofleet.simulate.trace import Floats

QUANTILES: Final = (0.5, 0.95, 0.99)

_SHARES: Final = (0.02, 0.15, 0.3, 0.45, 0.55, 0.65, 0.72, 0.79, 0.85, 0.89, 0.92, 0.95)
"""Loads of the table, in shares of what the engine finishes while more waits than it can take."""

_DELAYED_SAMPLES: Final = 100
"""Requests that stand for those of a minute that was delayed; all of the table's do in other minutes."""

_BEST_EFFORT: Final = 0.85
"""Share of saturation that is planned with where no load meets the objective."""

_AT_ONCE_SECONDS: Final = 1e-3


class Capacity(NamedTuple):
    """Work tokens a second of one instance; `within_objective` is False where not even an idle one meets it."""

    work_tokens_per_second: float
    within_objective: bool


@dataclass(frozen=True, slots=True)
class Met:
    """What the requests of a class met. Seconds at `QUANTILES`; NaN where there were none."""

    first: tuple[float, ...]
    between: tuple[float, ...]
    missed_share: float
    """Share of requests that missed their objective, in time to the first token or between tokens."""


@dataclass(frozen=True, slots=True)
class LatencyTable:
    """Rows are loads of one instance in work tokens a second, rising; columns are sampled requests."""

    loads: Floats
    first: Floats
    between: Floats
    saturation: float

    def attained(self, objective: Objective) -> Floats:
        """Share of requests within the objective, by load."""
        attained: Floats = 1.0 - _missed(self.first, self.between, objective).mean(axis=1)
        return attained

    def capacity(self, objective: Objective) -> Capacity:
        """The highest load at which the asked share of requests is within the objective."""
        attained = np.minimum.accumulate(self.attained(objective))
        if attained[0] < objective.attainment:
            return Capacity(_BEST_EFFORT * self.saturation, within_objective=False)
        # np.interp wants rising points.
        found = np.interp(-objective.attainment, -attained, self.loads)
        return Capacity(float(found if attained[-1] < objective.attainment else self.loads[-1]), within_objective=True)

    def met(self, load: Floats, requests: Floats, delay: Floats, objective: Objective) -> Met:
        """What requests meet, minute by minute: load of one instance, how many, and seconds that they wait before."""
        if float(requests.sum()) <= 0:
            return Met((np.nan,) * len(QUANTILES), (np.nan,) * len(QUANTILES), 0.0)
        at_once = delay < _AT_ONCE_SECONDS
        by_load = self._shares(load[at_once], requests[at_once])
        late = ~at_once & (requests > 0)
        rows = np.abs(load[late, None] - self.loads[None, :]).argmin(axis=1)
        picked = np.linspace(0, self.first.shape[1] - 1, _DELAYED_SAMPLES).astype(int)
        first = np.concatenate([self.first.ravel(), (self.first[rows][:, picked] + delay[late, None]).ravel()])
        between = np.concatenate([self.between.ravel(), self.between[rows][:, picked].ravel()])
        weights = np.concatenate([
            np.repeat(by_load / self.first.shape[1], self.first.shape[1]),
            np.repeat(requests[late] / _DELAYED_SAMPLES, _DELAYED_SAMPLES),
        ])  # fmt: skip
        missed = float(weights @ _missed(first, between, objective)) / float(weights.sum())
        return Met(_quantiles(first, weights, QUANTILES), _quantiles(between, weights, QUANTILES), missed)

    def _shares(self, load: Floats, requests: Floats) -> Floats:
        """Requests at each load of the table; one between two loads counts for both, by its distance."""
        place = np.interp(load, self.loads, np.arange(len(self.loads)))
        low = np.minimum(place.astype(int), len(self.loads) - 2)
        upper = place - low
        counts = np.bincount(low, weights=requests * (1 - upper), minlength=len(self.loads))
        above = np.bincount(low + 1, weights=requests * upper, minlength=len(self.loads))
        return (counts + above).astype(np.float64)


def table(
    profile: Profile, prompt_tokens: float, output_tokens: float, prompt_weight: float, seed: int
) -> LatencyTable:
    """Run the event model at every load of the table, with requests of these mean lengths."""
    drawn = steady.draw(profile, prompt_tokens, output_tokens, seed)
    most = steady.saturation(profile, drawn)
    rates = [share * most for share in _SHARES]
    runs = [steady.times(profile, drawn, rate) for rate in rates]
    work = drawn.work(prompt_weight)
    return LatencyTable(
        loads=np.array(rates) * work,
        first=np.array([run.first for run in runs]),
        between=np.array([run.between for run in runs]),
        saturation=most * work,
    )


def _missed(first: Floats, between: Floats, objective: Objective) -> NDArray[np.bool_]:
    return (first > objective.ttft_seconds) | (between > objective.inter_token_seconds)


def _quantiles(values: Floats, weights: Floats, quantiles: Sequence[float]) -> tuple[float, ...]:
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    places = np.searchsorted(below, np.array(quantiles) * below[-1])
    return tuple(float(values[order[min(place, len(values) - 1)]]) for place in places)
