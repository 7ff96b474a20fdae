"""Decides the class of a request: plan, or act (contracts.md, "Class, score, tier").

Second in the flow, after `openai.parse`. Who says so, in this order: the header, the model's name where it pins a
class, the metadata, and else the score

    score = P(the small model is enough) = 1 / (1 + exp(-(bias + sum of weight x feature)))

of which plan is what lies below the threshold. Nothing else moves a class: budgets, the plan's bias and load choose
a tier afterwards. Weights are data, written by `heterofleet train-classifier`, which has folded the means and scales
of the features and the calibration into them.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib import resources
from math import tanh
from operator import mul
from typing import Any, Final, NamedTuple, Self

from heterofleet.api.routing import RequestClass
from heterofleet.router import features
from heterofleet.router.openai import InvalidRequest, Request

HEADER: Final = "x-heterofleet-class"
METADATA_KEY: Final = "heterofleet.class"
WEIGHTS_VERSION: Final = 1

_LARGEST: Final = 1e6
"""Of a weight; what is beyond comes from a training that ran away, and NaN is not within."""

_CLASSES: Final = {str(request_class): request_class for request_class in RequestClass}


class Source(StrEnum):
    """Who decided a class; the value is the word of the access log."""

    HEADER = "header"
    MODEL = "model"
    METADATA = "metadata"
    SCORE = "score"


class Decision(NamedTuple):
    """The class of a request and why; `score` is None where a hint decided, since none was worked out."""

    request_class: RequestClass
    score: float | None
    source: Source
    reason: str


class InvalidWeights(ValueError):
    """Weights that do not belong to this version's features; `str(error)` is the sentence."""


class Weights(NamedTuple):
    """The logistic model: `values` in the order of `features.NAMES`."""

    bias: float
    values: tuple[float, ...]

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Read what `heterofleet train-classifier` wrote. Raises InvalidWeights."""
        try:
            document = json.loads(text)
        except ValueError as exc:
            raise InvalidWeights(f"the weights are not valid JSON: {exc}") from exc
        if not isinstance(document, dict) or document.get("version") != WEIGHTS_VERSION:
            raise InvalidWeights(f"the weights are not of version {WEIGHTS_VERSION}, the one that is read here")
        weights = document.get("weights")
        if not isinstance(weights, dict):
            raise InvalidWeights("the weights have no mapping `weights` of a number for each feature")
        _refuse_other_features(weights)
        values = (_number(name, weights[name]) for name in features.NAMES)
        return cls(_number("bias", document.get("bias")), tuple(values))

    def score(self, values: tuple[float, ...]) -> float:
        """P(the small model is enough), of a request's features; never overflows."""
        return 0.5 + 0.5 * tanh(0.5 * sum(map(mul, self.values, values), self.bias))


def _refuse_other_features(weights: Mapping[str, Any]) -> None:
    missing = [name for name in features.NAMES if name not in weights]
    unknown = [name for name in weights if name not in features.NAMES]
    if missing or unknown:
        wrong = [f"{what} {', '.join(names)}" for what, names in (("lack", missing), ("have", unknown)) if names]
        raise InvalidWeights(
            f"the weights are for other features: they {' and '.join(wrong)}; train them anew with this version's"
            " heterofleet train-classifier"
        )


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST < value < _LARGEST:
        raise InvalidWeights(f"{name} must weigh a number between -{_LARGEST:g} and {_LARGEST:g}, not {value!r}")
    return float(value)


@cache
def shipped() -> Weights:
    """The weights that come with this version, trained on public traffic (docs/classification.md)."""
    return Weights.parse((resources.files("heterofleet.router") / "data" / "weights.json").read_bytes())


class Classifier:
    """Decides by hints and score. `heed_hints` is whether clients may name the class; a model's name always may."""

    __slots__ = ("_above", "_below", "_heed_hints", "_threshold", "_weights")

    def __init__(self, weights: Weights, threshold: float, heed_hints: bool) -> None:
        self._weights, self._threshold, self._heed_hints = weights, threshold, heed_hints
        self._below, self._above = f" < {threshold:g}", f" >= {threshold:g}"

    def decide(self, request: Request, *, header: str | None, pinned: RequestClass | None) -> Decision:
        """The class. `header` is the value of HEADER, `pinned` what the model's name pins, None where there is none.

        Raises InvalidRequest for a hint that names no class.
        """
        if header is not None and self._heed_hints:
            return Decision(_named(header, f"the header {HEADER}", None), None, Source.HEADER, f"header {HEADER}")
        if pinned is not None:
            return Decision(pinned, None, Source.MODEL, f"model {request.model}")
        hint = request.metadata.get(METADATA_KEY) if self._heed_hints else None
        if hint is not None:
            named = _named(hint, f"the metadata {METADATA_KEY}", f"metadata.{METADATA_KEY}")
            return Decision(named, None, Source.METADATA, f"metadata {METADATA_KEY}")
        return self._by_score(request)

    def _by_score(self, request: Request) -> Decision:
        score = self._weights.score(features.extract(request))
        if score < self._threshold:
            return Decision(RequestClass.PLAN, score, Source.SCORE, f"score {score:.4f}{self._below}")
        return Decision(RequestClass.ACT, score, Source.SCORE, f"score {score:.4f}{self._above}")


def _named(hint: object, where: str, param: str | None) -> RequestClass:
    named = _CLASSES.get(hint.strip().lower()) if isinstance(hint, str) else None
    if named is None:
        said = repr(hint) if isinstance(hint, str) and len(hint) <= 40 else "something else"
        raise InvalidRequest(f"{where} must be plan or act, not {said}", param=param, code="invalid_class")
    return named
