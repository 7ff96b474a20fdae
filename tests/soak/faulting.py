"""Does what the schedule says: to each engine, to the routers one after the other, and to their files."""

import asyncio
from collections.abc import Sequence
from typing import Final

from heterofleet.simulate.faults import Fault, Faults
from soak import exposition
from soak.engines import Engine
from soak.history import Trouble
from soak.schedule import ConfigChange, Drain, Ending, EngineFault, Schedule
from soak.site import Site

STALL_SECONDS: Final = 30.0
"""How long a stalled answer would stay open; routers give up long before."""

SEEN_SECONDS: Final = 2.0
"""How long routers have to see that an engine drains, as the operator gives them (contracts.md, "Drain")."""

DRAIN_SECONDS: Final = 30.0


async def perform(site: Site, schedule: Schedule) -> None:
    """Ends when everything that was done is over."""
    async with asyncio.TaskGroup() as group:
        for number, engine in enumerate(site.engines.values()):
            own = [fault for fault in schedule.engines if fault.engine == number]
            group.create_task(_trouble(site, engine, own), name=f"trouble of {engine.key}")
        group.create_task(_end_routers(site, schedule), name="end routers")
        group.create_task(_change_configs(site, schedule.configs), name="change configurations")


async def _trouble(site: Site, engine: Engine, faults: Sequence[EngineFault]) -> None:
    for fault in faults:
        await _until(site, fault.at)
        site.faults[fault.kind] += 1
        if fault.kind is Drain.DRAIN:
            await _drain(site, engine, fault.seconds)
            continue
        episode = site.history.begin(engine.key, fault.kind, site.now())
        if fault.kind is Trouble.KILLED:
            await engine.kill()
            await asyncio.sleep(fault.seconds)
            await engine.start()
        else:
            engine.suffer(_faults(fault))
            await asyncio.sleep(fault.seconds)
            engine.suffer(Faults())
        episode.until = site.now()


def _faults(fault: EngineFault) -> Faults:
    match fault.kind:
        case Trouble.SLOW:
            return Faults(slow=fault.size)
        case Trouble.MUTE:
            return Faults(mute=True)
        case Trouble.REFUSES:
            return Faults(refuse_seconds=fault.seconds)
        case _:
            seed = int(fault.at * 1000)
            return Faults(shares={Fault(fault.kind.value): fault.size}, stall_seconds=STALL_SECONDS, seed=seed)


async def _drain(site: Site, engine: Engine, seconds: float) -> None:
    """As the operator does it: out of the endpoints, in flight to zero, and only then gone. No trouble to anyone."""
    site.configuration.drain(engine.key)
    await asyncio.sleep(SEEN_SECONDS)
    gives_up, quiet = site.now() + DRAIN_SECONDS, 0
    while quiet < 2 and site.now() < gives_up:
        quiet = 0 if await _in_flight(site, engine) else quiet + 1
        await asyncio.sleep(0.2)
    await engine.drain(DRAIN_SECONDS)
    await asyncio.sleep(seconds)
    await engine.start()
    site.configuration.serve(engine.key)


async def _in_flight(site: Site, engine: Engine) -> bool:
    """Whether the engine or a router has anything left there; who cannot be asked counts as busy."""
    if engine.held:
        return True
    for router in site.routers:
        try:
            said = await exposition.scrape(router)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            return True
        if said.of("in_flight_requests").get((engine.key, engine.tier.value)):
            return True
    return False


async def _end_routers(site: Site, schedule: Schedule) -> None:
    for fault in schedule.routers:
        await _until(site, fault.at)
        if site.now() - site.begins > schedule.routers_until:
            return
        site.faults[fault.kind] += 1
        router = site.routers[fault.router]
        await (router.end() if fault.kind is Ending.TERMINATED else router.kill())
        await router.start()
        # Clients must see it before the other one ends.
        await asyncio.sleep(1.0)


async def _change_configs(site: Site, changes: Sequence[ConfigChange]) -> None:
    for change in changes:
        await _until(site, change.at)
        site.faults["configuration refused" if change.variation is None else "configuration changed"] += 1
        site.configuration.vary(change.variation)
    site.configuration.vary(0)


async def _until(site: Site, at: float) -> None:
    await asyncio.sleep(max(0.0, site.begins + at - site.now()))
