"""`heterofleet status`: fleets of a cluster as a table, or one of them in depth; once, or again and again."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from heterofleet.api.labels import FLEET, TIER, Manifest, Tier
from heterofleet.cli import access, fleetdetail, fleettable, freshness, output, terminal
from heterofleet.cli.access import Api
from heterofleet.cli.fleetview import FleetView
from heterofleet.cli.kubeconfig import Target
from heterofleet.cluster import errors
from heterofleet.cluster.records import PodRecord

_EVERY_SECONDS: Final = 2.0


def run(options: argparse.Namespace) -> int:
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
    for without in fleettable.narrowings():
        table = fleettable.table(views, now, namespaces=options.all_namespaces, without=without)
        if terminal.fits(screen, table):
            break
    return table


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
    """Show the picture every two seconds; what could not be asked is said below the last one that could."""
    last: RenderableType = Text("")
    printed = ""
    with Live(console=screen, auto_refresh=False, screen=False, vertical_overflow="visible") as live:
        while True:
            try:
                last = shown = await picture(api, target, options, screen, datetime.now(UTC))
            except errors.Unavailable as error:
                shown = Group(last, Text(), Text(access.sentence(error, target), "red"))
            if screen.is_terminal:
                live.update(shown, refresh=True)
            else:
                printed = _print_if_new(screen, shown, printed)
            await asyncio.sleep(_EVERY_SECONDS)


def _print_if_new(screen: Console, shown: RenderableType, before: str) -> str:
    """A pipe cannot be painted over, so it gets each picture that differs, once."""
    wide = terminal.console(sys.stdout, 400)
    with wide.capture() as captured:
        wide.print(shown)
    text = captured.get()
    if text != before:
        terminal.show(screen, shown)
        screen.file.write("\n")
    return text
