"""`heterofleet top`: fleets live, one line each, painted anew until it is interrupted; one picture with --once."""

import argparse
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from heterofleet.cli import access, freshness, output, terminal, topsources, toptable
from heterofleet.cli.access import Api
from heterofleet.cli.errors import UsageError
from heterofleet.cli.fleetview import FleetView
from heterofleet.cli.kubeconfig import Target
from heterofleet.cli.topflow import Flow
from heterofleet.cli.topsources import Source
from heterofleet.cli.toptable import Frame, Row
from heterofleet.cluster import errors

_BETWEEN_LOOKS_SECONDS: Final = 1.0
"""From the first look to the second, between which rates are counted."""


def run(options: argparse.Namespace) -> int:
    if options.fleet and options.all_namespaces:
        raise UsageError("a fleet is in one namespace: give FLEET or --all-namespaces, not both")

    async def session(api: Api, target: Target) -> int:
        screen = terminal.console()
        async with _source(api, target, options) as source:
            if options.output != "table":
                rows, _ = await look(api, target, options, source)
                output.dump(options.output, [toptable.values(row) for row in rows])
            elif options.once or not screen.is_terminal:
                terminal.show(screen, await _once(api, target, options, source, screen))
            else:
                await paint(pictures(api, target, options, source, screen), screen)
        return 0

    return access.run(options, session)


@contextlib.asynccontextmanager
async def _source(api: Api, target: Target, options: argparse.Namespace) -> AsyncIterator[Source]:
    if options.prometheus:
        async with topsources.prometheus(options.prometheus) as asked:
            yield asked
    else:
        namespace = None if options.all_namespaces else target.namespace
        yield topsources.Routers(
            api, namespace, time.monotonic, lambda: asyncio.sleep(min(_BETWEEN_LOOKS_SECONDS, options.interval))
        )


async def look(api: Api, target: Target, options: argparse.Namespace, source: Source) -> tuple[list[Row], str]:
    """The rows in the order that is asked for, and what there is to say of those that know no flow."""
    if options.fleet:
        manifests = [await access.fleet(api, target.namespace, options.fleet)]
    else:
        manifests = await api.list(access.fleets(None if options.all_namespaces else target.namespace))
    views = [FleetView.of(manifest) for manifest in manifests]
    flows = await source.flows([view.key for view in views])
    rows = [Row(view, flows.of.get(view.key, Flow())) for view in views]
    return toptable.ordered(rows, options.sort), flows.note


async def picture(
    api: Api, target: Target, options: argparse.Namespace, source: Source, frame: Frame, now: datetime
) -> RenderableType:
    """What is to be seen now."""
    rows, note = await look(api, target, options, source)
    warning = freshness.sentence(await freshness.operator(api), now)
    if not rows:
        where = "in any namespace" if options.all_namespaces else f"in namespace {target.namespace}"
        return Text(f"No fleets {where}.")
    return toptable.picture(rows, frame, "\n".join(said for said in (warning, note) if said), now)


async def _once(
    api: Api, target: Target, options: argparse.Namespace, source: Source, screen: Console
) -> RenderableType:
    frame = Frame(screen.width if screen.is_terminal else None, None, options.all_namespaces)
    return await picture(api, target, options, source, frame, datetime.now(UTC))


async def pictures(
    api: Api,
    target: Target,
    options: argparse.Namespace,
    source: Source,
    screen: Console,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[RenderableType]:
    """Pictures without end, as large as the screen is then; an outage is said below the last one."""
    last: RenderableType = Text("")
    while True:
        try:
            frame = Frame(screen.width, screen.height, options.all_namespaces)
            last = await picture(api, target, options, source, frame, datetime.now(UTC))
            yield last
        except errors.Unavailable as error:
            yield Group(
                last, Text(), Text(f"At {datetime.now(UTC):%H:%M:%S} UTC {access.sentence(error, target)}.", "red")
            )
        await pause(options.interval)


async def paint(shown: AsyncIterator[RenderableType], screen: Console) -> None:
    """Paint each picture over the last; what was seen last stays to be read after the interrupt."""
    last: RenderableType = Text("")
    try:
        with Live(console=screen, auto_refresh=False, screen=True) as live:
            async for last in shown:
                live.update(last, refresh=True)
    finally:
        terminal.show(screen, last)
