"""A journal on a volume, for the only router of a fleet: what was acknowledged survives a kill and a power cut.

The state is in memory and the journal is read once, at the start; reading costs requests nothing. Changes are written
one after the other in a thread, so that the event loop never waits for a disk. The journal is compacted when it is
four times the size of what it holds. Cached answers are not written: `EmbeddedCache` fills within minutes.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from heterofleet.router.stores import Batch, Held, Totals, Unreachable
from heterofleet.router.stores.journal import Journal
from heterofleet.router.stores.memory import MemoryStore
from heterofleet.router.stores.state import Put, Record, Remove, Settle, State

_COMPACT_BYTES: Final = 1_048_576
_COMPACT_FACTOR: Final = 4

Decide = Callable[[], Sequence[Record]]


class FileStore:
    """A Store in one file; no two processes hold it at once."""

    def __init__(self, state: State, journal: Journal, *, compact_bytes: int) -> None:
        self._state, self._journal = state, journal
        self._compact_bytes = compact_bytes
        self._compacted_size = journal.size
        self._cache = MemoryStore()
        self._turn = asyncio.Lock()
        self._closed = False
        self._writing: set[asyncio.Task[None]] = set()

    @classmethod
    def open(cls, path: Path, *, compact_bytes: int = _COMPACT_BYTES) -> Self:
        """Reads the journal, blocking; before the router serves. Raises InUse, Damaged and OSError."""
        state = State()
        return cls(state, Journal.open(path, state.apply), compact_bytes=compact_bytes)

    @property
    def shared(self) -> bool:
        return False

    async def add_spend(self, batch: Batch) -> None:
        await self._change(lambda: () if self._state.knows(batch) else (batch,))

    async def read_spend(self, cursor: str, *, router: str, now: float) -> Totals:
        return self._state.totals(cursor, router=router, now=now)

    async def cache_get(self, key: bytes) -> bytes | None:
        return await self._cache.cache_get(key)

    async def cache_put(self, key: bytes, value: bytes, *, ttl_seconds: float) -> None:
        await self._cache.cache_put(key, value, ttl_seconds=ttl_seconds)

    async def review_put(self, held: Held, *, deadline: float, most: int, now: float) -> bool:
        def decide() -> Sequence[Record]:
            put = (Put(held, deadline),) if self._state.has_room(held.id, most, now) else ()
            return (*self._state.outdated(now), *put)

        await self._change(decide)
        return self._state.review(held.id) is not None

    async def review_list(self, now: float) -> Sequence[bytes]:
        return self._state.waiting(now)

    async def review_get(self, id: str) -> Held | None:
        return self._state.review(id)

    async def review_settle(self, id: str, outcome: bytes) -> bytes | None:
        def decide() -> Sequence[Record]:
            held = self._state.review(id)
            return (Settle(id, outcome),) if held is not None and held.outcome is None else ()

        await self._change(decide)
        settled = self._state.review(id)
        return settled.outcome if settled is not None else None

    async def review_outcomes(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        return self._state.outcomes(ids)

    async def review_remove(self, id: str) -> None:
        await self._change(lambda: (Remove(id),) if self._state.review(id) is not None else ())

    async def close(self) -> None:
        """Ends when what was begun is written; nothing is written after it."""
        async with self._turn:
            if not self._closed:
                self._closed = True
                self._journal.close()

    async def _change(self, decide: Decide) -> None:
        """Writes and applies the records that `decide` finds due when its turn has come.

        One whose caller goes away is finished all the same: the thread that writes cannot be stopped half-way.
        """
        task = asyncio.create_task(self._write(decide))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        await asyncio.shield(task)

    async def _write(self, decide: Decide) -> None:
        async with self._turn:
            if self._closed:
                raise Unreachable("the store is closed")
            records = decide()
            if not records:
                return
            try:
                await asyncio.to_thread(self._journal.append, records)
            except OSError as exc:
                raise Unreachable(f"the store cannot be written: {exc}") from exc
            for record in records:
                self._state.apply(record)
            await self._compact()

    async def _compact(self) -> None:
        if self._journal.size < max(self._compact_bytes, _COMPACT_FACTOR * self._compacted_size):
            return
        try:
            await asyncio.to_thread(self._journal.replace, list(self._state.records()))
        except OSError:
            # The journal as it was is whole and is written on; the next change tries again.
            return
        self._compacted_size = self._journal.size
