"""Where the router keeps what outlives a request: spend, held answers, and cached answers of several routers.

One Protocol, `Store`, and three of them: `memory` (nothing outlives the process), `file` (a volume of the only router)
and `redis` (a server that all routers share). All of it is bytes and numbers: what they mean is decided in `ledger`,
`review` and `cache`. Times are Unix wall times, since they are read by another process than wrote them.

    StoreError
    ├── Unreachable   did not answer, or not in time: what was asked may have been done, and may be asked again
    └── InUse         another process holds the file
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from heterofleet.router.budget import Spent


class StoreError(Exception):
    """A store cannot do what was asked."""


class Unreachable(StoreError):
    pass


class InUse(StoreError):
    pass


class Spend(NamedTuple):
    """What a tenant spent within one bucket."""

    tenant: str
    bucket: int
    spent: Spent


class Batch(NamedTuple):
    """Spend that a router adds to what all have spent. `number` rises from batch to batch of a router.

    Buckets before `oldest` need not be kept any longer.
    """

    router: str
    number: int
    oldest: int
    spends: tuple[Spend, ...]


class Totals(NamedTuple):
    """What all routers have spent, by tenant and bucket: of the tenants with spend since the cursor that was given.

    `complete`: of all tenants; those that are not in it have spent nothing. `routers`: how many read it of late.
    """

    cursor: str
    complete: bool
    routers: int
    spent: Mapping[str, Mapping[int, Spent]]


PRESENT_SECONDS = 60.0
"""A router counts as present for so long after it last read the spend."""


class Held(NamedTuple):
    """A held answer: its summary, all of it, and its outcome once there is one."""

    id: str
    summary: bytes
    detail: bytes
    outcome: bytes | None


class Store(Protocol):
    """Every operation may be repeated after Unreachable without being done twice."""

    @property
    def shared(self) -> bool:
        """Whether other routers see what is kept here."""

    async def add_spend(self, batch: Batch) -> None:
        """Adds a batch unless this one, or a later one of its router, was added before. Durable when it returns."""

    async def read_spend(self, cursor: str, *, router: str, now: float) -> Totals:
        """What changed since `cursor` (empty: all there is), and notes that `router` is there."""

    async def cache_get(self, key: bytes) -> bytes | None:
        """A cached answer, quickly or not at all."""

    async def cache_put(self, key: bytes, value: bytes, *, ttl_seconds: float) -> None:
        """Keeps an answer for a time, or for less where there is no room."""

    async def review_put(self, held: Held, *, deadline: float, most: int, now: float) -> bool:
        """Holds an answer until `deadline`; False where `most` are waiting already."""

    async def review_list(self, now: float) -> Sequence[bytes]:
        """The summaries of those that wait, in the order of their deadlines."""

    async def review_get(self, id: str) -> Held | None:
        """One of them; also for some time after it was settled."""

    async def review_settle(self, id: str, outcome: bytes) -> bytes | None:
        """Sets the outcome unless there is one; returns the one that stands, None where nothing of that id is held."""

    async def review_outcomes(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        """The outcomes of those that have one."""

    async def review_remove(self, id: str) -> None:
        """Forgets one, whether it is there or not."""

    async def close(self) -> None: ...


KEPT_SECONDS = 3600.0
"""How long a review can be looked at after its deadline, so that a second reviewer learns who was first."""
