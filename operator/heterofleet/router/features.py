"""What a request looks like in numbers: the fixed, named features that `classify` weighs and `training` learns from.

Each one is bounded, so that nothing strange outweighs the rest, and free of the prompt's size: logarithms, shares of
characters or words, and marks that are there or not. There is none of the language: to be in Chinese makes no prompt
hard. A long prompt is looked at in its first and last characters alone, where people put what they want; so the
cost has a bound too. Letters are compared as lower-case ASCII bytes, since case-insensitive expressions over a long
text cost more than all the rest of routing together.
"""

from math import log1p
from typing import Final

from heterofleet.router.openai import Message, Request

NAMES: Final = (
    "length",  # log of the characters of the last user message
    "history",  # log of the characters of everything else
    "messages",  # log of the messages before the last
    "system",  # begins with a system or developer message
    "tools",  # offers tools
    "format",  # asks for a format of the answer
    "answer",  # log of the tokens asked for
    "lines",  # log of the line breaks
    "word_length",  # characters a word, in tens, up to one: some languages have no spaces
    "articles",  # share of words that are "the"
    "names",  # share of words that begin with a capital inside a line, up to a half
    "digits",  # share of bytes, up to a quarter
    "mathematics",  # share of bytes that are operators, brackets of sets, or TeX's, up to a quarter
    "code",  # shows code
    "asks_fact",  # who, when, where: a matter of knowledge
    "asks_quantity",  # how many, how much
    "asks_reason",  # why, explain, prove, step by step, plan
    "choices",  # offers answers to choose from
    "items",  # has a list with bullets or numbers
)
"""The features in the order in which `extract` gives them; weights for any other are refused."""

_EDGE: Final = 192
"""Characters that are looked at from either end: 320 order the requests of docs/classification.md no better (the AUC
is the same on both splits), 128 worse."""

_SHORT: Final = 256
"""Characters below which a prompt is short, and how short it is tells next to nothing."""

_LONGEST: Final = 4096
"""Characters, tokens or messages beyond which a length says no more: the traffic of the shipped weights ends there."""

_LOOKED_BACK: Final = 32
"""Messages from the end among which the last user's is looked for; in longer loops of tools the last one stands."""


def _character_classes() -> bytes:
    """The class of each byte: A capital, 0 digit, + mathematics, else as it is."""
    marks = {"A": "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0": "0123456789", "+": "\\$^={}_<>+*/|"}
    classes = bytearray(range(256))
    for mark, characters in marks.items():
        for character in characters:
            classes[ord(character)] = ord(mark)
    return bytes(classes)


_CLASSES: Final = _character_classes()


def extract(request: Request) -> tuple[float, ...]:
    """The values of NAMES, each between 0 and 10."""
    messages, fields = request.messages, request.fields
    text = _asked(messages)
    characters = len(text)
    history = request.prompt_characters - characters
    return (
        log1p((characters if characters < _LONGEST else _LONGEST) / _SHORT),
        log1p((history if history < _LONGEST else _LONGEST) / _SHORT),
        log1p(min(len(messages) - 1, _LONGEST)),
        1.0 if messages[0].role in ("system", "developer") else 0.0,
        1.0 if fields.get("tools") else 0.0,
        1.0 if fields.get("response_format") or fields.get("text") else 0.0,
        log1p(min(request.max_tokens or 0, _LONGEST)),
        *_of_text(text),
    )


def _asked(messages: tuple[Message, ...]) -> str:
    """The last user message; after many turns of tools, or without a user, the last message."""
    for message in messages[: -_LOOKED_BACK - 1 : -1]:
        if message.role == "user":
            return message.text
    return messages[-1].text


def _of_text(text: str) -> tuple[float, ...]:
    """The features of what is asked, from `lines` on. Marks of several lines are not looked for in one."""
    if len(text) > 2 * _EDGE:
        text = f"{text[:_EDGE]} {text[-_EDGE:]}"
    raw = text.encode("utf-8", "replace")
    classes = raw.translate(_CLASSES)
    # Each byte a character: a search in a text costs a third less than one in bytes.
    low = raw.lower().decode("latin-1")
    lines = low.count("\n")
    words = low.count(" ") + lines + 1
    size = len(raw) or 1
    reason = "why " in low or "explain" in low or "prove " in low or "step by step" in low or "plan " in low
    return (
        log1p(lines),
        min(len(text) / words, 10.0) / 10,
        low.count("the ") / words,
        min(classes.count(b" A") / words, 0.5),
        min(classes.count(b"0") / size, 0.25),
        min(classes.count(b"+") / size, 0.25),
        1.0 if lines and ("```" in low or "def " in low or "return " in low) else 0.0,
        1.0 if low.startswith(("who", "when", "where")) or " who " in low else 0.0,
        1.0 if "how many" in low or "how much" in low else 0.0,
        1.0 if reason else 0.0,
        1.0 if lines and ("\nb" in low or "\n(b" in low) else 0.0,
        1.0 if lines and ("\n- " in low or "\n1." in low) else 0.0,
    )
