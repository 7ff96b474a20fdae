"""Tries a tier on real requests: copies of what the other tier has answered; answers are measured and thrown away.

So a model can be seen on a fleet's own traffic before anybody depends on it (mode Advisory of the router). Only in room
that nobody else wants, and after the client has its answer.
"""

import random
from typing import Final, NamedTuple

from heterofleet.api.labels import Tier
from heterofleet.router import copies
from heterofleet.router.call import Call, Ending
from heterofleet.router.copies import Copies
from heterofleet.router.dispatch import Dispatcher, Place
from heterofleet.router.metrics import Metrics

GOOD: Final = "good"
FAILED: Final = "failed"
DROPPED: Final = "dropped"


class Shadows(NamedTuple):
    """The shadow traffic of one router."""

    copies: Copies
    dispatcher: Dispatcher
    metrics: Metrics
    chance: random.Random

    def after(self, call: Call) -> None:
        """Copies the call to the tier that is tried, if it is one of the share that the other tier has answered."""
        config = call.snapshot.policy.shadow
        tier = config.tier
        answered = call.ending in (Ending.OK, Ending.FLAWED) and call.tier not in (None, tier)
        if not answered or self.chance.random() >= config.share:
            return
        place = self.dispatcher.spare(tier, copies.need(call)) if self.copies.has_room else None
        if place is None:
            self.metrics.shadows.add(1, tier, DROPPED)
        else:
            self.copies.begin(self._measure(call, tier, place))

    async def _measure(self, call: Call, tier: Tier, place: Place) -> None:
        copied = await self.copies.ask(call, place)
        if copied.verdict is None:
            self.metrics.shadows.add(1, tier, FAILED)
            return
        self.metrics.shadows.add(1, tier, copied.verdict.reason or GOOD)
        self.metrics.shadow_seconds.of(tier).observe(copied.seconds)
