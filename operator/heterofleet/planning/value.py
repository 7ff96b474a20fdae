"""What better answers are worth beside what they cost (the source, 6.2). All inputs are assumptions of a person.

    latency     = (baseline seconds - seconds) x USD a second x requests a day
    throughput  = (requests a day - baseline requests a day) x USD a request
    quality     = (share answered well - baseline share) x USD that correcting an answer costs x requests a day

The source leaves the scale of its terms open (a gain times a value a millisecond, of one request or of all); here
each is USD a day. What got worse counts below 0.
"""

from typing import Final, NamedTuple

MOST: Final = 1e12
MOST_SECONDS: Final = 86_400.0


class Service(NamedTuple):
    """What users get: mean seconds to a whole answer, requests a day, share of answers that need no correction."""

    seconds: float
    requests_a_day: float
    quality: float


class Worth(NamedTuple):
    """What it is worth: a second less for one request, one more request served, a correction that nobody makes."""

    usd_per_second: float = 0.0
    usd_per_request: float = 0.0
    usd_per_correction: float = 0.0


class Value(NamedTuple):
    """USD a day, against the baseline."""

    latency: float
    throughput: float
    quality: float

    @property
    def total(self) -> float:
        return sum(self)


def of(baseline: Service, now: Service, worth: Worth) -> Value:
    """What the change from `baseline` to `now` is worth. Raises ValueError with what to give instead."""
    for name, service in (("baseline", baseline), ("present", now)):
        if not (0 <= service.seconds <= MOST_SECONDS and 0 <= service.requests_a_day <= MOST):
            raise ValueError(f"the {name} seconds and requests a day must be numbers, 0 or more")
        if not 0 <= service.quality <= 1:
            percent = f", such as {service.quality / 100:g} for {service.quality:g} %" if service.quality > 1 else ""
            raise ValueError(f"{name} quality {service.quality:g}: give a share from 0 to 1{percent}")
    if not all(0 <= usd <= MOST for usd in worth):
        raise ValueError("what a second, a request and a correction are worth must be USD, 0 or more")
    served = now.requests_a_day
    return Value(
        latency=(baseline.seconds - now.seconds) * worth.usd_per_second * served,
        throughput=(now.requests_a_day - baseline.requests_a_day) * worth.usd_per_request,
        quality=(now.quality - baseline.quality) * worth.usd_per_correction * served,
    )
