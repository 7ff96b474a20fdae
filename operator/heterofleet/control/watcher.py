"""Runs kopf in a thread of its own.

When kopf stops it cancels every task of its event loop that it did not find there at its start, ours included: a
running reconcile would be cut off, and the Lease not be given back. Its own loop also keeps its bookkeeping of
three thousand objects from delaying a renewal of the Lease.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence
from typing import Any

import kopf

from heterofleet.api import labels
from heterofleet.cluster.cache import Cache
from heterofleet.control import handlers

STOP_SECONDS = 5.0
_IDENTITY: Any = labels.FIELD_MANAGER
"""kopf has a type for it that it keeps to itself."""


class WatcherEndedError(Exception):
    """kopf ended by itself: the process must start anew."""


async def run(cache: Cache, namespaces: Sequence[str]) -> None:
    """Watches the custom resources until cancelled; raises `WatcherEndedError` if kopf gives up."""
    thread = _Thread(handlers.Forwarder(asyncio.get_running_loop(), cache), tuple(namespaces))
    thread.start()
    try:
        error = await asyncio.shield(thread.ended)
        raise WatcherEndedError(f"kopf ended: {error or 'without an error'}") from error
    finally:
        thread.stop()
        await asyncio.wait([thread.ended], timeout=STOP_SECONDS)


class _Thread:
    """A thread with kopf's event loop; `ended` gets, in the caller's loop, what kopf ended with."""

    def __init__(self, forwarder: handlers.Forwarder, namespaces: Sequence[str]) -> None:
        self._outer = asyncio.get_running_loop()
        self._inner = asyncio.new_event_loop()
        self._stop = asyncio.Event()  # kopf's to wait for, in its own loop.
        self._forwarder = forwarder
        self._namespaces = namespaces
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)
        self.ended: asyncio.Future[BaseException | None] = self._outer.create_future()

    def start(self) -> None:
        # It says at each start that signals are not its own here, as a warning; they are main's.
        logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
        self._thread.start()

    def stop(self) -> None:
        if not self._inner.is_closed():
            self._inner.call_soon_threadsafe(self._stop.set)

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            kopf.run(
                loop=self._inner,
                # Else it makes up a name from its user's, and the image's user is a number that has none.
                identity=_IDENTITY,
                registry=handlers.registry(self._forwarder),
                settings=handlers.configuration(),
                standalone=True,
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
                stop_flag=self._stop,
            )
        except BaseException as exc:  # noqa: BLE001 (whatever it is, the task that waits for it is told)
            error = exc
        self._inner.close()
        if not self._outer.is_closed():
            self._outer.call_soon_threadsafe(self._settle, error)

    def _settle(self, error: BaseException | None) -> None:
        if not self.ended.done():
            self.ended.set_result(error)
