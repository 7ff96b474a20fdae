"""What the embedded stores hold, in memory: spend by tenant and bucket, and held reviews.

Every change is a `Record`, a value that is applied to the state; the file store writes each before it is applied, and
reads the state back by applying all of them again. Applying one twice changes nothing more.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from heterofleet.router.budget import NOTHING, Spent
from heterofleet.router.stores import KEPT_SECONDS, PRESENT_SECONDS, Batch, Held, Spend, Totals

_ROUTERS_REMEMBERED: Final = 16
"""Routers whose last batch is known: one that retries after fifteen others have begun has been gone for long."""


class Put(NamedTuple):
    """A review is held until its deadline."""

    held: Held
    deadline: float


class Settle(NamedTuple):
    """A review has its outcome."""

    id: str
    outcome: bytes


class Remove(NamedTuple):
    """A review is forgotten."""

    id: str


Record = Batch | Put | Settle | Remove


@dataclass(slots=True)
class _Review:
    held: Held
    deadline: float


class State:
    """Spend and reviews; see `Store` for what its answers mean."""

    def __init__(self) -> None:
        self._spent: dict[str, dict[int, Spent]] = {}
        self._changed: dict[str, int] = {}
        self._version = 0
        self._numbers: OrderedDict[str, int] = OrderedDict()
        self._present: dict[str, float] = {}
        self._reviews: dict[str, _Review] = {}

    def apply(self, record: Record) -> None:
        match record:
            case Batch():
                self._add(record)
            case Put(held, deadline):
                self._reviews.setdefault(held.id, _Review(held, deadline))
            case Settle(id, outcome):
                review = self._reviews.get(id)
                if review is not None and review.held.outcome is None:
                    review.held = review.held._replace(outcome=outcome)
            case Remove(id):
                self._reviews.pop(id, None)

    def knows(self, batch: Batch) -> bool:
        """Whether the batch was added before."""
        return self._numbers.get(batch.router, 0) >= batch.number

    def _add(self, batch: Batch) -> None:
        if self.knows(batch):
            return
        self._numbers[batch.router] = batch.number
        self._numbers.move_to_end(batch.router)
        while len(self._numbers) > _ROUTERS_REMEMBERED:
            self._numbers.popitem(last=False)
        self._version += 1
        for tenant, bucket, spent in batch.spends:
            buckets = self._spent.setdefault(tenant, {})
            buckets[bucket] = buckets.get(bucket, NOTHING) + spent
            self._changed[tenant] = self._version
        for tenant, buckets in list(self._spent.items()):
            self._spent[tenant] = {number: spent for number, spent in buckets.items() if number >= batch.oldest}
            if not self._spent[tenant]:
                del self._spent[tenant], self._changed[tenant]

    def totals(self, cursor: str, *, router: str, now: float) -> Totals:
        self._present[router] = now
        self._present = {name: at for name, at in self._present.items() if now - at < PRESENT_SECONDS}
        seen = int(cursor) if cursor else 0
        changed = {name: dict(self._spent[name]) for name, version in self._changed.items() if version > seen}
        return Totals(str(self._version), not cursor, len(self._present), changed)

    def has_room(self, id: str, most: int, now: float) -> bool:
        """Whether one more review may wait; one that waits already has its place."""
        return id in self._reviews or len(self.waiting(now)) < most

    def waiting(self, now: float) -> Sequence[bytes]:
        found = [r for r in self._reviews.values() if r.held.outcome is None and r.deadline > now]
        return [review.held.summary for review in sorted(found, key=lambda review: review.deadline)]

    def review(self, id: str) -> Held | None:
        review = self._reviews.get(id)
        return review.held if review is not None else None

    def outcomes(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        held = (self.review(id) for id in ids)
        return {review.id: review.outcome for review in held if review is not None and review.outcome is not None}

    def outdated(self, now: float) -> list[Remove]:
        """What may be forgotten: reviews whose deadline is long past."""
        return [Remove(id) for id, review in self._reviews.items() if review.deadline + KEPT_SECONDS <= now]

    def records(self) -> Iterator[Record]:
        """The fewest records from which an equal state is made."""
        spends = [
            Spend(name, number, spent) for name, buckets in self._spent.items() for number, spent in buckets.items()
        ]
        yield Batch("", 1, 0, tuple(spends))
        for router, number in self._numbers.items():
            if router:
                yield Batch(router, number, 0, ())
        for review in self._reviews.values():
            yield Put(review.held, review.deadline)
