"""Nothing outlives the process: for routers without a store, and for tests."""

from collections.abc import Mapping, Sequence
from typing import Final

from heterofleet.router.cache import Answer, EmbeddedCache
from heterofleet.router.stores import Batch, Held, Totals
from heterofleet.router.stores.state import Put, Remove, Settle, State

_CACHE_BYTES: Final = 1_048_576


class MemoryStore:
    """A Store in this process. Its cached answers are few: `EmbeddedCache` is the memory of one router."""

    def __init__(self, *, cache_bytes: int = _CACHE_BYTES) -> None:
        self._state = State()
        self._cache = EmbeddedCache(cache_bytes, float("inf"))

    @property
    def shared(self) -> bool:
        return False

    async def add_spend(self, batch: Batch) -> None:
        self._state.apply(batch)

    async def read_spend(self, cursor: str, *, router: str, now: float) -> Totals:
        return self._state.totals(cursor, router=router, now=now)

    async def cache_get(self, key: bytes) -> bytes | None:
        found = self._cache.get(key, 0)
        return found.body if found is not None else None

    async def cache_put(self, key: bytes, value: bytes, *, ttl_seconds: float) -> None:
        self._cache.put(key, Answer(value, 0))

    async def review_put(self, held: Held, *, deadline: float, most: int, now: float) -> bool:
        for record in self._state.outdated(now):
            self._state.apply(record)
        if not self._state.has_room(held.id, most, now):
            return False
        self._state.apply(Put(held, deadline))
        return True

    async def review_list(self, now: float) -> Sequence[bytes]:
        return self._state.waiting(now)

    async def review_get(self, id: str) -> Held | None:
        return self._state.review(id)

    async def review_settle(self, id: str, outcome: bytes) -> bytes | None:
        self._state.apply(Settle(id, outcome))
        held = self._state.review(id)
        return held.outcome if held is not None else None

    async def review_outcomes(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        return self._state.outcomes(ids)

    async def review_remove(self, id: str) -> None:
        self._state.apply(Remove(id))

    async def close(self) -> None:
        pass
