"""Sends the asks: at random moments of a given mean rate, with bursts, bounded in count and in time."""

import asyncio
import random
from collections.abc import Iterator
from typing import Final

from soak import judging, records
from soak.asks import Ask
from soak.client import Client
from soak.records import Record
from soak.site import Site

MOST_AT_ONCE: Final = 300
_BURST_EVERY_SECONDS: Final = 15.0
_BURST_SECONDS: Final = 2.0
_BURST: Final = 4.0


class Load:
    """All that was asked; `held_back` counts asks that were left out since too many were under way."""

    def __init__(self, site: Site, client: Client, asks: Iterator[Ask], chance: random.Random) -> None:
        self._site, self._client, self._asks, self._chance = site, client, asks, chance
        self._under_way = 0
        self.records: list[Record] = []
        self.held_back = 0

    async def send(self, seconds: float, rate: float) -> None:
        """Sends `rate` asks a second in the mean until `seconds` have passed; ends with the last answer."""
        async with asyncio.TaskGroup() as group:
            while (now := self._site.now() - self._site.begins) < seconds:
                burst = _BURST if now % _BURST_EVERY_SECONDS > _BURST_EVERY_SECONDS - _BURST_SECONDS else 1.0
                await asyncio.sleep(self._chance.expovariate(rate * burst))
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
