"""One soak, from the first process to the verdict.

engines, routers -> a first rest -> load, faults and sampling at once -> a last rest -> metrics, logs -> report
"""

import asyncio
import contextlib
import logging
import os
import random
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from soak import accounts, asks, configuration, engines, exposition, faulting, fleet, resting, schedule
from soak.client import Client
from soak.configuration import Configuration
from soak.load import Load, bursts
from soak.report import Report
from soak.routers import Life, Router
from soak.sampling import Sampler
from soak.service import Service
from soak.site import Site

NETWORK: Final = f"127.0.{1 + os.getpid() % 254}"
"""Where engines and routers listen: no other program does, not even another soak; clients have other addresses."""

_EXPECTED_ERRORS: Final = ("the new configuration is refused",)
_ERRORS: Final = (" ERROR ", " CRITICAL ", "Traceback", "never retrieved", "never awaited")


def run(seed: int, seconds: float, rate: float, folder: Path) -> Report:
    """Soaks for `seconds` with `rate` asks a second in the mean; logs go to `folder`, which is emptied first."""
    # An engine that is killed loses whom it was writing to, which its server would report each time.
    logging.getLogger("aiohttp.server").addFilter(_is_no_lost_connection)
    return asyncio.run(_run(seed, seconds, rate, folder))


def _is_no_lost_connection(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], ConnectionError)


async def _run(seed: int, seconds: float, rate: float, folder: Path) -> Report:
    site = _site(folder)
    drawn = schedule.draw(
        seed, seconds, engines=len(site.engines), routers=len(site.routers), variations=len(configuration.VARIATIONS)
    )
    report = Report(seed, seconds, rate, drawn)
    async with _started(site):
        sampler = Sampler(site.routers, site.now)
        rest = await resting.first(sampler, site)
        await _soak(site, sampler, report)
        report.violations += await resting.left_over(sampler, site, rest)
        said = {router.life.name: await exposition.scrape(router) for router in site.routers}
        await asyncio.gather(*(router.end() for router in site.routers))
    logs = {life.name: accounts.read_log(life) for life in site.lives}
    report.violations += accounts.differences(report.records, site.lives, logs)
    for life in site.lives:
        report.violations += _complaints(life)
        if life.name in said:
            report.violations += accounts.miscounted(life, said[life.name], logs[life.name])
    report.faults, report.lives, report.samples = site.faults, site.lives, sampler.samples
    report.judge_as_a_whole()
    return report


def _site(folder: Path) -> Site:
    """Everything of a soak, not started yet."""
    shutil.rmtree(folder, ignore_errors=True)
    keys = folder / "keys"
    keys.mkdir(parents=True)
    for tenant, text in fleet.key_files().items():
        (keys / tenant).write_text(text)
    loop = asyncio.get_running_loop()
    origin = loop.time()

    def now() -> float:
        return loop.time() - origin

    made = engines.build(NETWORK)
    routers = tuple(Router(name, f"{NETWORK}.{number}", folder, now) for number, name in enumerate("ab", start=1))
    tiers = {key: engine.tier for key, engine in made.items()}
    return Site(made, routers, Configuration([router.config for router in routers], tiers), now)


@contextlib.asynccontextmanager
async def _started(site: Site) -> AsyncIterator[None]:
    """Engines and routers that run; however it ends, none is left behind."""
    try:
        await asyncio.gather(*(engine.start() for engine in site.engines.values()))
        site.configuration.vary(0)
        await asyncio.gather(*(router.start() for router in site.routers))
        yield
    finally:
        for life in site.lives:
            if life.process.returncode is None:
                life.process.kill()
                await life.process.wait()
        await asyncio.gather(*(engine.kill() for engine in site.engines.values()))


async def _soak(site: Site, sampler: Sampler, report: Report) -> None:
    """Load, faults and sampling at once, until the last answer is there and the last fault is over."""
    chance = random.Random(f"{report.seed}/load")
    service = Service(site.routers, chance)
    client = Client(service, site.now)
    load = Load(site, client, asks.endless(report.seed), chance)
    site.begins = site.now()
    watching = [asyncio.ensure_future(work) for work in (service.watch(), sampler.watch())]
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(load.send(report.seconds, bursts(report.rate)), name="load")
            group.create_task(faulting.perform(site, report.schedule), name="faults")
    finally:
        client.close()
        for watch in watching:
            watch.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    report.records, report.held_back = load.records, load.held_back


def _complaints(life: Life) -> list[str]:
    """What a process wrote to its log that it should not have had to."""
    lines = life.log.read_text().splitlines()
    return [
        f"{life.name} logs: {line}"
        for line in lines
        if any(mark in line for mark in _ERRORS) and not any(expected in line for expected in _EXPECTED_ERRORS)
    ]
