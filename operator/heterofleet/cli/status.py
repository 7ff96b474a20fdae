"""`heterofleet status`: fleets of a cluster as a table, or one of them in depth; once, or again and again."""

import argparse
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from heterofleet.api.labels import FLEET, TIER, Manifest, Tier
from heterofleet.cli import access, columns, fleetdetail, fleettable, freshness, output, terminal
from heterofleet.cli.access import Api
from heterofleet.cli.errors import UsageError
from heterofleet.cli.fleetview import FleetView
from heterofleet.cli.kubeconfig import Target
from heterofleet.cluster import errors
from heterofleet.cluster.records import PodRecord

_EVERY_SECONDS: Final = 2.0


def run(options: argparse.Namespace) -> int:
    if options.fleet and options.all_namespaces:
        raise UsageError("a fleet is in one namespace: give FLEET or --all-namespaces, not both")
    if options.watch and options.output != "table":
        raise UsageError("--watch shows tables: leave --output out")

    async def session(api: Api, target: Target) -> int:
        screen = terminal.console()
        if options.output == "name":
            await _print_names(api, target, options)
        elif options.output != "table":
            output.dump(options.output, await _objects(api, target, options))
        elif options.watch:
            await _watch(api, target, options, screen)
        else:
            terminal.show(screen, await picture(api, target, options, screen, datetime.now(UTC)))
        return 0

    return access.run(options, session)


async def picture(
    api: Api, target: Target, options: argparse.Namespace, screen: Console, now: datetime
) -> RenderableType:
    """What is to be seen now."""
    shown = await (_one if options.fleet else _many)(api, target, options, screen, now)
    warning = freshness.sentence(await freshness.operator(api), now)
    return Group(shown, Text(), Text(warning, "yellow")) if warning else shown


async def _many(
    api: Api, target: Target, options: argparse.Namespace, screen: Console, now: datetime
) -> RenderableType:
    manifests = await _items(api, target, options)
    views = sorted((FleetView.of(manifest) for manifest in manifests), key=lambda view: view.key)
    if not views:
        where = "in any namespace" if options.all_namespaces else f"in namespace {target.namespace}"
        return Text(f"No fleets {where}.")
    room = screen.width if screen.is_terminal else None
    return columns.table(fleettable.within(room, views, now, namespaces=options.all_namespaces))


def _namespace(target: Target, options: argparse.Namespace) -> str | None:
    return None if options.all_namespaces else target.namespace


async def _one(api: Api, target: Target, options: argparse.Namespace, _: Console, now: datetime) -> RenderableType:
    view = FleetView.of(await access.fleet(api, target.namespace, options.fleet))
    return fleetdetail.detail(view, await _ranks(api, view), now)


async def _ranks(api: Api, view: FleetView) -> Sequence[PodRecord]:
    """The large tier's pods; who may not read pods sees the rest all the same."""
    selector = f"{FLEET}={view.key.name},{TIER}={Tier.LARGE}"
    try:
        pods = await api.list(f"/api/v1/namespaces/{view.key.namespace}/pods", {"labelSelector": selector})
    except errors.Forbidden:
        return ()
    return tuple(PodRecord.of(pod) for pod in pods)


async def _print_names(api: Api, target: Target, options: argparse.Namespace) -> None:
    """For completion and for loops in shells; over all namespaces each name says where it lies."""
    for view in sorted((FleetView.of(item) for item in await _items(api, target, options)), key=lambda one: one.key):
        print(f"{view.key.namespace}/{view.key.name}" if options.all_namespaces else view.key.name)


async def _items(api: Api, target: Target, options: argparse.Namespace) -> list[Manifest]:
    if options.fleet:
        return [await access.fleet(api, target.namespace, options.fleet)]
    return await api.list(access.fleets(_namespace(target, options)))


async def _objects(api: Api, target: Target, options: argparse.Namespace) -> Any:
    items = await _items(api, target, options)
    return items[0] if options.fleet else {"apiVersion": "v1", "kind": "List", "items": items}


async def _watch(api: Api, target: Target, options: argparse.Namespace, screen: Console) -> None:
    shown = pictures(api, target, options, screen)
    await (_paint(shown, screen) if screen.is_terminal else _append(shown, screen))


async def _paint(shown: AsyncIterator[RenderableType], screen: Console) -> None:
    last: RenderableType = Text("")
    try:
        with Live(console=screen, auto_refresh=False, screen=True) as live:
            async for last in shown:
                live.update(last, refresh=True)
    finally:
        # The watched screen is gone with the interrupt; what was seen last stays to be read.
        terminal.show(screen, last)


async def _append(shown: AsyncIterator[RenderableType], screen: Console) -> None:
    """A pipe cannot be painted over, so it gets each picture that differs, once."""
    before = ""
    async for picture_ in shown:
        text = terminal.text(picture_)
        if text != before:
            screen.file.write(f"{text}\n")
            screen.file.flush()
        before = text


async def pictures(
    api: Api,
    target: Target,
    options: argparse.Namespace,
    screen: Console,
    pause: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(_EVERY_SECONDS),
) -> AsyncIterator[RenderableType]:
    """What is to be seen, again and again; what could not be asked is said below the last that could."""
    last: RenderableType = Text("")
    while True:
        try:
            last = await picture(api, target, options, screen, datetime.now(UTC))
            yield last
        except errors.Unavailable as error:
            yield Group(last, Text(), Text(f"At {_clock()} {access.sentence(error, target)}.", "red"))
        await pause()


def _clock() -> str:
    return f"{datetime.now(UTC):%H:%M:%S} UTC"
