"""Stands in for a Service: new connections go to routers that were ready at the last look."""

import asyncio
import random
from collections.abc import Collection, Sequence
from typing import Final

from soak.routers import Router

LOOK_SECONDS: Final = 0.2


class Service:
    """The ready ones of two replicas."""

    def __init__(self, routers: Sequence[Router], chance: random.Random) -> None:
        self._routers, self._chance = routers, chance
        self._ready: frozenset[str] = frozenset(router.name for router in routers)

    async def watch(self) -> None:
        """Looks until it is cancelled."""
        while True:
            found = await asyncio.gather(*(router.is_ready() for router in self._routers))
            self._ready = frozenset(r.name for r, ready in zip(self._routers, found, strict=True) if ready)
            await asyncio.sleep(LOOK_SECONDS)

    def pick(self, refused: Collection[str]) -> Router | None:
        """A ready router whose connections were not refused just now; None where there is none."""
        open_ = [router for router in self._routers if router.name in self._ready and router.name not in refused]
        return self._chance.choice(open_) if open_ else None
