"""What a load is, in the few figures that decide whether a mixed fleet pays.

N is measured as act requests for each plan request. Rates are of the busiest hour and of the mean; minutes that are not
known count for nothing.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np

from heterofleet.api.routing import RequestClass
from heterofleet.simulate.trace import MINUTE_SECONDS, Floats, Trace

_HOUR: Final = 60

ASSUMED_ESCALATION: Final = 0.05
"""Share of act work that comes again at the large tier, where nobody has measured it."""


@dataclass(frozen=True, slots=True)
class ClassProfile:
    """One class: requests a second on average and in the busiest hour, tokens of a mean request."""

    mean_qps: float
    peak_qps: float
    prompt_tokens: float
    output_tokens: float


@dataclass(frozen=True, slots=True)
class LoadProfile:
    """`escalation` is what is sized with; `measured` says whether it is more than an assumption."""

    days: float
    plan: ClassProfile
    act: ClassProfile
    peak_qps: float
    escalation: float
    escalation_measured: bool
    batch: bool

    @property
    def steps(self) -> float:
        """N: act requests for each plan; infinite where nothing plans."""
        return self.act.mean_qps / self.plan.mean_qps if self.plan.mean_qps > 0 else inf

    @property
    def output_tokens(self) -> float:
        """Of a mean answer of either class."""
        requests = self.plan.mean_qps + self.act.mean_qps
        tokens = sum(each.mean_qps * each.output_tokens for each in (self.plan, self.act))
        return tokens / requests if requests > 0 else 0.0

    @property
    def swing(self) -> float:
        """The busiest hour over the mean."""
        mean = self.plan.mean_qps + self.act.mean_qps
        return self.peak_qps / mean if mean > 0 else 1.0


def of(trace: Trace, escalation: float | None, *, batch: bool) -> LoadProfile:
    """The profile of a trace; `escalation` None where it was not measured."""
    classes = {name: trace.classes[name] for name in RequestClass}
    profiles = {}
    for name, traffic in classes.items():
        prompt, output = traffic.mean_tokens()
        profiles[name] = ClassProfile(_mean(traffic.requests), _peak(traffic.requests), prompt, output)
    together = np.nan_to_num(classes[RequestClass.PLAN].requests) + np.nan_to_num(classes[RequestClass.ACT].requests)
    return LoadProfile(
        days=trace.days,
        plan=profiles[RequestClass.PLAN],
        act=profiles[RequestClass.ACT],
        peak_qps=_peak(together),
        escalation=ASSUMED_ESCALATION if escalation is None else escalation,
        escalation_measured=escalation is not None,
        batch=batch,
    )


def _mean(requests: Floats) -> float:
    return float(np.nanmean(requests)) / MINUTE_SECONDS


def _peak(requests: Floats) -> float:
    """Of the busiest hour, or of all minutes where there are fewer."""
    known = np.nan_to_num(requests)
    width = min(_HOUR, len(known))
    means = np.convolve(known, np.ones(width) / width, mode="valid")
    return float(means.max(initial=0.0)) / MINUTE_SECONDS
