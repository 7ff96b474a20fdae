"""One soak of the data centre, from an empty cluster to the verdict.

cluster, operator, routers, Prometheus -> load, faults and looks at once -> healing -> events, logs -> report
"""

import asyncio
import contextlib
import itertools
import logging
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import yaml

from heterofleet.api import labels
from randomwalk import rules
from randomwalk.rules import Story
from soak import accounts, asks
from soak.client import Client
from soak.datacentre import facts, faulting, faults, house, invariants
from soak.datacentre.doors import Doors
from soak.datacentre.invariants import Invariant, Violation
from soak.datacentre.report import Report
from soak.datacentre.site import Site
from soak.datacentre.watching import Watch
from soak.judging import Kind
from soak.load import Load, Pace
from testbed.demo import replay
from testbed.eventually import DeadlineError, eventually, eventually_async

HEALING_SECONDS: Final = 180.0
WRITTEN_WITHIN_SECONDS: Final = 5.0
"""Of routers that still run: a line is held back for a tenth of a second, on a machine that does much else."""
_FIRST_LOOKS: Final = 3
_BEGIN: Final = 1440 + 7 * 60 + 35
_MORNING: Final = 1200
"""The second day of the trace from 07:35 on, in minutes: the work rises to three times as much and falls by half."""


def run(seed: int, seconds: float, rate: float, folder: Path) -> Report:
    """Soaks for `seconds` with `rate` asks a second in the trace's mean; logs go to `folder`, emptied first."""
    # An engine that is killed loses whom it was writing to, which its server would report each time.
    logging.getLogger("aiohttp.server").addFilter(_is_no_lost_connection)
    report = Report(seed, seconds, rate, faults.draw(seed, seconds))
    with house.opened(folder) as site:
        asyncio.run(_soak(site, report))
        _judge(site, report)
    return report


def _is_no_lost_connection(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], ConnectionError)


def pace(rate: float, seconds: float) -> Pace:
    """`rate` as the trace has it, both classes together, a minute of it a second; it ends where it began.

    Soaks that are shorter than the morning have all of it in less time, so that counts rise and fall in each.
    """
    hurry = max(1.0, _MORNING / seconds)
    trace: list[Sequence[float]] = list(replay.minutes().values())
    work: list[float] = [sum(minute) / len(trace) for minute in zip(*trace, strict=True)]

    def at(now: float) -> float:
        return rate * max(0.05, work[(_BEGIN + int(now * hurry)) % len(work)])

    return at


async def _soak(site: Site, report: Report) -> None:
    """Load, faults and looks at once, until the last answer is there and the fleet has healed."""
    chance = random.Random(f"{report.seed}/load")
    doors, watch = Doors(site, chance), Watch(site)
    client = Client(doors, site.now)
    load = Load(site, client, asks.endless(report.seed), chance)
    await asyncio.to_thread(site.pods)
    watching = [asyncio.create_task(work) for work in (doors.watch(), watch.watch(), faulting.keep(site))]
    try:
        await eventually_async(lambda: _begins(doors, watch), 60, "a router is ready")
        site.begins = site.now()
        async with asyncio.TaskGroup() as group:
            group.create_task(load.send(report.seconds, pace(report.rate, report.seconds)))
            group.create_task(faulting.perform(site, report.plan))
        report.healed_seconds = await _heal(site, watch)
    finally:
        client.close()
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    report.records, report.held_back = load.records, load.held_back
    report.done, report.away, report.samples, report.missed = site.done, site.away, watch.samples, watch.missed


async def _begins(doors: Doors, watch: Watch) -> bool:
    return doors.pick(()) is not None and len(watch.samples) >= _FIRST_LOOKS


async def _heal(site: Site, watch: Watch) -> float | None:
    """Seconds until the fleet was Ready and, unasked, as small as it may be, with nothing orphaned; or None."""
    began, fewest = site.now(), facts.fewest_gpus(yaml.safe_load(house.FLEET_FILE.read_text())["spec"])
    while site.now() - began < HEALING_SECONDS:
        last = watch.samples[-1]
        if (
            last.at > began
            and not last.orphans
            and last.is_ == last.told
            and last.gpus == fewest
            and await asyncio.to_thread(house.is_ready, site)
        ):
            return site.now() - began
        await asyncio.sleep(0.5)
    return None


def _judge(site: Site, report: Report) -> None:
    fleet = yaml.safe_load(house.FLEET_FILE.read_text())
    events = site.events.ordered()
    hold = fleet["spec"]["scaling"]["stabilizationSeconds"] / house.SCALE
    story = Story(events, site.events.deeds, site.written.all(), frozenset())
    counts = [_counts(event.body) for event in events if event.kind == labels.FLEET_KIND]
    report.counts = [after for before, after in itertools.pairwise([{}, *counts]) if after != before]
    report.violations += [
        *invariants.untold(report.samples, report.away),
        *invariants.written_twice(report.samples),
        *invariants.orphaned(report.samples),
        *invariants.oscillating(events, hold),
        *invariants.misled(report.records, invariants.drains(events), site.origin),
        *(Violation(str(broken.rule), None, broken.sentence) for broken in rules.judge(story)),
        *_requests(site, report),
    ]
    if report.healed_seconds is None:
        sentence = f"after {HEALING_SECONDS:g} s: {report.samples[-1]}; {house.conditions(site)}"
        report.violations.append(Violation(Invariant.HEALED, None, sentence))


def _counts(body: dict[str, dict[str, dict[str, dict[str, object]]]]) -> dict[str, object]:
    plan = body.get("status", {}).get("plan") or {}
    return {tier: plan[tier]["instances"] for tier in ("large", "small") if tier in plan}


def _requests(site: Site, report: Report) -> Iterator[Violation]:
    """Asks that came to what policy does not name, and those of which clients and access logs do not say the same."""
    for one in report.records:
        if one.kind is Kind.WRONG:
            yield Violation(Invariant.REQUESTS, one.began, f"{one.id} at {one.life}: {one.sentence}")
    for sentence in _differences(site, report):
        yield Violation(Invariant.REQUESTS, None, sentence)


def _differences(site: Site, report: Report) -> list[str]:
    """What clients and access logs do not say the same of, once routers have written what they hold back a moment."""
    found: list[str] = []

    def agree() -> bool:
        lives = [life for life in site.lives.values() if life.access_log.exists()]
        try:
            logs = {life.name: accounts.read_log(life) for life in lives}
        except ValueError as error:
            found[:] = [f"a line of an access log is not whole: {error}"]
        else:
            found[:] = accounts.differences(report.records, lives, logs)
        return not found

    with contextlib.suppress(DeadlineError):
        eventually(agree, WRITTEN_WITHIN_SECONDS)
    return found
