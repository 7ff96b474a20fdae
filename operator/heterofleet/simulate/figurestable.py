"""The figures of a simulation as rows of text, for the terminal's table and for the page alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from heterofleet.api.labels import Tier
from heterofleet.planning.situation import CLASS_OF
from heterofleet.simulate.report import Figures
from heterofleet.simulate.study import Case


@dataclass(frozen=True, slots=True)
class Rows:
    """Titles, and a row of cells for each policy or tier; the first column is a name."""

    titles: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]


def policies(found: Sequence[Figures]) -> Rows:
    """What each policy held, and what was late; columns that nobody has a figure for are left out."""
    return _rows([_policy(each) for each in found])


def latencies(found: Sequence[Figures]) -> Rows:
    """What requests of both classes felt under each policy."""
    return _rows([_latency(each) for each in found])


def tiers(case: Case) -> Rows:
    """What each tier was played by."""
    rows = [_tier(case, tier) for tier in case.pools]
    return Rows(tuple(rows[0]), tuple(tuple(row.values()) for row in rows))


def _policy(found: Figures) -> dict[str, str]:
    return {
        "POLICY": found.policy,
        "GPU-HOURS": f"{found.all_gpu_hours:,.0f}",
        "USD": "-" if found.usd is None else f"{found.usd:,.0f}",
        "/ORACLE": "-" if found.over_oracle is None else f"{found.over_oracle:.2f}",
        "VIOLATING MINUTES": percent(found.violating_minutes),
        "VIOLATING WORK": percent(found.violating_work),
        "DELAY P95": seconds(found.delays[1]),
        "DELAY P99": seconds(found.delays[2]),
        "CHANGES": f"{found.changes:,}",
    }


def _latency(found: Figures) -> dict[str, str]:
    row = {"POLICY": found.policy}
    for tier, met in found.met.items():
        name = str(CLASS_OF[tier]).upper()
        row |= {
            f"{name} TTFT P50": seconds(met.first[0]),
            f"{name} TTFT P99": seconds(met.first[2]),
            f"{name} ITL P99": seconds(met.between[2]),
            f"{name} MISSED": percent(met.missed_share),
        }
    return row


def _rows(rows: Sequence[dict[str, str]]) -> Rows:
    titles = [title for title in rows[0] if any(row[title] != "-" for row in rows)]
    return Rows(tuple(titles), tuple(tuple(row[title] for title in titles) for row in rows))


def _tier(case: Case, tier: Tier) -> dict[str, str]:
    engine, capacity, pool = case.engines[tier], case.capacities[tier], case.pools[tier]
    prompt, output = case.trace.classes[CLASS_OF[tier]].mean_tokens()
    work, objective = case.load.arriving[tier], case.spec.tier(tier).objective
    beyond = "" if capacity.within_objective else " (objective not met)"
    return {
        "TIER": str(tier),
        "CLASS": str(CLASS_OF[tier]),
        "ENGINE": engine.profile.name,
        "GPUS": str(engine.gpus),
        "STARTS IN": seconds(engine.startup_seconds),
        "CARRIES": f"{capacity.work_tokens_per_second:,.0f} work tokens/s{beyond}",
        "OBJECTIVE": f"{objective.attainment:.0%} in {objective.ttft_seconds:g} s, {objective.inter_token_seconds:g} s",
        "PROMPT": f"{prompt:,.0f}",
        "ANSWER": f"{output:,.0f}",
        "NEEDED ON AVERAGE": f"{float(work.mean()) / pool.capacity:.1f}",
        "AT MOST": f"{float(work.max(initial=0.0)) / pool.capacity:.1f}",
    }


def percent(share: float) -> str:
    if 0 < share < 5e-5:
        return "< 0.01 %"
    return f"{100 * share:.2f} %"


def seconds(value: float) -> str:
    """Three digits of a time, in the unit that people would use."""
    if not isfinite(value):
        return "-"
    if value < 0.0005:
        return "0 s"
    if value < 1:
        return f"{1000 * value:.0f} ms"
    if value < 600:
        return f"{value:.3g} s"
    return f"{value / 60:.0f} min" if value < 36_000 else f"{value / 3600:.0f} h"
