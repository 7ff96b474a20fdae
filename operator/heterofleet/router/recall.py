"""Answers that are given again, as the pipeline looks for them and keeps them: the edge between a call and the caches.

The exact cache serves the small tier. Its key is worked out once a request and only where policy and client allow it; what
was found is replayed as a stream where one was asked for.
"""

import asyncio
import logging
import time
from typing import Final

from heterofleet.api.labels import Tier
from heterofleet.api.policy import Cache, CacheUse
from heterofleet.router import cache, replay
from heterofleet.router.answers import AnswerCache
from heterofleet.router.cache import EmbeddedCache
from heterofleet.router.call import Call, Ending, Given
from heterofleet.router.replay import NotReplayable
from heterofleet.router.stores import Store

_log = logging.getLogger(__name__)

EXACT: Final = "exact"
_JSON: Final = b"application/json"
_EVENTS: Final = b"text/event-stream; charset=utf-8"


class Recall:
    """The caches of one router."""

    def __init__(self) -> None:
        self._policy = Cache()
        self._exact: AnswerCache | None = None
        self._writing: set[asyncio.Task[None]] = set()

    def configure(self, policy: Cache, store: Store | None) -> None:
        """Begins anew where the policy has changed; what is kept stays where it has not."""
        if policy == self._policy and self._exact is not None:
            return
        self._policy = policy
        exact = policy.exact
        memory = EmbeddedCache(exact.max_bytes, exact.ttl_seconds)
        self._exact = AnswerCache(memory, store, time.time) if exact.use is not CacheUse.OFF else None

    async def find(self, call: Call, tier: Tier) -> tuple[Given, str] | None:
        """An answer to give again, and the cache that had it."""
        if self._exact is None or tier is not Tier.SMALL:
            return None
        key = self._key(call)
        if key is None:
            return None
        found = await self._exact.get(key)
        if found is None:
            call.cache_key = key
            return None
        given = _as_asked(call, found.body)
        return None if given is None else (given, EXACT)

    def stale(self, call: Call) -> Given | None:
        """An answer of whatever age, for when no engine gives a new one."""
        if self._exact is None or call.cache_key is None:
            return None
        found = self._exact.stale(call.cache_key)
        return None if found is None else _as_asked(call, found.body)

    def keep(self, call: Call) -> None:
        """Keeps a good answer of the small tier, after it was sent."""
        given = call.answers[-1] if call.answers else None
        well = call.ending is Ending.OK and call.tier is Tier.SMALL and not call.degraded
        if self._exact is None or call.cache_key is None or given is None or not well:
            return
        writing = asyncio.get_running_loop().create_task(self._exact.put(call.cache_key, given.body))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    def _key(self, call: Call) -> bytes | None:
        exchange, exact = call.exchange, self._policy.exact
        said = cache.wish(exchange.header(b"x-heterofleet-cache"), exchange.header(b"cache-control"))
        if not cache.may_cache(call.asked, said, exact):
            return None
        return cache.key(call.asked, tenant=call.tenant, tier=Tier.SMALL, normalised=exact.normalised)


def _as_asked(call: Call, body: bytes) -> Given | None:
    """The answer as the client reads it: whole, or as the stream that it asked for."""
    if not call.asked.stream:
        return Given(200, _JSON, body)
    try:
        return Given(200, _EVENTS, b"".join(replay.as_stream(body, call.operation, call.asked.wants_usage)))
    except NotReplayable as exc:
        _log.warning("a kept answer cannot be streamed: %s", exc)
        return None
