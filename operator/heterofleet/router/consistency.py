"""How alike two answers are: what the consistency check and shadow traffic measure by.

Stands after two tiers have answered the same request; runs beside the traffic, not in it. From 0 (nothing in common) to
1 (the same):

    JSON of both    over the union of their keys, or the longer list: the mean of what stands there; a number counts as
                    the same within a millionth, a text as below
    texts           F1 of their words: twice the words in common / all words of both, as bags

Words are what white space and punctuation part, after Unicode's compatibility folding and without case; in scripts that
put no space between words (Chinese, Japanese, Thai ...) each character counts as one.

Its limits: word order, negation and paraphrase are not seen. "It is safe" and "It is not safe" are very alike, the same
thought in other words is not, and two right answers at different length lie between. So it finds answers that have
little to do with each other; for more a threshold must be chosen from a fleet's own measurements.
"""

import math
import re
import unicodedata
from collections import Counter
from typing import Any, Final

import orjson

LONGEST: Final = 16_384
"""Characters of a text that are compared; JSON that is longer is compared as text."""
DEEPEST: Final = 16
"""Levels of JSON that are compared; what is nested deeper is compared as text."""

# Thai and Lao, Burmese, Khmer, Japanese, Chinese.
_SPACELESS: Final = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# What is neither white space nor punctuation: letters of all scripts with their marks, digits, pictures.
_WORDS: Final = re.compile(
    rf"[{_SPACELESS}]|[^\s!-/:-@\[-`{{-~\u00a0-\u00bf\u2000-\u206f\u3000-\u303f{_SPACELESS}]+"
).findall


def similarity(one: str, other: str) -> float:
    """How alike two answers are, in [0, 1]; the same both ways round."""
    if one == other:
        return 1.0
    structures = _structure(one), _structure(other)
    if structures[0] is not None and structures[1] is not None:
        try:
            return _alike(*structures, DEEPEST)
        except _TooDeep:
            pass
    return _words_alike(one, other)


class _TooDeep(Exception):
    """JSON that is nested beyond DEEPEST."""


def _structure(text: str) -> Any:
    """The JSON object or list that a text is; None for all other texts."""
    if len(text) > LONGEST or not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _alike(one: Any, other: Any, levels: int) -> float:
    if levels == 0:
        raise _TooDeep
    if isinstance(one, dict) and isinstance(other, dict):
        keys = one.keys() | other.keys()
        alike = (_alike(one[key], other[key], levels - 1) for key in one.keys() & other.keys())
        return sum(alike) / len(keys) if keys else 1.0
    if isinstance(one, list) and isinstance(other, list):
        longer = max(len(one), len(other))
        return sum(_alike(a, b, levels - 1) for a, b in zip(one, other, strict=False)) / longer if longer else 1.0
    if isinstance(one, str) and isinstance(other, str):
        return _words_alike(one, other)
    return 1.0 if _same(one, other) else 0.0


def _same(one: Any, other: Any) -> bool:
    """Equality of what holds nothing else: true is not 1, and 1.0 is."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-6)
    return one is None and other is None


def _words_alike(one: str, other: str) -> float:
    words, others = (Counter(_WORDS(unicodedata.normalize("NFKC", t[:LONGEST]).casefold())) for t in (one, other))
    total = words.total() + others.total()
    if total == 0:
        # Of signs alone: there is nothing to compare but themselves.
        return 1.0 if one.split() == other.split() else 0.0
    return 2 * (words & others).total() / total
