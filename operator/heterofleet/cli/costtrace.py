"""A fleet of a file on a trace: the mixed fleet under the operator's own plan, and each model alone with all the work.

The fleets of one model follow the same forecast, of both classes' work together, by `recommend.alone`; they pay nothing
for escalations, since they do each step once. The small one alone is there to be compared in money: it does not answer
as well.
"""

import argparse
from math import isfinite
from typing import TYPE_CHECKING

from heterofleet.api.labels import Tier
from heterofleet.api.v1alpha1 import HeterogeneousDeployment
from heterofleet.cli import costsheet, simulate, simulatefleet
from heterofleet.cli.costsheet import ALL_LARGE, ALL_SMALL, MIXED, Sheet
from heterofleet.cli.errors import CliError, UsageError
from heterofleet.planning import catalogue

if TYPE_CHECKING:
    from heterofleet.simulate.fluid import Run
    from heterofleet.simulate.study import Case


def read(options: argparse.Namespace) -> Sheet:
    """Play the fleet that the options name. Raises UsageError and CliError."""
    fleet = simulatefleet.read(options.file, options.name, [])
    prices = {tier: _price(fleet, tier) for tier in Tier}
    case = _case(options, fleet)
    mixed = _mixed(case)
    hours = _hours(case, mixed)
    alone = {ALL_LARGE: Tier.LARGE, ALL_SMALL: Tier.SMALL}
    usd = {name: hours[name][tier] * prices[tier] for name, tier in alone.items()}
    usd[MIXED] = sum(hours[MIXED][tier] * prices[tier] for tier in Tier)
    days = case.load.minutes / 1440
    work = float(sum(series.sum() for series in case.load.arriving.values()))
    basis = f"Fleet {fleet.metadata.name} on {days:.3g} days of {options.trace}, simulated; tokens are work tokens."
    gpu_hours = {name: sum(each.values()) for name, each in hours.items()}
    return costsheet.of_trace(basis, costsheet.Played(gpu_hours, usd, days, work, mixed.violating_work_share))


def _price(fleet: HeterogeneousDeployment, tier: Tier) -> float:
    price = fleet.spec.tier(tier).usd_per_gpu_hour
    if price is None:
        raise UsageError(f"the fleet has no price of a GPU: set spec.{tier}.price.usdPerGpuHour, such as 2.2")
    return price


def _case(options: argparse.Namespace, fleet: HeterogeneousDeployment) -> "Case":
    try:
        from heterofleet.simulate import study, tierengine  # noqa: PLC0415  numpy takes its time
    except ImportError as exc:
        raise CliError(f"{exc.name} is not installed: pip install 'heterofleet[cli,simulate]'") from exc
    rate = options.escalation_rate or 0.0
    if not (isfinite(rate) and 0 <= rate <= 1):
        raise UsageError(f"--escalation-rate {rate:g}: give a share of steps from 0 to 1, such as 0.05 for 5 %")
    trace = simulate.trace(options, fleet.key)
    try:
        engines = {tier: tierengine.of(tier, fleet.spec.tier(tier), catalogue.load()) for tier in Tier}
    except tierengine.UnknownEngine as exc:
        raise UsageError(str(exc)) from exc
    weight = study.Wanted().prompt_weight if options.prompt_weight is None else options.prompt_weight
    wanted = study.Wanted(prompt_weight=weight, escalation_rate=rate)
    return study.prepare(fleet.spec, trace, engines, wanted, lambda _: None)


def _mixed(case: "Case") -> "Run":
    """The fleet under the operator's own plan."""
    from heterofleet.simulate import study  # noqa: PLC0415  as in `_case`
    from heterofleet.simulate.policies import Choice, Kind  # noqa: PLC0415

    return study.play(case, Choice(Kind.PLANNED), lambda _: None).run


def _hours(case: "Case", mixed: "Run") -> dict[str, dict[Tier, float]]:
    """GPU-hours by tier of each way of serving."""
    import numpy as np  # noqa: PLC0415  as in `_case`

    from heterofleet.planning import forecast  # noqa: PLC0415  as in `_case`
    from heterofleet.recommend import alone, trials  # noqa: PLC0415  as in `_case`
    from heterofleet.simulate.trace import MINUTE_SECONDS  # noqa: PLC0415

    found = {MIXED: mixed.gpu_hours_by_tier()}
    work = np.sum(list(case.load.arriving.values()), axis=0)
    quantile = case.spec.scaling.forecast.quantile
    for name, tier in ((ALL_LARGE, Tier.LARGE), (ALL_SMALL, Tier.SMALL)):
        pool = case.pools[tier]
        window = forecast.window_seconds(pool.startup_minutes * MINUTE_SECONDS, MINUTE_SECONDS)
        planned = trials.planned_for(trials.foreseen(work, window, (quantile,))[quantile], work)
        counts = alone.counts(planned, pool.capacity, case.spec.tier(tier).instances.min)
        found[name] = {tier: alone.run(tier, work, counts, pool).gpu_hours}
    return found
