"""A fleet of tiny engines under a made-up trace: small enough that every test may have its own run."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np

from heterofleet.api.labels import Tier
from heterofleet.api.routing import RequestClass
from heterofleet.api.v1alpha1 import FleetSpec
from heterofleet.simulate import profile, study
from heterofleet.simulate.policies import Choice, Kind, chosen
from heterofleet.simulate.study import Case, Outcome, Wanted
from heterofleet.simulate.tierengine import TierEngine
from heterofleet.simulate.trace import Floats, Trace, Traffic

START = datetime(2026, 1, 5, tzinfo=UTC)
ENGINES = {
    Tier.LARGE: TierEngine(profile.load()["tiny-large"], startup_seconds=300, gpus=8),
    Tier.SMALL: TierEngine(profile.load()["tiny-small"], startup_seconds=60, gpus=1),
}
TOKENS = {RequestClass.PLAN: (300.0, 60.0), RequestClass.ACT: (100.0, 20.0)}


def spec(price: float | None = 2.0, **scaling: Any) -> FleetSpec:
    tier: dict[str, Any] = {
        "model": {"source": "pvc://models/any"},
        "instances": {"min": 1, "max": 40},
        "price": {"usdPerGpuHour": price} if price is not None else None,
        "objective": {"ttftSeconds": 1},
    }
    return FleetSpec.model_validate({"large": tier, "small": tier, "scaling": scaling})


def wave(minutes: int = 240, seed: int = 3) -> Floats:
    """Requests a minute that rise and fall by three, with some noise."""
    chance = np.random.default_rng(seed)
    slow = 1.0 + 0.5 * np.sin(np.linspace(0, 6 * np.pi, minutes))
    return np.round(1000 * slow * chance.normal(1, 0.03, minutes))


def trace(requests: Floats | None = None) -> Trace:
    asked = wave() if requests is None else requests
    classes = {name: Traffic(asked, asked * prompt, asked * output) for name, (prompt, output) in TOKENS.items()}
    return Trace(START, classes, ("made up",))


def case(fleet: FleetSpec, replayed: Trace, mean_instances: float | None = 6) -> Case:
    return study.prepare(fleet, replayed, ENGINES, Wanted(mean_instances=mean_instances), lambda _: None)


@cache
def usual() -> Case:
    return case(spec(), trace())


@cache
def outcome(policy: str) -> Outcome:
    """How one policy steers the usual fleet."""
    (choice,) = chosen(policy)
    return study.play(usual(), choice, lambda _: None)


def outcomes() -> tuple[Outcome, ...]:
    return tuple(outcome(str(Choice(kind, 70 if kind in (Kind.HPA, Kind.QUEUE) else 0))) for kind in Kind)
