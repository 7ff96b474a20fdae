"""A load that nobody has recorded, from answers to a few questions: requests a second, steps a plan, tokens.

The made-up trace is two days, so that the forecast has a day to learn from:

    interactive   a day that falls to 30 % of its busiest hour at night, with 5 % of noise a minute
    batch         the same load all day, with the noise of chance alone

`qps` is the busiest hour's. A task is one plan and N steps, so plans are 1 / (1 + N) of the requests.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from heterofleet.api.routing import RequestClass
from heterofleet.recommend.errors import Unrecommendable
from heterofleet.simulate.trace import DAY_MINUTES, EPOCH, MINUTE_SECONDS, Floats, Trace, Traffic

DAYS: Final = 2
STEPS: Final = 5.0
PROMPT_TOKENS: Final = 1000.0
OUTPUT_TOKENS: Final = 500.0

_NIGHT: Final = 0.3
_BUSIEST_MINUTE: Final = 14 * 60
_NOISE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered; tokens are those of a mean request."""

    qps: float
    steps: float = STEPS
    prompt_tokens: float = PROMPT_TOKENS
    output_tokens: float = OUTPUT_TOKENS
    batch: bool = False

    def __post_init__(self) -> None:
        for name, value, least in (
            ("requests a second", self.qps, 1e-3),
            ("steps of a plan", self.steps, 0.0),
            ("tokens of a prompt", self.prompt_tokens, 1.0),
            ("tokens of an answer", self.output_tokens, 1.0),
        ):
            # A comparison with NaN is false, so that it is refused too.
            if not least <= value <= 1e6:
                raise Unrecommendable(f"{value:g} {name} are not between {least:g} and 1,000,000")


def trace(answers: Answers, seed: int = 0) -> Trace:
    """Two days of that load; the same seed gives the same minutes."""
    chance = np.random.default_rng(seed)
    expected = answers.qps * MINUTE_SECONDS * _shape(answers, chance)
    plan_share = 1 / (1 + answers.steps)
    requests = {
        RequestClass.PLAN: chance.poisson(expected * plan_share).astype(float),
        RequestClass.ACT: chance.poisson(expected * (1 - plan_share)).astype(float),
    }
    classes = {
        name: Traffic(asked, asked * answers.prompt_tokens, asked * answers.output_tokens)
        for name, asked in requests.items()
    }
    kind = "batch: the same all day" if answers.batch else "interactive: 30 % of its busiest hour at night"
    return Trace(EPOCH, classes, (f"the load is made up from answers ({kind})",))


def _shape(answers: Answers, chance: np.random.Generator) -> Floats:
    """Each minute's load in shares of the busiest hour's."""
    minutes = np.arange(DAYS * DAY_MINUTES)
    if answers.batch:
        return np.ones(len(minutes))
    wave = (1 + np.cos(2 * np.pi * (minutes - _BUSIEST_MINUTE) / DAY_MINUTES)) / 2
    shape: Floats = (_NIGHT + (1 - _NIGHT) * wave) * chance.normal(1, _NOISE, len(minutes)).clip(0.5, 1.5)
    return shape
