"""Cached answers where a request looks for them: in this router's memory, then in a store that other routers fill.

The edge of `cache` over a store. What a store gives is as old as it says, so that it does not begin a second life here.
A store that does not answer costs those requests 50 ms that ask just then, and the others nothing for a second.
"""

from collections.abc import Callable
from typing import Final

from heterofleet.router.cache import Answer, EmbeddedCache
from heterofleet.router.stores import Store, StoreError

PAUSE_SECONDS: Final = 1.0


class AnswerCache:
    """The exact cache of one router. `clock` tells the Unix wall time in seconds."""

    def __init__(self, memory: EmbeddedCache, store: Store | None, clock: Callable[[], float]) -> None:
        self._memory, self._clock = memory, clock
        self._store = store if store is not None and store.shared else None
        self._get_again_at = self._put_again_at = 0.0

    async def get(self, key: bytes) -> Answer | None:
        """An answer that is young enough; a store that does not answer in time has none."""
        now = self._clock()
        found = self._memory.get(key, now)
        if found is not None or self._store is None or now < self._get_again_at:
            return found
        try:
            packed = await self._store.cache_get(key)
        except StoreError:
            # Puts go on: they have the time to make the connection that was missing here.
            self._get_again_at = self._clock() + PAUSE_SECONDS
            return None
        if packed is None:
            return None
        answer = Answer.unpack(packed)
        self._memory.put(key, answer)
        return self._memory.get(key, now)

    def stale(self, key: bytes) -> Answer | None:
        """An answer of whatever age, for when no tier works; from this router's memory alone."""
        return self._memory.get(key, self._clock(), stale=True)

    def remember(self, key: bytes, body: bytes) -> None:
        """Keeps an answer in this router's memory alone."""
        self._memory.put(key, Answer(body, self._clock()))

    async def put(self, key: bytes, body: bytes) -> None:
        """Keeps an answer; after it has been sent, since a store takes its time. A store that is away misses it."""
        answer = Answer(body, self._clock())
        self._memory.put(key, answer)
        if self._store is None or answer.at < self._put_again_at:
            return
        try:
            await self._store.cache_put(key, answer.pack(), ttl_seconds=self._memory.ttl_seconds)
        except StoreError:
            self._put_again_at = self._get_again_at = self._clock() + PAUSE_SECONDS
