"""What the right answer to an ask is: a played model's answer is a function of the prompt and of its tier's manner."""

from typing import Final, NamedTuple

from heterofleet.api.labels import Tier
from heterofleet.simulate import question, text
from heterofleet.simulate.question import Operation
from soak import asks, fleet
from soak.asks import Ask

_OPERATIONS: Final = {
    asks.CHAT: Operation.CHAT,
    asks.COMPLETIONS: Operation.COMPLETIONS,
    asks.RESPONSES: Operation.RESPONSES,
}


class Expected(NamedTuple):
    """An answer; `good` is whether it passes for one, which the router judges."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    good: bool


def answer(ask: Ask, tier: Tier) -> Expected:
    """What an engine of `tier` says to `ask`."""
    asked = question.parse(_OPERATIONS[ask.path], ask.fields)
    prompt = asked.prompts[0]
    count = text.count(prompt)
    wish = asked.wish(fleet.PROFILES[tier].max_model_len, count)
    said = text.answer(prompt, asked.last, 0, wish, fleet.MANNERS[tier])
    return Expected(said.text, count, len(said.tokens), said.good)
