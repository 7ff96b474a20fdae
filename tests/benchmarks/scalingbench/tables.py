"""What the figures of the contest were made of, as tables for people."""

from collections.abc import Sequence

from benchmarks.figures import Breakdown
from benchmarks.scalingbench import fields
from benchmarks.scalingbench.contest import Contest
from benchmarks.scalingbench.joint import Bound, Joint
from benchmarks.scalingbench.mixed import Mixed
from heterofleet.simulate.fluid import Run

_POLICY = ("policy", "GPU-hours / oracle", "violating minutes", "violating work", "delay p95 min", "delay p99 min")


def of_contest(held: Contest, part: slice) -> list[Breakdown]:
    """All policies at one setting each, and the product's curve."""
    default = f"{fields.DEFAULT_QUANTILE:g}"
    runs = [("product, default", dict(held.product)[default]), *held.others.items()]
    title = f"{held.trace.name}, mean {held.mean}"
    lines = tuple(_line(name, made, held.over_oracle(made, part), part) for name, made in runs)
    curve = tuple(
        _line(f"quantile {setting}", made, held.over_oracle(made, part), part) for setting, made in held.product
    )
    return [Breakdown(f"policies: {title}", _POLICY, lines), Breakdown(f"product by quantile: {title}", _POLICY, curve)]


def of_joint(held: Joint, part: slice) -> list[Breakdown]:
    """The joint fleet by quantile, and the HPA; and the fleet with one part switched off."""
    runs = [*((f"quantile {setting}", made) for setting, made in held.whole), ("hpa 70 %", held.hpa)]
    off = [(f"{what}: {setting}", made) for what, named in held.without.items() for setting, made in named]
    titles = {"both tiers as one fleet": runs, "without a part, by quantile or headroom": off}
    return [
        Breakdown(
            title, _POLICY, tuple(_line(name, made, _joint_ratio(held, made, part), part) for name, made in named)
        )
        for title, named in titles.items()
    ]


def _joint_ratio(held: Joint, made: Run, part: slice) -> float:
    return held.over_oracle(made.within(part).gpu_hours, part)


def of_bound(under: Bound, part: slice) -> Breakdown:
    """What was served with too few GPUs."""
    runs = (("product", under.product), ("hpa 70 %", under.hpa70), (f"best hpa: {under.best_setting}", under.best))
    columns = ("policy", "work within objective", "violating minutes", "GPU-hours", "delay p99 min")
    return Breakdown(f"{under.gpus} GPUs, 80 % of the peak", columns, tuple(_served(*each, part) for each in runs))


def of_mixed(cases: Sequence[Mixed], part: slice) -> Breakdown:
    """Cost beside the source's formula."""
    columns = ("steps, escalated", "cost / all-large", "by the formula", "saved", "violating", "all-large violating")
    return Breakdown("a mixed fleet against all-large", columns, tuple(_case(case, part) for case in cases))


def _case(case: Mixed, part: slice) -> tuple[str, ...]:
    ratio = case.cost_ratio(part)
    late = (case.mixed.within(part).violating_share, case.all_large.within(part).violating_share)
    name = f"{case.steps}, {case.escalation_rate:.0%}"
    return (name, f"{ratio:.3f}", f"{case.source:.3f}", f"{1 - ratio:.1%}", *(f"{share:.2%}" for share in late))


def _served(name: str, made: Run, part: slice) -> tuple[str, ...]:
    seen = made.within(part)
    served = f"{seen.within_objective / seen.arrived:.3%}"
    return (name, served, f"{seen.violating_share:.2%}", f"{seen.gpu_hours:.0f}", f"{seen.delay_minutes(0.99):g}")


def _line(name: str, made: Run, over_oracle: float, part: slice) -> tuple[str, ...]:
    seen = made.within(part)
    delays = (f"{seen.delay_minutes(quantile):g}" for quantile in (0.95, 0.99))
    return (name, f"{over_oracle:.3f}", f"{seen.violating_share:.2%}", f"{seen.violating_work_share:.3%}", *delays)
