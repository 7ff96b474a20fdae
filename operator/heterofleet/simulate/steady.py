"""What requests meet at one engine whose load does not change: times to the first token, and between tokens.

The event model (`engine`) in virtual time, fed with requests that come by chance (a Poisson process), whose prompts are
log-normal and whose answers exponential around the means of a class, as ServeGen found in production traffic
(arXiv 2505.09999, section 4). Runs of one seed differ in nothing but the rate, so that what a higher load does to
latency is not hidden by other requests.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from heterofleet.simulate.engine import Engine
from heterofleet.simulate.events import Arrival, Finished, FirstToken
from heterofleet.simulate.profile import Profile
from heterofleet.simulate.trace import Floats

REQUESTS: Final = 4000
_WARM_UP: Final = 0.2
"""Share of a run in which the engine fills, and of which nothing is kept."""

_PROMPT_SPREAD: Final = 0.8
"""Standard deviation of the logarithm of a prompt's length."""


class Times(NamedTuple):
    """Of each request: seconds to the first token, and between two tokens on average."""

    first: Floats
    between: Floats


@dataclass(frozen=True, slots=True)
class Draw:
    """Requests without a rate: gaps of mean 1, and tokens that the engine can hold."""

    gaps: Floats
    prompts: Floats
    answers: Floats

    def work(self, prompt_weight: float) -> float:
        """Work tokens of an average request."""
        return float(self.answers.mean() + prompt_weight * self.prompts.mean())


def draw(profile: Profile, prompt_tokens: float, output_tokens: float, seed: int, requests: int = REQUESTS) -> Draw:
    """Requests of these mean lengths."""
    chance = np.random.default_rng(seed)
    gaps = chance.exponential(1.0, requests)
    middle = np.log(max(1.0, prompt_tokens)) - _PROMPT_SPREAD**2 / 2
    longest = profile.max_model_len // 2
    prompts = np.clip(np.round(chance.lognormal(middle, _PROMPT_SPREAD, requests)), 1, longest)
    answers = np.clip(np.round(chance.exponential(max(1.0, output_tokens), requests)), 1, longest)
    return Draw(gaps, prompts, answers)


def times(profile: Profile, drawn: Draw, requests_per_second: float) -> Times:
    """What the requests meet when they come at this rate."""
    arrivals = np.cumsum(drawn.gaps) / requests_per_second
    first, last = _played(profile, drawn, arrivals)
    between = (last - first) / np.maximum(1.0, drawn.answers - 1)
    kept = slice(int(_WARM_UP * len(arrivals)), None)
    return Times((first - arrivals)[kept], between[kept])


def saturation(profile: Profile, drawn: Draw) -> float:
    """Requests a second that the engine finishes while more wait than it can take."""
    _, last = _played(profile, drawn, np.zeros(len(drawn.gaps)))
    ended = np.sort(last)
    # At the beginning the batch still fills, and at the end it runs empty.
    begin, end = int(0.2 * len(ended)), int(0.7 * len(ended))
    return (end - begin) / max(1e-9, float(ended[end] - ended[begin]))


def _played(profile: Profile, drawn: Draw, arrivals: Floats) -> tuple[Floats, Floats]:
    """When each request got its first and its last token."""
    engine = Engine(profile)
    first, last = np.empty(len(arrivals)), np.empty(len(arrivals))
    lengths = zip(
        arrivals.tolist(), drawn.prompts.astype(int).tolist(), drawn.answers.astype(int).tolist(), strict=True
    )
    for request, (at, prompt, answer) in enumerate(lengths):
        engine.submit(at, Arrival(request, prompt, answer))
    while (at := engine.next_event()) is not None:
        for event in engine.advance(at):
            number = event.request
            assert isinstance(number, int)  # noqa: S101  they were named so above
            if isinstance(event, FirstToken):
                first[number] = event.at
            elif isinstance(event, Finished):
                last[number] = event.at
    return first, last
