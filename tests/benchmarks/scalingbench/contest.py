"""One tier: the product's curve by quantile against the best HPA in hindsight, and the harness's own check.

The product is asked in one default configuration, of which only the quantile moves. The HPA may choose, for each trace
and share, among all targets and scale-down windows with the whole trace before it. Both curves are linear between their
settings, so that neither gains by a finer grid.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.scalingbench import curve, fields
from benchmarks.scalingbench.traces import Trace
from heterofleet.api.labels import Tier
from heterofleet.simulate import oracle
from heterofleet.simulate.fluid import Independent, Load, Pool, Run, TierPolicy, run
from heterofleet.simulate.peers import Hpa, LastValue, QueueTarget, StaticPeak
from heterofleet.simulate.planned import Planned, Remembered

TARGETS: Final = tuple(target / 100 for target in range(40, 100, 5))
WINDOWS: Final = (0, 300, 900)

PUBLISHED: Final = {
    ("m-large", 20): (1.40, 3.3),
    ("m-small", 20): (1.43, 3.0),
    ("m-large", 5): (1.34, None),
    ("m-small", 5): (1.36, None),
}
"""Of scaling.md: GPU-hours over the oracle of an HPA at 70 % with a window of 5 minutes, and of the static peak."""

CLOSE: Final = 0.05

Named = tuple[tuple[str, Run], ...]


@dataclass(frozen=True)
class Contest:
    """All runs over one trace at one mean demand."""

    trace: Trace
    mean: int
    product: Named
    hpas: Mapping[int, Named]
    others: Mapping[str, Run]

    def over_best_hpa(self, share: float, part: slice) -> float:
        """GPU-hours at this share of violating minutes over those of the best HPA."""
        best = curve.best_at((curve.points(runs, part) for runs in self.hpas.values()), share)
        return curve.hours_at(curve.points(self.product, part), share) / best

    def over_oracle(self, run_: Run, part: slice) -> float:
        return run_.within(part).gpu_hours / self.others["oracle"].within(part).gpu_hours


def hold(trace: Trace, mean: int) -> Contest:
    """Run every policy over the trace."""
    own = fields.pool(trace, mean)
    return Contest(trace, mean, _product(trace, own), _hpas(trace, own), _others(trace, own))


def unlike_published(contest: Contest) -> tuple[str, ...]:
    """Where the harness differs by more than 0.05 from what scaling.md has measured; empty where it may be believed."""
    found = []
    hpa, peak = PUBLISHED.get((contest.trace.name, contest.mean), (None, None))
    whole = slice(None)
    for name, wanted in (("hpa 70 %", hpa), ("static peak", peak)):
        measured = contest.over_oracle(contest.others[name], whole)
        if wanted is not None and abs(measured - wanted) > CLOSE:
            found.append(f"{contest.trace.name} at {contest.mean}: {name} {measured:.3f}, not {wanted}")
    return tuple(found)


def _product(trace: Trace, own: Pool) -> Named:
    tier, other = (Tier.SMALL, Tier.LARGE) if trace.small else (Tier.LARGE, Tier.SMALL)
    minutes = len(trace.work)
    pools = {each: own if each is tier else Pool(own.capacity, 1, first=0) for each in Tier}
    work = {each: trace.work if each is tier else np.zeros(minutes) for each in Tier}
    load = Load(work, {tier: trace.seen})
    made = fields.forecasts(trace)
    named = []
    for quantile in fields.QUANTILES:
        foresight = Remembered({tier: made[quantile], other: fields.no_load(minutes)})
        policy = Planned(fields.spec(quantile), pools, foresight)
        named.append((f"{quantile:g}", run(load, pools, policy)))
    return tuple(named)


def _hpas(trace: Trace, own: Pool) -> dict[int, Named]:
    return {
        window: tuple((f"{t:.0%} {window} s", alone(trace, own, Hpa(own.capacity, t, window))) for t in TARGETS)
        for window in WINDOWS
    }


def _others(trace: Trace, own: Pool) -> dict[str, Run]:
    peak = int(oracle.needed(trace.work, own.capacity).max())
    known = oracle.schedule(trace.work, own)
    at_peak = Pool(own.capacity, own.startup_minutes, peak)
    return {
        "oracle": alone(trace, Pool(own.capacity, own.startup_minutes, int(known[0])), oracle.Oracle(known)),
        "static peak": alone(trace, at_peak, StaticPeak(peak)),
        "hpa 70 %": alone(trace, own, Hpa(own.capacity, 0.7)),
        "keda 70 %": alone(trace, own, QueueTarget(own.capacity)),
        "last value": alone(trace, own, LastValue(own.capacity)),
    }


def alone(trace: Trace, own: Pool, policy: TierPolicy) -> Run:
    """One tier under a policy of its own."""
    tier = Tier.SMALL if trace.small else Tier.LARGE
    return run(fields.load({tier: trace}), {tier: own}, Independent({tier: policy}))
