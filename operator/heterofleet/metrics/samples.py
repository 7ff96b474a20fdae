"""What an answer of Prometheus says: samples and runs of samples, or that it is lost and why. Pure.

Values are masked here, so that nobody else need ask whether a number can be one: what is not finite, negative, or
stamped in the future is absurd, and absurd is not known, which is never zero.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from math import isfinite
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heterofleet.api.labels import FleetKey

Floats = NDArray[np.float64]

FUTURE_SECONDS: Final = 60.0
"""How far two clocks may be apart before a stamp counts as one of the future."""


class Loss(StrEnum):
    """Why nothing is known; the value is stable, since conditions and alerts tell it."""

    NOT_CONFIGURED = "NotConfigured"
    NOT_ALLOWED = "NotAllowed"
    CREDENTIALS = "Credentials"
    UNREACHABLE = "Unreachable"
    DENIED = "Denied"
    FAILED = "Failed"
    SLOW = "Slow"
    TOO_LARGE = "TooLarge"
    MALFORMED = "Malformed"
    BUSY = "Busy"
    CLOCK = "Clock"
    NO_ROUTERS = "NoRouters"
    RULES_MISSING = "RulesMissing"


class Lost(NamedTuple):
    """Nothing is known, and why: in an enum for machines, in a sentence for people."""

    reason: Loss
    sentence: str


class Sample(NamedTuple):
    """One value of one series, at seconds since the epoch."""

    labels: Mapping[str, str]
    at: float
    value: float


class Run(NamedTuple):
    """One series over time: seconds since the epoch, rising, and as many values."""

    labels: Mapping[str, str]
    times: Floats
    values: Floats


class MalformedError(ValueError):
    """An answer that is none of Prometheus; says what is wrong with it."""


def instant(result: object) -> tuple[Sample, ...]:
    """The samples of an instant query's result. Raises MalformedError."""
    return tuple(Sample(labels, *_point(series.get("value"))) for labels, series in _series(result))


def over_time(result: object) -> tuple[Run, ...]:
    """The runs of a range query's result. Raises MalformedError."""
    runs = []
    for labels, series in _series(result):
        points = series.get("values")
        if not isinstance(points, list):
            raise MalformedError("a series has no values")
        table = np.array([_point(point) for point in points], dtype=np.float64).reshape(-1, 2)
        runs.append(Run(labels, table[:, 0], table[:, 1]))
    return tuple(runs)


def absurd(value: float) -> bool:
    """Whether it cannot be a rate, a count or an age."""
    return not isfinite(value) or value < 0


def fleet_of(labels: Mapping[str, str]) -> FleetKey | None:
    """Whose series it is; None where its labels do not say so."""
    namespace, name = labels.get("namespace"), labels.get("fleet")
    return FleetKey(namespace, name) if namespace and name else None


def _series(result: object) -> Iterator[tuple[Mapping[str, str], Mapping[str, Any]]]:
    if not isinstance(result, list):
        raise MalformedError("the result is no list of series")
    for series in result:
        labels = series.get("metric") if isinstance(series, dict) else None
        if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
            raise MalformedError("a series has no labels")
        yield labels, series


def _point(point: object) -> tuple[float, float]:
    if not isinstance(point, Sequence) or isinstance(point, str) or len(point) != 2:
        raise MalformedError("a sample is no pair of a time and a value")
    try:
        return float(point[0]), float(point[1])
    except (TypeError, ValueError) as exc:
        raise MalformedError(f"{str(point)[:64]} is no sample") from exc
