"""The whole way from a load to a recommendation: what `heterofleet recommend` does.

candidates -> measured -> searched -> bounds from what was held -> played once more as written
the same load on large instances alone -> verdict
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from heterofleet.api.labels import Tier
from heterofleet.api.routing import RequestClass
from heterofleet.planning import capacity
from heterofleet.planning.catalogue import Catalogue
from heterofleet.planning.situation import CLASS_OF
from heterofleet.recommend import candidates, manifest, modelpairs, risks, search, sizes, verdict
from heterofleet.recommend.candidates import Candidate
from heterofleet.recommend.errors import NothingFits, NothingHolds
from heterofleet.recommend.loadprofile import LoadProfile
from heterofleet.recommend.manifest import Bounds, Setting, Shape
from heterofleet.recommend.recommendation import Recommendation
from heterofleet.recommend.search import Single, Space
from heterofleet.recommend.trials import Played, Trials
from heterofleet.recommend.verdict import Money, Quality
from heterofleet.recommend.wishes import Wishes
from heterofleet.simulate import report
from heterofleet.simulate.study import Progress, Wanted
from heterofleet.simulate.trace import Trace, Traffic

MEASURED: Final = 8
"""Shapes of each tier that the event model measures; half a second each."""

_MEASURED_ALONE: Final = 4

_HEADROOM: Final = 1.25
"""`instances.max` over the most that the load took: tomorrow may be busier than all days of a trace."""

_USUAL_TOKENS: Final = capacity.USUAL


@dataclass(frozen=True, slots=True)
class Question:
    """All that a recommendation depends on. `made_up` says that the trace is from answers."""

    trace: Trace
    profile: LoadProfile
    wishes: Wishes
    quality: Quality = Quality.USUAL
    made_up: bool = False
    prompt_weight: float = Wanted().prompt_weight
    seed: int = 0
    measured: int = MEASURED

    def wanted(self) -> Wanted:
        return Wanted(self.prompt_weight, escalation_rate=self.profile.escalation, seed=self.seed)


def recommend(question: Question, catalogue: Catalogue, progress: Progress) -> Recommendation:
    """Raises Unrecommendable where nothing can be recommended."""
    missing = modelpairs.facts_missing(question.wishes.pair, catalogue)
    if missing is not None:
        raise NothingFits(missing)
    trials = Trials(question.trace, question.wishes, catalogue, question.wanted())
    space = space_of(trials, question.measured)
    _measure(trials, space, lambda share: progress(0.3 * share))
    found = search.best(trials, space, lambda share: progress(0.3 + 0.4 * share))
    played = trials.whole(_bounded(found, question.wishes))
    progress(0.8)
    alone = _all_large(question, catalogue)
    progress(0.95)
    made = _recommendation(question, trials, played, alone)
    progress(1.0)
    return made


def space_of(trials: Trials, most: int) -> Space:
    """The most promising shapes of both tiers."""
    shapes = {}
    for tier in Tier:
        prompt, answer = trials.trace.classes[CLASS_OF[tier]].mean_tokens()
        usual = capacity.Shape(prompt, answer) if answer > 0 else _USUAL_TOKENS
        fitting = candidates.fitting(tier, trials.wishes, trials.catalogue, usual)
        shapes[tier] = candidates.shortlist(_affordable(tier, fitting, trials.wishes.gpus), most)
    return Space(shapes)


def _affordable(tier: Tier, fitting: Sequence[Candidate], gpus: int | None) -> Sequence[Candidate]:
    """Those of which the GPUs at hand hold one instance."""
    found = [each for each in fitting if gpus is None or each.shape.gpus <= gpus]
    if not found:
        least = min(each.shape.gpus for each in fitting)
        raise NothingHolds(f"one instance of the {tier} model takes {least} GPUs, and there are {gpus}: raise --gpus")
    return found


def _measure(trials: Trials, space: Space, progress: Progress) -> None:
    """Run the event model now, so that progress is told while it runs."""
    every = [(tier, shape) for tier, shapes in space.shapes.items() for shape in shapes]
    for done, (tier, shape) in enumerate(every, start=1):
        trials.engine(tier, shape)
        progress(done / len(every))


def _bounded(found: Played, wishes: Wishes) -> Setting:
    """The setting with a maximum above what the load took; its minimum is the search's."""
    bounds = {}
    for tier, track in found.outcome.run.tracks.items():
        most = ceil(_HEADROOM * int((track.ready + track.booting).max()))
        if wishes.gpus is not None:
            most = min(most, wishes.gpus // found.setting.shapes[tier].gpus)
        least = found.setting.bounds[tier].least
        bounds[tier] = Bounds(least, min(1000, max(most, least, 1)))
    return replace(found.setting, bounds=bounds)


def _all_large(question: Question, catalogue: Catalogue) -> Single | None:
    """Large instances that serve both classes; None where they do not hold the load.

    Nothing escalates there, and no GPU budget is set: it is a question of money alone.
    """
    merged = merged_trace(question.trace)
    wanted = replace(question.wanted(), escalation_rate=0.0)
    trials = Trials(merged, replace(question.wishes, gpus=None), catalogue, wanted)
    try:
        shapes = space_of(trials, min(_MEASURED_ALONE, question.measured)).shapes[Tier.LARGE]
        return search.single(trials, Tier.LARGE, shapes)
    except NothingHolds:
        return None


def merged_trace(trace: Trace) -> Trace:
    """The same load with every request at the large model."""
    plan, act = trace.classes[RequestClass.PLAN], trace.classes[RequestClass.ACT]
    every = Traffic(
        plan.requests + act.requests, plan.prompt_tokens + act.prompt_tokens, plan.output_tokens + act.output_tokens
    )
    return replace(trace, classes={RequestClass.PLAN: every, RequestClass.ACT: plan.scaled(0.0)})


def _recommendation(question: Question, trials: Trials, played: Played, alone: Single | None) -> Recommendation:
    (figures,) = report.figures(played.case, [played.outcome])
    money = Money(
        mixed_gpu_hours=played.gpu_hours,
        all_large_gpu_hours=None if alone is None else alone.played.gpu_hours,
        relative_cost=_relative_cost(trials, played.setting.shapes),
    )
    judged = verdict.judge(question.profile, money, question.quality)
    match = question.wishes.pair.match(trials.catalogue)
    return Recommendation(
        wishes=question.wishes,
        profile=question.profile,
        match=match,
        verdict=judged,
        money=money,
        all_large=None if alone is None else alone.shape,
        body=manifest.body(question.wishes, played.setting, trials.contexts),
        played=played,
        figures=figures,
        oracle_gpu_hours=trials.oracle_gpu_hours(played.setting.shapes),
        source_size=sizes.compare(trials, question.profile.peak_qps, played.setting.shapes),
        risks=risks.of(
            question.profile, question.wishes, played.setting, match,
            made_up=question.made_up, break_even=judged.break_even_escalation,
        ),
    )  # fmt: skip


def _relative_cost(trials: Trials, shapes: Mapping[Tier, Shape]) -> float:
    """c: GPUs for a unit of large work over those for a unit of small work."""
    per_work = {tier: shape.gpus / trials.engine(tier, shape).work_per_second for tier, shape in shapes.items()}
    return per_work[Tier.LARGE] / per_work[Tier.SMALL]
