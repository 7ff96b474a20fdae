"""Figures and their targets (issue "The router", "Must reach"), from what was measured."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.figures import Breakdown, Report
from benchmarks.routerbench import curve, rows
from benchmarks.routerbench.curve import Point
from benchmarks.routerbench.field import (
    CACHE_AWARE,
    DEFAULT,
    DEFAULT_ACT,
    DIRECT,
    LEAN,
    NGINX,
    POWER_OF_TWO,
)
from benchmarks.routerbench.latency import Added
from benchmarks.routerbench.ours import Ours
from benchmarks.routerbench.resting import Rest
from benchmarks.routerbench.rows import Row
from benchmarks.routerbench.streams import Streamed

_ROWS_AGAINST: Final = (
    ("rps_1kb_over_vllm_router_power_of_two", DEFAULT, POWER_OF_TWO, 1.0),
    ("rps_1kb_act_over_vllm_router_power_of_two", DEFAULT_ACT, POWER_OF_TWO, None),
    ("rps_1kb_lean_over_vllm_router_power_of_two", LEAN, POWER_OF_TWO, 1.2),
    ("rps_1kb_lean_over_nginx", LEAN, NGINX, 0.45),
)
_OURS: Final = (DEFAULT, DEFAULT_ACT)


@dataclass(frozen=True)
class Rows:
    """The rows of one kind of load by name, and what was found of the default router after its end."""

    by_name: dict[str, Row]
    log_faults: Sequence[str] = field(default_factory=tuple)

    def invalid(self, name: str) -> str | None:
        """Why a row does not count, in one sentence."""
        row = self.by_name[name]
        reasons = rows.invalid(row, self.by_name[DIRECT]) if name != DIRECT else list(row.faults)
        if name in _OURS:
            reasons += self.log_faults
        return "; ".join(reasons) or None

    def breakdown(self, title: str) -> Breakdown:
        """A line a system."""
        lines = tuple(self._line(name, row) for name, row in self.by_name.items())
        return Breakdown(title, ("system", "requests/s", "CPU us a request", "core busy", "counts"), lines)

    def _line(self, name: str, row: Row) -> tuple[str, ...]:
        why = self.invalid(name)
        per_second = rows.spread([run.per_second for run in row.runs])
        if name == DIRECT:
            return name, per_second, "", "", why or ""
        cpu = rows.spread([run.cpu_us for run in row.runs], 1)
        return name, per_second, cpu, f"{row.busy:.1%}", "yes" if why is None else f"INVALID: {why}"


def log_faults(router: Ours) -> list[str]:
    """Where the access log has another number of lines than requests have ended."""
    if router.last is not None and router.lines == router.last.ended:
        return []
    ended = router.last.ended if router.last is not None else "an unknown number of"
    return [f"{ended} requests ended and {router.lines} are in the access log"]


def add_rows(report: Report, small: Rows, affine: Rows) -> None:
    for name, one, other, target in _ROWS_AGAINST:
        _add_ratio(report, name, small, one, other, target)
    _add_cost_ratio(report, small)
    default = small.by_name[DEFAULT]
    cpu = [run.cpu_us for run in default.runs]
    report.add("cpu_us_per_request", default.cpu_us, "us", None, cpu, invalid=small.invalid(DEFAULT))
    _add_ratio(report, "rps_8kb_affinity_over_vllm_router_cache_aware", affine, DEFAULT, CACHE_AWARE, 2.0)
    report.breakdowns += [small.breakdown("1 KB bodies"), affine.breakdown("8 KB prompts, affinity")]


def _add_ratio(report: Report, name: str, found: Rows, one: str, other: str, target: float | None) -> None:
    if other not in found.by_name:
        report.notes.append(f"{name} is missing: {other} could not be had here")
        return
    samples = rows.ratios(found.by_name[one], found.by_name[other])
    reasons = [f"{row}: {why}" for row in (one, other) if (why := found.invalid(row)) is not None]
    report.add(
        name, statistics.median(samples), "x", target, samples, better="higher", invalid="; ".join(reasons) or None
    )


def _add_cost_ratio(report: Report, found: Rows) -> None:
    """What lean is worth beside nginx, which the load may not keep busy."""
    lean, nginx = found.by_name[LEAN], found.by_name[NGINX]
    wrong = "; ".join([*rows.wrong(lean), *rows.wrong(nginx)]) or None
    samples = rows.cost_ratios(lean, nginx)
    report.add(
        "cpu_1kb_nginx_over_lean", statistics.median(samples), "x", None, samples, better="higher", invalid=wrong
    )


def add_latency(report: Report, added: Sequence[Added], rate: float) -> None:
    errors = sum(one.errors for one in added)
    invalid = f"{errors} errors" if errors else None
    for name, target, samples in (
        ("added_p50_ms", 1.0, [one.p50_ms for one in added]),
        ("added_p99_ms", 3.0, [one.p99_ms for one in added]),
    ):
        report.add(name, statistics.median(samples), "ms", target, samples, invalid=invalid)
    for place, share in enumerate(("p50", "p99")):
        through, direct = ([getattr(one, way)[place] for one in added] for way in ("through", "direct"))
        report.notes.append(
            f"latency {share} at {rate:,.0f} requests/s, open loop: {rows.spread(through, 3)} ms through the router,"
            f" {rows.spread(direct, 3)} ms direct"
        )


def add_streams(report: Report, found: dict[str, list[Streamed]]) -> None:
    lines = []
    for name, rounds in found.items():
        errors = sum(one.errors for one in rounds)
        cpu, memory = [one.cpu_us for one in rounds], [one.memory_mb for one in rounds]
        together = sum(one.chunks for one in rounds) / sum(one.pieces for one in rounds)
        lines.append((name, rows.spread(cpu, 1), rows.spread(memory), f"{together:.2f}", str(errors)))
        if name == DEFAULT:
            invalid = f"{errors} streams were not whole" if errors else None
            report.add("stream_cpu_us_per_chunk", statistics.median(cpu), "us", 12, cpu, invalid=invalid)
            report.add("stream_memory_mb_1000", statistics.median(memory), "MB", 150, memory, invalid=invalid)
    columns = ("system", "CPU us a chunk", "MB", "chunks a read", "errors")
    report.breakdowns.append(Breakdown("1,000 streams", columns, tuple(lines)))


def add_rest(report: Report, found: Sequence[Rest]) -> None:
    memory, start = [one.memory_mb for one in found], [one.start_seconds for one in found]
    report.add("memory_at_rest_mb", statistics.median(memory), "MB", 80, memory)
    report.add("start_seconds", statistics.median(start), "s", 1.5, start)


def add_curve(report: Report, points: Sequence[Point]) -> None:
    gain, worst = curve.gain_where_cache_decides(points), curve.worst_over_least_load(points)
    report.add("ttft_round_robin_over_prefix", statistics.median(gain), "x", 2.0, gain, better="higher")
    report.add("ttft_prefix_over_least_load_worst", statistics.median(worst), "x", 1.05, worst)
    policies = tuple(points[0].ttft)
    columns = ("between turns, cache", *(f"{policy}, ms" for policy in policies), "round robin / prefix")
    report.breakdowns.append(
        Breakdown("mean time to the first token, virtual time", columns, tuple(point.line() for point in points))
    )


def add_soak(report: Report, failures: int | None) -> None:
    if failures is None:
        report.notes.append("soak_unnamed_failures is missing: no soak has been run (make soak-router)")
    else:
        report.add("soak_unnamed_failures", failures, "", 0)
