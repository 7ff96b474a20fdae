"""Runs kopf in a thread of its own.

When kopf stops it cancels every task of its event loop that it did not find there at its start, ours included: a
running reconcile would be cut off, and the Lease not be given back. Its own loop also keeps its bookkeeping of
three thousand objects from delaying a renewal of the Lease.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence

import kopf

from heterofleet.cluster.cache import Cache
from heterofleet.control import handlers

STOP_SECONDS = 5.0


class WatcherEndedError(Exception):
    """kopf ended by itself: the process must start anew."""


async def run(cache: Cache, namespaces: Sequence[str]) -> None:
    """Watches the custom resources until cancelled; raises `WatcherEndedError` if kopf gives up."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[BaseException | None] = loop.create_future()
    stop = threading.Event()
    # It says at each start that signals are not its own here, as a warning; they are main's.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)

    def settle(error: BaseException | None) -> None:
        if not ended.done():
            ended.set_result(error)

    def watch() -> None:
        error: BaseException | None = None
        try:
            kopf.run(
                registry=handlers.registry(handlers.Forwarder(loop, cache)),
                settings=handlers.configuration(),
                standalone=True,
                clusterwide=not namespaces,
                namespaces=namespaces,
                stop_flag=stop,
            )
        except BaseException as exc:  # noqa: BLE001 (whatever it is, the process that waits for it is told)
            error = exc
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, error)

    thread = threading.Thread(target=watch, name="kopf", daemon=True)
    thread.start()
    try:
        error = await asyncio.shield(ended)
        raise WatcherEndedError(f"kopf ended: {error or 'without an error'}") from error
    finally:
        stop.set()
        await asyncio.wait([ended], timeout=STOP_SECONDS)
