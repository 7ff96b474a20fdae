"""How long `heterofleet recommend` takes, and how near it comes to the best fleet that exhaustive search finds.

`recommend_seconds` is the whole way from the ten days of production traffic to a recommendation, in the time of one
core. `recommended_over_exhaustive_gpu_hours` is the worst ratio over the traces of tests/data: the product's search
over every setting of the same catalogue (two shapes of each tier, every quantile, three minima of each tier), both
played on the same days. Either holds its objective, or the figure is invalid.
"""

import time
from dataclasses import dataclass
from typing import Final

from benchmarks.figures import Breakdown, Report
from heterofleet.planning import catalogue
from heterofleet.recommend import advice, loadprofile, search
from heterofleet.recommend.advice import Question
from heterofleet.recommend.search import Space
from heterofleet.recommend.trials import Trials
from heterofleet.recommend.wishes import Wishes
from heterofleet.simulate.study import Wanted
from recommend import exhaustive, traces

_SECONDS: Final = 60.0
_RATIO: Final = 1.05
_DAYS: Final = 2.0
_SHAPES: Final = 2
_FLOORS: Final = (0.0, 0.25, 0.5)


@dataclass(frozen=True, slots=True)
class Compared:
    """GPU-hours of the recommended fleet and of the best one."""

    trace: str
    recommended: float
    best: float
    settings: int

    @property
    def ratio(self) -> float:
        return self.recommended / self.best


def figures(report: Report) -> None:
    """Add both figures to a report."""
    seconds, holds = measured_seconds()
    failed = None if holds else "the recommended fleet does not hold its objective"
    report.add("recommend_seconds", seconds, "s of one core", _SECONDS, invalid=failed)
    found = [compared(name) for name in traces.NAMES]
    report.add(
        "recommended_over_exhaustive_gpu_hours", max(each.ratio for each in found), "of the best fleet's", _RATIO
    )
    lines = tuple((each.trace, f"{each.recommended:,.1f}", f"{each.best:,.1f}", f"{each.ratio:.3f}",
                   str(each.settings)) for each in found)  # fmt: skip
    columns = ("trace", "recommended GPU-hours", "best GPU-hours", "ratio", "settings played")
    report.breakdowns.append(Breakdown("recommended and best fleets", columns, lines))


def measured_seconds(name: str = traces.NAMES[0]) -> tuple[float, bool]:
    """Time of the processor for a recommendation from ten days, reading included, and whether it holds."""
    begin = time.process_time()
    traces.whole.cache_clear()
    trace = traces.whole(name)
    question = Question(trace, loadprofile.of(trace, None, batch=False), Wishes())
    made = advice.recommend(question, catalogue.load(), lambda _: None)
    return time.process_time() - begin, made.played.holds


def compared(name: str, days: float = _DAYS) -> Compared:
    """The search and every setting, over the first days of a trace."""
    trace = traces.days(name, 0, days)
    escalation = loadprofile.ASSUMED_ESCALATION
    trials = Trials(trace, Wishes(), catalogue.load(), Wanted(escalation_rate=escalation))
    shapes = advice.space_of(trials, _SHAPES).shapes
    space = Space(shapes, _FLOORS)
    recommended = search.best(trials, space, lambda _: None)
    best = exhaustive.best(trials, space)
    return Compared(name, recommended.gpu_hours, best.gpu_hours, sum(1 for _ in space.settings(trials)))
