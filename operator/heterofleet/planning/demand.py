"""What work each tier is asked for, from what its class offers, what waits, and what the other tier takes or hands on.

    large = plan + escalation rate x act
    small = act - what idle large instances may take of it (`relieved`)

in work tokens a second, as a forecast (`expected`, `upper`) and as a reactive floor:

    floor = offered + work that will still wait when an instance ordered now would serve / scaling.reactive.queueSeconds

What is absent or absurd (no number, negative, beyond any fleet) is not known, which is never zero: `known` is False,
and `missing` says what it was.
"""

from dataclasses import dataclass, replace
from math import hypot
from typing import Final

from heterofleet.api.labels import Tier
from heterofleet.planning.situation import CLASS_OF, ClassLoad, Situation, TierNow

_MOST: Final = 1e15
"""Work, seconds or USD beyond this are no measurement, and their products would not be finite."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Work of one tier, in work tokens a second. `backlog` is what works off in time what waits."""

    expected: float = 0.0
    upper: float = 0.0
    offered: float = 0.0
    backlog: float = 0.0
    missing: str = ""

    @property
    def known(self) -> bool:
        return not self.missing

    @property
    def floor(self) -> float:
        return self.offered + self.backlog

    @property
    def work(self) -> float:
        """What the tier shall carry."""
        return max(self.upper, self.floor)


def known(value: float | None) -> float | None:
    """The value where it can be one; None where it is absent or absurd."""
    return value if value is not None and 0 <= value <= _MOST else None


def of_small(situation: Situation) -> Demand:
    """What the act class asks for, all of it on the small tier."""
    return _of_class(situation, Tier.SMALL)


def of_large(situation: Situation, act: Demand) -> Demand:
    """What the plan class asks for, and the act work whose small answer will not be good enough."""
    plan = _of_class(situation, Tier.LARGE)
    rate = known(situation.escalation_rate) or 0.0
    if not rate:
        return plan
    return replace(
        plan,
        expected=plan.expected + rate * act.expected,
        upper=plan.upper + rate * act.upper,
        offered=plan.offered + rate * act.offered,
        missing=plan.missing or act.missing,
    )


def relieved(act: Demand, large: Demand, capacity: float, share: float) -> Demand:
    """What is left of the act work for the small tier, where large instances carry `capacity` and some of it is idle.

    Both tiers seldom reach their upper forecasts at once. The margins of independent errors add as squares, so that
    what both must carry together is less than the sum, and the small tier need only carry what is beyond `capacity`.
    At least 1 - `share` of the act work stays with the small tier: what large instances take was measured up to there.
    """
    if not (act.known and large.known):
        return act
    margin = hypot(large.upper - large.expected, act.upper - act.expected)
    together = large.expected + act.expected + margin
    keeps = 1.0 - min(1.0, known(share) or 0.0)
    return replace(
        act,
        expected=_between(keeps * act.expected, act.expected - max(0.0, capacity - large.expected), act.expected),
        upper=_between(keeps * act.upper, together - capacity, act.upper),
        offered=_between(keeps * act.offered, act.offered - max(0.0, capacity - large.floor), act.offered),
    )


def _of_class(situation: Situation, tier: Tier) -> Demand:
    request_class = CLASS_OF[tier]
    load = situation.loads.get(request_class) or ClassLoad(None, None)
    now = situation.tiers[tier]
    offered = known(load.offered)
    waiting = known(load.waiting) or 0.0
    backlog = _still_waiting(waiting, offered, now) / situation.spec.scaling.reactive.queue_seconds
    forecast = load.forecast
    expected = known(forecast.expected) if forecast is not None else None
    upper = known(forecast.upper) if forecast is not None else None
    missing = ""
    if expected is None or upper is None:
        missing = f"the forecast of class {request_class}"
    elif offered is None:
        missing = f"the load of class {request_class}"
    if offered is None and backlog > 0:
        # Nobody waits while an instance is free, so those that are ready are taken for full.
        offered = now.ready * (known(now.capacity) or 0.0)
    middle = expected or 0.0
    return Demand(middle, max(middle, upper or 0.0), offered or 0.0, backlog, missing)


def _still_waiting(waiting: float, offered: float | None, now: TierNow) -> float:
    """Work that will be left of what waits when an instance that is ordered now would serve.

    Until then what is ready works on it with what new work leaves over, and so does what boots, once it is there.
    """
    capacity = known(now.capacity) or 0.0
    wait = known(now.startup_seconds) or 0.0
    if not waiting or offered is None:
        return waiting
    served = now.ready * wait + sum(max(0.0, wait - eta) for eta in now.booting)
    return max(0.0, waiting - max(0.0, served * capacity - offered * wait))


def _between(least: float, value: float, most: float) -> float:
    return max(least, min(value, most))
