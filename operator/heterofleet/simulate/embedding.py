"""Vectors of texts: those of similar texts have a high cosine.

Feature hashing (Weinberger et al., 2009): every word, and at half its weight every three letters of it, adds or takes
away at a place that its hash names; the sum is scaled to length 1. No model, but alike enough to one: two wordings of a
question are near, two questions are far.
"""

import re
from math import sqrt
from typing import Final

import xxhash

DIMENSIONS: Final = 256

_WORD: Final = re.compile(r"\w+")


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """The vector of a text, of length 1; that of a text without words points along the first axis."""
    found = [0.0] * dimensions
    for word in _WORD.findall(text.lower()):
        _add(found, word, 1.0)
        padded = f"<{word}>"
        for start in range(len(padded) - 2):
            _add(found, padded[start : start + 3], 0.5)
    length = sqrt(sum(value * value for value in found))
    if not length:
        return [1.0, *found[1:]]
    return [value / length for value in found]


def _add(found: list[float], feature: str, weight: float) -> None:
    hashed = xxhash.xxh3_64_intdigest(feature.encode(errors="surrogatepass"))
    found[(hashed >> 1) % len(found)] += weight if hashed & 1 else -weight
