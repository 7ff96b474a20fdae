"""Answers that are given again, as the pipeline looks for them and keeps them: the edge between a call and the caches.

The exact cache serves the small tier, the semantic one the large tier; the large tier's answers are kept by their exact
key too, to be given when no engine gives a new one. A key is worked out once a request, and only where policy and
client allow it; what was found is replayed as a stream where one was asked for. Kept is what was sent, after it was
sent: whole, whether it was streamed or not.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, Final

from heterofleet.api.caching import Cache, CacheUse, ExactCache, SemanticCache
from heterofleet.api.labels import Tier
from heterofleet.router import cache, replay
from heterofleet.router.answers import AnswerCache
from heterofleet.router.cache import EmbeddedCache
from heterofleet.router.call import Call, Ending, Given
from heterofleet.router.meaning import SEMANTIC, Clocks, Meaning
from heterofleet.router.metrics import Metrics
from heterofleet.router.replay import NotReplayable
from heterofleet.router.stores import Store

_log = logging.getLogger(__name__)

EXACT: Final = "exact"
_JSON: Final = b"application/json"
_EVENTS: Final = b"text/event-stream; charset=utf-8"


class Recall:
    """The caches of one router."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._policy = Cache()
        self._store: Store | None = None
        self._exact: AnswerCache | None = None
        self._meaning: Meaning | None = None
        self._gives_stale = True
        self._under_way: set[asyncio.Task[None]] = set()

    def configure(self, policy: Cache, store: Store, *, gives_stale: bool) -> None:
        """Begins a cache anew where what is said of it has changed; what is kept stays where it has not.

        `gives_stale`: whether an old answer is given where no engine gives a new one.
        """
        former, self._policy = self._policy, policy
        self._gives_stale = gives_stale
        if policy.exact != former.exact or store is not self._store:
            self._exact = self._made_exact(policy.exact, store)
        if policy.semantic != former.semantic:
            if self._meaning is not None:
                self._begin(self._meaning.close())
            self._meaning = self._made_meaning(policy.semantic)
        self._store = store

    async def find(self, call: Call, tier: Tier) -> tuple[Given, str] | None:
        """An answer to give again, and the cache that had it."""
        if self._exact is not None and (tier is Tier.SMALL or self._gives_stale):
            call.cache_key = self._key(call, tier)
        if tier is Tier.SMALL:
            if self._exact is None or call.cache_key is None:
                return None
            found = await self._exact.get(call.cache_key)
            return None if found is None else _found(call, found.body, EXACT)
        if self._meaning is None or not cache.may_repeat(call.asked, _wish(call)):
            return None
        return _found(call, await self._meaning.find(call), SEMANTIC)

    def stale(self, call: Call) -> Given | None:
        """An answer of whatever age, for when no engine gives a new one."""
        if self._exact is None or call.cache_key is None:
            return None
        found = self._exact.stale(call.cache_key)
        return None if found is None else _as_asked(call, found.body)

    def keep(self, call: Call) -> None:
        """Keeps a good answer of the tier that was looked for in a cache, after it was sent."""
        if call.ending is not Ending.OK or call.degraded or call.choice is None or call.tier is not call.choice.tier:
            return
        if (call.cache_key is None and call.sought is None) or (body := _whole(call)) is None:
            return
        if self._exact is not None and call.cache_key is not None:
            if call.tier is Tier.SMALL:
                self._begin(self._exact.put(call.cache_key, body))
            else:
                self._exact.remember(call.cache_key, body)
        if self._meaning is not None and call.sought is not None:
            self._meaning.keep(call, call.sought, body)

    async def close(self) -> None:
        """Ends what is under way, and the session of the embedding endpoint."""
        if self._meaning is not None:
            self._begin(self._meaning.close())
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _key(self, call: Call, tier: Tier) -> bytes | None:
        policy = self._policy.exact
        if not cache.may_cache(call.asked, _wish(call), policy):
            return None
        return cache.key(call.asked, tenant=call.tenant, tier=tier, normalised=policy.normalised)

    def _made_exact(self, policy: ExactCache, store: Store) -> AnswerCache | None:
        if policy.use is CacheUse.OFF:
            return None
        return AnswerCache(EmbeddedCache(policy.max_bytes, policy.ttl_seconds), store, time.time)

    def _made_meaning(self, policy: SemanticCache) -> Meaning | None:
        if policy.endpoint is None:
            return None
        clocks = Clocks(asyncio.get_running_loop().time, time.time)
        return Meaning(policy.endpoint, policy, self._metrics, clocks)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)


def _wish(call: Call) -> cache.Wish:
    exchange = call.exchange
    return cache.wish(exchange.header(b"x-heterofleet-cache"), exchange.header(b"cache-control"))


def _whole(call: Call) -> bytes | None:
    """The answer that was given, whole."""
    if call.noted is not None:
        return call.noted.whole(call)
    given = call.given
    return given.body if given is not None and given.content_type.startswith(_JSON) else None


def _found(call: Call, body: bytes | None, which: str) -> tuple[Given, str] | None:
    given = None if body is None else _as_asked(call, body)
    return None if given is None else (given, which)


def _as_asked(call: Call, body: bytes) -> Given | None:
    """The answer as the client reads it: whole, or as the stream that it asked for."""
    if not call.asked.stream:
        return Given(200, _JSON, body)
    try:
        return Given(200, _EVENTS, b"".join(replay.as_stream(body, call.operation, call.asked.wants_usage)))
    except NotReplayable as exc:
        _log.warning("a kept answer cannot be streamed: %s", exc)
        return None
