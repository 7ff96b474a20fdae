"""Two tiers as one fleet: against the oracle, with each part switched off, and with fewer GPUs than it needs.

An instance of either tier takes one GPU, so that both weigh the same. The oracle is the sum of both tiers' own, and a
minute violates when either class's work is not carried in it. The GPU budget is the most that both tiers' work takes
together in any minute.

    without forecast   the last minute's work and a fixed headroom, the best one in hindsight
    without spill      idle large instances take no act work, neither in the plan nor in the minute
    without coupling   each tier may have its own peak's share of the same GPUs, and nothing of the other's
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from benchmarks.scalingbench import curve, fields
from benchmarks.scalingbench.contest import TARGETS, WINDOWS
from benchmarks.scalingbench.traces import Trace
from heterofleet.api.labels import Tier
from heterofleet.planning.situation import Forecast
from heterofleet.simulate import oracle
from heterofleet.simulate.fluid import Independent, Pool, Run, run
from heterofleet.simulate.peers import Hpa
from heterofleet.simulate.planned import Foresight, Planned, Remembered

MOST_VIOLATING: Final = 0.01
BINDING: Final = 0.8
_QUANTILES: Final = (0.95, 0.965, 0.975, 0.98, 0.985, 0.99, 0.993, 0.996)
_HEADROOMS: Final = (1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 1.4, 1.6)

Named = tuple[tuple[str, Run], ...]


@dataclass(frozen=True)
class Fleet:
    """Both tiers' traces and pools, and the GPUs that both take at most in one minute."""

    traces: Mapping[Tier, Trace]
    pools: Mapping[Tier, Pool]
    peak: int
    shares: Mapping[Tier, int]
    """The same GPUs, divided by each tier's own peak."""

    def oracle_hours(self, part: slice) -> float:
        known = (oracle.schedule(self.traces[tier].work, self.pools[tier])[part] for tier in Tier)
        return sum(float(counts.sum()) for counts in known) / 60.0


@dataclass(frozen=True)
class Joint:
    """The product's runs by quantile, and those with something switched off; HPA at 70 % on both tiers."""

    fleet: Fleet
    whole: Named
    without: Mapping[str, Named]
    hpa: Run

    def chosen(self, part: slice) -> tuple[str, Run]:
        """The least quantile at which few enough minutes violate."""
        runs = [(setting, made.within(part)) for setting, made in self.whole]
        return next((found for found in runs if found[1].violating_share <= MOST_VIOLATING), runs[-1])

    def over_oracle(self, hours: float, part: slice) -> float:
        return hours / self.fleet.oracle_hours(part)

    def hours_without(self, what: str, share: float, part: slice) -> tuple[float, float]:
        """GPU-hours without a part, and the share of violating minutes that they are for.

        That is the asked one, or the least that there is where no setting violates so little.
        """
        points = curve.points(self.without[what], part)
        reached = max(share, min(point.share for point in points))
        return curve.hours_at(points, reached), reached


def fleet(large: Trace, small: Trace, mean: int) -> Fleet:
    traces = {Tier.LARGE: large, Tier.SMALL: small}
    pools = {tier: fields.pool(trace, mean) for tier, trace in traces.items()}
    needs = {tier: oracle.needed(trace.work, pools[tier].capacity) for tier, trace in traces.items()}
    peak = int((needs[Tier.LARGE] + needs[Tier.SMALL]).max())
    peaks = {tier: int(need.max()) for tier, need in needs.items()}
    large_share = round(peak * peaks[Tier.LARGE] / sum(peaks.values()))
    return Fleet(traces, pools, peak, {Tier.LARGE: large_share, Tier.SMALL: peak - large_share})


def hold(large: Trace, small: Trace, mean: int = 20) -> Joint:
    """Run the product whole and without each part, and the HPA."""
    own = fleet(large, small, mean)
    foresights = {quantile: _foresight(own, quantile) for quantile in _QUANTILES}
    fixed = {headroom: _headroom(own, headroom) for headroom in _HEADROOMS}
    return Joint(
        own,
        whole=_sweep(own, foresights),
        without={
            "forecast": _sweep(own, fixed),
            "spill": _sweep(own, foresights, spill_over=False),
            "coupling": _sweep(own, foresights, quotas=True),
        },
        hpa=hpa(own, 0.7, 300, None),
    )


@dataclass(frozen=True)
class Bound:
    """What was served within objective under too few GPUs: by the product, by HPAs at 70 %, and by the best of HPAs."""

    gpus: int
    product: Run
    hpa70: Run
    best: Run
    best_setting: str


def bound(own: Fleet) -> Bound:
    gpus = int(BINDING * own.peak)
    product = _product(own, fields.DEFAULT_QUANTILE, _foresight(own, fields.DEFAULT_QUANTILE), True, False, gpus)
    hpas = {(target, window): hpa(own, target, window, gpus) for target in TARGETS for window in WINDOWS}
    target, window = max(hpas, key=lambda setting: hpas[setting].within_objective)
    return Bound(gpus, product, hpas[0.7, 300], hpas[target, window], f"{target:.0%}, {window} s")


def hpa(own: Fleet, target: float, window: int, gpus: int | None) -> Run:
    """Two HPAs that know nothing of each other, and the same GPUs for whoever asks first."""
    policies = {tier: Hpa(pool.capacity, target, window) for tier, pool in own.pools.items()}
    return run(fields.load(own.traces), own.pools, Independent(policies), gpu_budget=gpus)


def _sweep(own: Fleet, foresights: Mapping[float, Foresight], spill_over: bool = True, quotas: bool = False) -> Named:
    named = []
    for setting, foresight in foresights.items():
        quantile = min(setting, fields.DEFAULT_QUANTILE) if setting > 1 else setting
        named.append((f"{setting:g}", _product(own, quantile, foresight, spill_over, quotas, own.peak)))
    return tuple(named)


def _product(own: Fleet, quantile: float, foresight: Foresight, spill_over: bool, quotas: bool, gpus: int) -> Run:
    more: dict[str, Any] = {} if quotas else {"gpuBudget": gpus}
    spec = fields.spec(quantile, own.shares if quotas else None, spillOver=spill_over, **more)
    policy = Planned(spec, own.pools, foresight)
    return run(fields.load(own.traces), own.pools, policy, spill_over=spill_over, gpu_budget=gpus)


def _foresight(own: Fleet, quantile: float) -> Foresight:
    return Remembered({tier: fields.forecasts(trace)[quantile] for tier, trace in own.traces.items()})


def _headroom(own: Fleet, headroom: float) -> Foresight:
    return Remembered({tier: _last_values(trace, headroom) for tier, trace in own.traces.items()})


def _last_values(trace: Trace, headroom: float) -> Sequence[Forecast | None]:
    made: list[Forecast | None] = []
    last = Forecast(0.0, 0.0, 60.0, "LastValue", headroom, 1)
    for work, seen in zip((trace.work / 60.0).tolist(), trace.seen.tolist(), strict=True):
        last = replace(last, expected=work, upper=work * headroom) if seen else last
        made.append(last)
    return made
