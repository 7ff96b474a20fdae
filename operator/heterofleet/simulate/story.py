"""What the product's policy thought while it steered: each minute's forecast, and every decision with its reason.

Stands around `planned.Planned`, which decides; here it is written down, in the records that a fleet's status has.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from heterofleet.api.labels import Tier
from heterofleet.api.planned import Decision
from heterofleet.planning import decisions
from heterofleet.planning.situation import CLASS_OF
from heterofleet.simulate.fluid import Fleet
from heterofleet.simulate.planned import Planned
from heterofleet.simulate.trace import Floats


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The forecasts of one class in work tokens a second, a value a minute; NaN where nothing could be said."""

    expected: Floats
    upper: Floats


@dataclass(frozen=True, slots=True)
class Story:
    """Forecasts by tier, and decisions by time."""

    foreseen: Mapping[Tier, Foreseen]
    decisions: tuple[Decision, ...]
    reasons: Mapping[Tier, tuple[str, ...]]
    """What decided the count, minute by minute."""


@dataclass(slots=True)
class Teller:
    """A policy that decides as `planned` does, and remembers what it said."""

    planned: Planned
    _forecasts: dict[Tier, list[tuple[float, float]]] = field(default_factory=lambda: {tier: [] for tier in Tier})
    _reasons: dict[Tier, list[str]] = field(default_factory=lambda: {tier: [] for tier in Tier})
    _decisions: list[Decision] = field(default_factory=list)

    def decide(self, fleet: Fleet) -> Mapping[Tier, int]:
        counts = self.planned.decide(fleet)
        made, situation = self.planned.last, self.planned.situation
        assert made is not None and situation is not None  # noqa: S101, PT018  it has just decided
        for tier, planned in made.tiers.items():
            forecast = situation.loads[CLASS_OF[tier]].forecast
            known = (np.nan, np.nan) if forecast is None else (forecast.expected, forecast.upper)
            self._forecasts[tier].append(known)
            self._reasons[tier].append(planned.bound)
        self._decisions += decisions.made(situation, made, enforced=True)
        return counts

    def story(self) -> Story:
        """What was said so far."""
        told = {tier: np.array(said, dtype=np.float64).reshape(-1, 2) for tier, said in self._forecasts.items()}
        return Story(
            {tier: Foreseen(said[:, 0], said[:, 1]) for tier, said in told.items()},
            tuple(self._decisions),
            {tier: tuple(said) for tier, said in self._reasons.items()},
        )
