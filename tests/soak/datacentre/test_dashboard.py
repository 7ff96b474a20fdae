"""The dashboard and the recorded ratios before a whole data centre: real operator, routers and simulated engines."""

import asyncio
import random
from pathlib import Path
from typing import Final

import pytest

from metrics.expressions import panels, recorded, without_data
from soak import asks
from soak.client import Client
from soak.datacentre import house
from soak.datacentre.doors import Doors
from soak.datacentre.site import PLACE, Site
from soak.load import Load
from testbed.eventually import eventually_async

ASKS_A_SECOND: Final = 25.0
SECONDS: Final = 45
NOT_HERE: Final = ("heterofleet_router_reviews_total", "heterofleet_operator_budget_usd_per_day")
"""No answer of this fleet is held for a person, and no budget of money is set."""


@pytest.mark.timeout(500)
def test_every_expression_is_understood_and_has_data(tmp_path: Path):
    with house.opened(tmp_path / "house") as site:
        silent = asyncio.run(_silent(site))
    assert [asked for asked in sorted(silent) if not any(word in asked for word in NOT_HERE)] == []


async def _silent(site: Site) -> set[str]:
    """Expressions without data in all the time of a load."""
    chance = random.Random(7)
    doors = Doors(site, chance)
    client = Client(doors, site.now)
    load = Load(site, client, asks.endless(7), chance)
    await asyncio.to_thread(site.pods)
    looking = asyncio.create_task(doors.watch())
    await eventually_async(lambda: _open(doors), 60, "a router is ready")
    site.begins = site.now()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(load.send(SECONDS, lambda _: ASKS_A_SECOND))
            expressions = {*panels(PLACE, PLACE, "5s"), *recorded(house.SCALE)}
            return await without_data(site.prometheus, expressions, SECONDS, lambda: asyncio.sleep(1))
    finally:
        client.close()
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def _open(doors: Doors) -> bool:
    return doors.pick(()) is not None
