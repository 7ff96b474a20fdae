"""Stands in for the routers' Service: new connections go to pods that said that they are ready at the last look.

The list of pods comes from the API server; while that is away the last one stands, as a node's proxy has it.
"""

import asyncio
import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from heterofleet.api import labels
from heterofleet.api.labels import Component
from soak.datacentre.site import Life, Site
from soak.routers import Replica

LOOK_SECONDS: Final = 0.2
_PODS_EVERY: Final = 5
"""Looks from one list of the pods to the next."""


@dataclass
class Door(Replica):
    """One router's pod."""

    life: Life


class Doors:
    """The ready ones."""

    def __init__(self, site: Site, chance: random.Random) -> None:
        self._site, self._chance = site, chance
        self._all: dict[str, Door] = {}
        self._ready: tuple[Door, ...] = ()

    async def watch(self) -> None:
        """Looks until it is cancelled."""
        listing: asyncio.Task[None] | None = None
        look = 0
        while True:
            if look % _PODS_EVERY == 0 and (listing is None or listing.done()):
                listing = asyncio.create_task(self._list())
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)
            look += 1

    async def look(self) -> None:
        doors = list(self._all.values())
        found = await asyncio.gather(*(door.is_ready() for door in doors))
        self._ready = tuple(door for door, ready in zip(doors, found, strict=True) if ready)

    def pick(self, refused: Collection[str]) -> Door | None:
        """A ready router whose connections were not refused just now; None where there is none."""
        open_ = [door for door in self._ready if door.name not in refused]
        return self._chance.choice(open_) if open_ else None

    async def _list(self) -> None:
        pods = await asyncio.to_thread(self._site.pods, component=Component.ROUTER.value)
        names = {pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}
        lives = {name: life for name, life in self._site.lives.items() if name in names and life.killed_at is None}
        self._all = {
            name: Door(name, life.host, labels.ROUTER_PORT, labels.METRICS_PORT, life) for name, life in lives.items()
        }
