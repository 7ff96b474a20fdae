"""What is recommended, with all that it rests on; `document` is the same for programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from heterofleet.api.labels import Manifest, Tier
from heterofleet.planning.pairs import Match
from heterofleet.recommend.loadprofile import ClassProfile, LoadProfile
from heterofleet.recommend.manifest import Setting, Shape
from heterofleet.recommend.sizes import Compared
from heterofleet.recommend.trials import Played
from heterofleet.recommend.verdict import Money, Verdict
from heterofleet.recommend.wishes import Wishes
from heterofleet.simulate.report import Figures


@dataclass(frozen=True, slots=True)
class Recommendation:
    """`played` is the evidence: the written fleet under the whole load. `oracle` knows the future."""

    wishes: Wishes
    profile: LoadProfile
    match: Match
    verdict: Verdict
    money: Money
    all_large: Shape | None
    body: Manifest
    played: Played
    figures: Figures
    oracle_gpu_hours: float
    source_size: Compared
    risks: tuple[str, ...]

    @property
    def setting(self) -> Setting:
        return self.played.setting

    @property
    def most_gpus(self) -> int:
        """GPUs that the fleet held at most."""
        tracks = self.played.outcome.run.tracks.values()
        return int(sum(track.held * track.gpus for track in tracks).max())  # type: ignore[union-attr]  # two arrays

    def usd(self, gpu_hours: float) -> float:
        return gpu_hours * self.wishes.usd_per_gpu_hour

    @property
    def days(self) -> float:
        return self.profile.days


def document(made: Recommendation) -> dict[str, Any]:
    """Everything for programs; shares are of 1, money is USD."""
    return {
        "pays": made.verdict.pays,
        "verdict": made.verdict.sentence,
        "reasons": [dict(zip(("mark", "topic", "sentence"), map(str, each), strict=True))
                    for each in made.verdict.reasons],
        "load": _load(made.profile),
        "pair": {
            "name": made.wishes.pair.name,
            "large": made.wishes.pair.large,
            "small": made.wishes.pair.small,
            "matched": made.match.matched,
            "message": made.match.message,
        },
        "tiers": {str(tier): _tier(made, tier) for tier in Tier},
        "evidence": _evidence(made),
        "money": _money(made),
        "source_size": made.source_size.sentence,
        "risks": list(made.risks),
        "fleet": made.body,
    }  # fmt: skip


def _load(profile: LoadProfile) -> dict[str, Any]:
    return {
        "days": round(profile.days, 3),
        "peak_requests_per_second": round(profile.peak_qps, 2),
        "steps_per_plan": round(profile.steps, 2) if isfinite(profile.steps) else None,
        "escalation_rate": profile.escalation,
        "escalation_measured": profile.escalation_measured,
        "batch": profile.batch,
        "classes": {"plan": _class(profile.plan), "act": _class(profile.act)},
    }


def _class(profile: ClassProfile) -> dict[str, float]:
    return {
        "mean_requests_per_second": round(profile.mean_qps, 3),
        "peak_requests_per_second": round(profile.peak_qps, 3),
        "mean_prompt_tokens": round(profile.prompt_tokens, 1),
        "mean_output_tokens": round(profile.output_tokens, 1),
    }


def _tier(made: Recommendation, tier: Tier) -> dict[str, Any]:
    shape, bounds = made.setting.shapes[tier], made.setting.bounds[tier]
    track = made.played.outcome.run.tracks[tier]
    counts = track.ready + track.booting
    return {
        "model": made.wishes.pair.source(tier),
        "tensor": shape.tensor,
        "pipeline": shape.pipeline,
        "expert_parallel": shape.expert_parallel,
        "max_num_seqs": shape.max_num_seqs,
        "gpus_per_instance": shape.gpus,
        "instances": {"min": bounds.least, "max": bounds.most},
        "instances_held": {"mean": round(float(counts.mean()), 2), "max": int(counts.max())},
        "capacity_work_tokens_per_second": round(made.played.case.capacities[tier].work_tokens_per_second, 1),
        "startup_seconds": round(made.played.case.engines[tier].startup_seconds, 1),
    }


def _evidence(made: Recommendation) -> dict[str, Any]:
    figures = made.figures
    return {
        "holds": made.played.holds,
        "missed_objective_share": {str(tier): round(made.played.missed(tier), 6) for tier in Tier},
        "allowed_share": round(1 - made.wishes.objective.attainment, 6),
        "violating_minutes_share": round(figures.violating_minutes, 6),
        "violating_work_share": round(figures.violating_work, 6),
        "gpu_hours": round(figures.all_gpu_hours, 2),
        "gpu_hours_by_tier": {str(tier): round(hours, 2) for tier, hours in figures.gpu_hours.items()},
        "gpu_hours_over_oracle": round(figures.all_gpu_hours / made.oracle_gpu_hours, 4)
        if made.oracle_gpu_hours
        else None,
        "most_gpus": made.most_gpus,
        "forecast_quantile": made.setting.quantile,
    }


def _money(made: Recommendation) -> Mapping[str, Any]:
    money = made.money
    return {
        "usd": round(made.usd(money.mixed_gpu_hours), 2),
        "usd_per_day": round(made.usd(money.mixed_gpu_hours) / made.days, 2),
        "all_large_gpu_hours": None if money.all_large_gpu_hours is None else round(money.all_large_gpu_hours, 2),
        "all_large_shape": None if made.all_large is None else str(made.all_large),
        "saving": None if money.saving is None else round(money.saving, 4),
        "relative_cost": round(money.relative_cost, 3),
        "formula_saving": None if made.verdict.formula_saving is None else round(made.verdict.formula_saving, 4),
        "break_even_escalation": round(made.verdict.break_even_escalation, 4),
    }
