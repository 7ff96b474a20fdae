"""What kopf calls: each event of a fleet or of a tier goes into the cache, which queues the fleet's key.

kopf watches the two custom resources and brings its reconnecting and its logins; it stores nothing on objects
here: there are only `on.event` handlers (no finalizer, no annotation), which return None (a value would be written
into status). Bodies are handed on unread; whether they still parse is `reconcile`'s to say, fleet by fleet.
"""

import asyncio
from typing import Any, Final

import kopf

from heterofleet.api import labels
from heterofleet.api.labels import Manifest
from heterofleet.cluster.cache import Cache
from heterofleet.cluster.objects import Ref

STREAM_SECONDS: Final = 290
"""A whole number: kopf hands it to the API server as it is written."""
CONNECT_SECONDS: Final = 10.0
REQUEST_SECONDS: Final = 30.0


class Forwarder:
    """Hands events over from kopf's thread to the event loop that owns the cache."""

    def __init__(self, loop: asyncio.AbstractEventLoop, cache: Cache) -> None:
        self._loop = loop
        self._cache = cache

    def forward(self, event: kopf.RawEvent) -> None:
        self._loop.call_soon_threadsafe(take, event["type"], dict(event["object"]), self._cache)


def registry(forwarder: Forwarder) -> kopf.OperatorRegistry:
    """Gives kopf's handlers."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_kubeconfig(**kwargs) or kopf.login_with_service_account(**kwargs)

    @kopf.on.event(labels.GROUP, labels.VERSION, labels.FLEET_PLURAL, registry=handlers)
    async def fleet_changed(event: kopf.RawEvent, **_: Any) -> None:
        forwarder.forward(event)

    @kopf.on.event(labels.GROUP, labels.VERSION, labels.TIER_PLURAL, registry=handlers)
    async def tier_changed(event: kopf.RawEvent, **_: Any) -> None:
        forwarder.forward(event)

    return handlers


def take(change: str | None, body: Manifest, cache: Cache) -> None:
    """Takes one watch event into the cache, which queues the fleet's key if it is news."""
    if change == "DELETED":
        metadata = body["metadata"]
        cache.remove(Ref.of(body), metadata["uid"], int(metadata["resourceVersion"]))
    else:
        cache.put(body)


def configuration() -> kopf.OperatorSettings:
    """Gives kopf's settings: it reads two kinds, with bounds on everything, and writes nothing."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True  # Both kinds are there when it starts, so it needs no right on CRDs.
    settings.peering.standalone = True  # The Lease decides who writes.
    settings.watching.label_selectors[labels.GROUP, labels.VERSION, labels.TIER_PLURAL] = labels.FLEET
    settings.watching.chunk_size = 100  # A page of fleets with their statuses is decoded whole: 500 are 25 MB.
    settings.watching.server_timeout = STREAM_SECONDS
    settings.watching.client_timeout = STREAM_SECONDS + CONNECT_SECONDS
    settings.watching.connect_timeout = CONNECT_SECONDS
    settings.networking.request_timeout = REQUEST_SECONDS
    settings.networking.connect_timeout = CONNECT_SECONDS
    settings.queueing.idle_timeout = 0.5  # A worker task for each object, idle, is memory for nothing.
    settings.queueing.exit_timeout = 0.5
    settings.process.ultimate_exiting_timeout = 60
    return settings
