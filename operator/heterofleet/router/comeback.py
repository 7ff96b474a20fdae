"""When a request that nobody could take is worth sending again: the Retry-After of a 503.

    at once, a second   an engine lets requests through, so that it was busy, or another may answer
    then                the first breaker lets its trial through, or the first instance that boots is there
    a minute            nothing is known to come

A 502 or 504 says nothing of the kind: the same request would most likely end the same way.
"""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from heterofleet.api.routing import Arrival
from heterofleet.router.breaker import Breaker

SOONEST_SECONDS: Final = 1.0
LATEST_SECONDS: Final = 60.0


def seconds(breakers: Iterable[Breaker], arrivals: Iterable[Arrival], now: float, wall: float) -> float:
    """In how many seconds to come again: `breakers` and `arrivals` are of the engines that may answer.

    `now` is monotonic, as breakers count; `wall` is the Unix time, as the plan does.
    """
    shut = (breaker.seconds_shut(now) for breaker in breakers)
    # An instance that is late is no reason to come at once: nobody knows how late.
    booting = (left for arrival in arrivals if (left := (arrival.at - _at(wall)).total_seconds()) > 0)
    first = min((*shut, *booting), default=math.inf)
    return max(SOONEST_SECONDS, min(first, LATEST_SECONDS))


def _at(wall: float) -> datetime:
    return datetime.fromtimestamp(wall, UTC)
