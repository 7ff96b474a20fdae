"""Who follows a load with the fewest GPU-hours, at equal violations: the product, Kubernetes, KEDA, and the oracle.

The harness first runs what scaling.md has measured and says where it differs. Figures are of all days but the last
three, which nobody looked at while the forecast was made, and of those three apart (`_last3days`).

    --trace FILE     another trace of the columns model, minute, requests, input_tokens, output_tokens
    --days N         only the first N days, and none apart
    --variants       the contest also on the days reversed and shuffled, and on the real ten-minute totals
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.figures import Breakdown, Report
from benchmarks.scalingbench import command, contest, joint, mixed, tables, traces
from benchmarks.scalingbench.contest import Contest
from benchmarks.scalingbench.curve import SHARES, geometric_mean
from benchmarks.scalingbench.traces import Trace
from heterofleet.planning.series import DAY

OUT: Final = Path("build/bench")
MEANS: Final = (20, 5)
LAST: Final = 3

_ENDS: Final = (
    "where even quantile 0.5, the lowest that a fleet takes, violates less than the share, its hours are taken"
)


def main() -> int:
    options = _options()
    began = time.monotonic()
    pools = traces.minutes(options.trace)
    pools = tuple(trace.first(options.days) for trace in pools) if options.days else pools
    periods = _periods(pools[0], apart=not options.days)
    report = Report("scaling", ["make bench-scaling"], [_ENDS])
    try:
        _contests(report, pools, periods)
        large, small = _pair(pools)
        _joint(report, large, small, periods[""])
        _mixed(report, large, small, periods[""])
        if options.variants:
            _variants(report, pools, options.days)
        command.add(report)
    finally:
        report.notes.append(f"all of it took {time.monotonic() - began:.0f} s")
        report.write(OUT)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.scaling", description=__doc__)
    parser.add_argument("--trace", type=Path, default=traces.MINUTES)
    parser.add_argument("--days", type=int, default=0)
    parser.add_argument("--variants", action="store_true")
    return parser.parse_args()


def _periods(trace: Trace, apart: bool) -> dict[str, slice]:
    """The minutes of each kind of figure, by what its name ends with."""
    days = len(trace.work) // DAY
    if not apart or days <= LAST:
        return {"": slice(None)}
    return {"": slice(0, (days - LAST) * DAY), "_last3days": slice((days - LAST) * DAY, None)}


def _pair(pools: tuple[Trace, ...]) -> tuple[Trace, Trace]:
    """The pools of plan and act: the first large and the first small one, or else the first and the last."""
    large = next((trace for trace in pools if not trace.small), pools[0])
    return large, next((trace for trace in pools if trace.small), pools[-1])


def _contests(report: Report, pools: tuple[Trace, ...], periods: dict[str, slice]) -> None:
    ratios: dict[str, list[float]] = {ending: [] for ending in periods}
    for trace in pools:
        for mean in MEANS:
            _say(f"{trace.name} at a mean of {mean} instances")
            held = contest.hold(trace, mean)
            for difference in contest.unlike_published(held):
                report.notes.append(f"NOT as published: {difference}")
            for ending, part in periods.items():
                ratios[ending] += _ratios(report, held, ending, part)
            report.breakdowns += tables.of_contest(held, periods[""])
    for ending, found in ratios.items():
        report.add(f"gpu_hours_over_best_hpa_geomean{ending}", geometric_mean(found), "x", 1.0)


def _ratios(report: Report, held: Contest, ending: str, part: slice) -> list[float]:
    found = [held.over_best_hpa(share, part) for share in SHARES]
    for share, ratio in zip(SHARES, found, strict=True):
        name = f"gpu_hours_over_best_hpa_{held.trace.name}_{held.mean}_{share * 100:g}{ending}"
        missing = None if ratio == ratio else "no setting of one of them violates that little"  # noqa: PLR0124 (nan)
        report.add(name, ratio if missing is None else -1.0, "x", 1.03, invalid=missing)
    return [ratio for ratio in found if ratio == ratio]  # noqa: PLR0124 (nan)


def _joint(report: Report, large: Trace, small: Trace, part: slice) -> None:
    _say("both tiers as one fleet")
    held = joint.hold(large, small)
    setting, chosen = held.chosen(part)
    share = chosen.violating_share
    report.notes.append(f"joint: at quantile {setting}, the least at which few enough minutes violate")
    report.add("joint_gpu_hours_over_oracle", held.over_oracle(chosen.gpu_hours, part), "x", 1.30)
    report.add("joint_violating_share", share, "of minutes", joint.MOST_VIOLATING)
    hpa_hours = held.hpa.within(part).gpu_hours
    report.add("joint_hpa70_gpu_hours_over_oracle", held.over_oracle(hpa_hours, part), "x", None)
    for what in held.without:
        hours, reached = held.hours_without(what, share, part)
        if reached > share:
            report.notes.append(f"joint without {what}: no quantile violates less than {reached:.2%}, taken there")
        report.add(f"joint_gpu_hours_over_oracle_without_{what}", held.over_oracle(hours, part), "x", None)
    report.breakdowns += tables.of_joint(held, part)
    under = joint.bound(held.fleet)
    served = under.product.within(part).within_objective / under.best.within(part).within_objective
    report.add("bound_budget_served_over_hpa", served, "x", 1.0, better="higher")
    report.breakdowns.append(tables.of_bound(under, part))


def _mixed(report: Report, large: Trace, small: Trace, part: slice) -> None:
    _say("mixed against all-large")
    cases = mixed.hold(large, small)
    figure = next(case for case in cases if (case.steps, case.escalation_rate) == mixed.FIGURE)
    report.add("mixed_cost_over_all_large", figure.cost_ratio(part), "x", None)
    report.breakdowns.append(tables.of_mixed(cases, part))


def _variants(report: Report, pools: tuple[Trace, ...], days: int) -> None:
    """Whether the same holds where nobody can have tuned for it."""
    others = [variant for trace in pools for variant in trace.variants()]
    others += [trace.first(days) if days else trace for trace in traces.ten_minutes()]
    lines = []
    for trace in others:
        for mean in MEANS:
            _say(f"{trace.name} at a mean of {mean} instances")
            held = contest.hold(trace, mean)
            ratios = (held.over_best_hpa(share, slice(None)) for share in SHARES)
            lines.append((f"{trace.name}, {mean}", *(f"{ratio:.3f}" for ratio in ratios)))
    columns = ("variant, mean", *(f"at {share:.0%}" for share in SHARES))
    report.breakdowns.append(
        Breakdown("GPU-hours over the best HPA, other orders of the same days", columns, tuple(lines))
    )


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
