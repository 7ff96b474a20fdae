"""Do the large and the small model of a fleet understand one another: the same tokenizer and chat template.

Decides the warning condition PairMatched. A mismatch never blocks: requests go to either model as text and each
engine applies its own template. But a prompt that one model's client was tuned for, tool calls and stop words
above all, may read differently in the other's, and token counts and budgets do not carry over.
"""

from typing import NamedTuple

from heterofleet.planning.catalogue import Facts


class Match(NamedTuple):
    """`matched` is None where a family is not known."""

    matched: bool | None
    message: str


def match(large: Facts | None, small: Facts | None) -> Match:
    """Compare two models' families; what is unknown is said and not guessed."""
    unknown = [tier for tier, facts in (("large", large), ("small", small)) if facts is None or facts.family is None]
    if large is None or small is None or unknown:
        return Match(
            None, f"The family of the {' and the '.join(unknown)} model is not known: state model.facts.family."
        )
    if large.family == small.family:
        return Match(True, f"{large.name} and {small.name} share tokenizer and chat template ({large.family}).")
    return Match(False, f"{large.name} and {small.name} are no pair: {_difference(large, small)}.")


def _difference(large: Facts, small: Facts) -> str:
    differing = [
        f"their {what} differ ({one or large.family} and {other or small.family})"
        for what, one, other in (
            ("tokenizers", large.tokenizer, small.tokenizer),
            ("chat templates", large.template, small.template),
        )
        if one is None or other is None or one != other
    ]
    return " and ".join(differing) or f"their families differ ({large.family} and {small.family})"
