"""Sends the asks: at random moments of a given mean rate, with bursts, bounded in count and in time."""

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from soak import judging, records
from soak.asks import Ask
from soak.client import Client
from soak.records import Record

MOST_AT_ONCE: Final = 300
_BURST_EVERY_SECONDS: Final = 15.0
_BURST_SECONDS: Final = 2.0
_BURST: Final = 4.0


Pace = Callable[[float], float]
"""Asks a second, by the seconds since the soak began."""


class Timed(judging.Known, Protocol):
    """What a load knows of the soak that it is part of."""

    @property
    def now(self) -> Callable[[], float]: ...

    @property
    def begins(self) -> float: ...


class Load:
    """All that was asked; `held_back` counts asks that were left out since too many were under way."""

    def __init__(self, site: Timed, client: Client, asks: Iterator[Ask], chance: random.Random) -> None:
        self._site, self._client, self._asks, self._chance = site, client, asks, chance
        self._under_way = 0
        self.records: list[Record] = []
        self.held_back = 0

    async def send(self, seconds: float, pace: Pace) -> None:
        """Sends asks at random moments until `seconds` have passed; ends with the last answer."""
        async with asyncio.TaskGroup() as group:
            while (now := self._site.now() - self._site.begins) < seconds:
                await asyncio.sleep(self._chance.expovariate(pace(now)))
                if self._under_way >= MOST_AT_ONCE:
                    self.held_back += 1
                    continue
                self._under_way += 1
                group.create_task(self._one(next(self._asks)))

    async def _one(self, ask: Ask) -> None:
        try:
            heard = await self._client.send(ask)
            self.records.append(records.record(heard, judging.judge(heard, self._site), self._site.tiers))
        finally:
            self._under_way -= 1


def bursts(rate: float) -> Pace:
    """`rate` with a burst every now and then."""

    def pace(now: float) -> float:
        return rate * (_BURST if now % _BURST_EVERY_SECONDS > _BURST_EVERY_SECONDS - _BURST_SECONDS else 1.0)

    return pace
