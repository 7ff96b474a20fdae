"""What every tenant has spent, as one router knows it: what the store said last, and its own spend since.

Feeds `budget` before each request and learns what it cost after. For one tenant:

    view = shared (last read from the store) + own (not yet acknowledged by it) + reserved (requests in flight)

`spend` carries batches to the store and totals back. When it cannot, the view grows old, and the older it is the less
is allowed, judged by its age alone:

    never read       bounded tenants are Hard: a budget of unknown spend is not granted
    up to 3 s        the view is taken for the truth
    then             each router may spend an equal share of what was left, as many as read the store of late
    beyond grace     and tenants that are Soft become Hard

so that the routers together stay within a budget without the store, and a store that is away for a moment stops nobody
who is far from the limit.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from heterofleet.router import budget
from heterofleet.router.budget import NOTHING, Budgets, Refusal, Spent, Standing
from heterofleet.router.stores import Batch, Spend, Totals

FRESH_SECONDS: Final = 3.0
"""Three turns of `spend`: one that is missed is no outage."""

GRACE_SECONDS: Final = 30.0
URGENT_FRACTION: Final = 0.01
"""Own spend of a tenant that other routers should know at once, as a share of its budget."""

_AWAY_RETRY_SECONDS: Final = 5.0


class Reservation(NamedTuple):
    """What a request in flight is expected to cost; to be settled once."""

    tenant: str
    expected: Spent


class Judgement(NamedTuple):
    """How a tenant stands now, and what it is told where that is Hard."""

    standing: Standing
    refusal: Refusal | None = None


_WITHIN: Final = Judgement(Standing.WITHIN)
_SOFT: Final = Judgement(Standing.SOFT)


class _Account:
    """One tenant: `shared`, `sent` (in the batch that waits for its acknowledgement) and `pending`, by bucket."""

    __slots__ = ("bucket", "pending", "reserved", "sent", "shared", "total", "total_shared")

    def __init__(self) -> None:
        self.shared: Mapping[int, Spent] = {}
        self.sent: dict[int, Spent] = {}
        self.pending: dict[int, Spent] = {}
        self.reserved = NOTHING
        self.bucket = -1
        self.total = NOTHING
        self.total_shared = NOTHING

    def window(self) -> dict[int, Spent]:
        merged = dict(self.shared)
        for own in (self.sent, self.pending):
            for number, spent in own.items():
                merged[number] = merged.get(number, NOTHING) + spent
        return merged

    def sum_up(self, now: float) -> None:
        """Takes the sums anew; needed when the present bucket or what is shared has changed."""
        first = budget.oldest(now)
        self.bucket = budget.bucket(now)
        self.total = sum((spent for number, spent in self.window().items() if number >= first), NOTHING)
        self.total_shared = sum((spent for number, spent in self.shared.items() if number >= first), NOTHING)

    def book(self, spent: Spent, now: float) -> None:
        number = budget.bucket(now)
        self.pending[number] = self.pending.get(number, NOTHING) + spent
        if number == self.bucket:
            self.total = self.total + spent

    def idle(self) -> bool:
        return self.reserved == NOTHING and not self.pending and not self.sent and self.total == NOTHING


class Ledger:
    """The accounts of all tenants in one router; `router` names this process and no other."""

    def __init__(self, router: str, policy: Budgets, *, grace_seconds: float = GRACE_SECONDS) -> None:
        self.router = router
        self.policy = policy
        self.cursor = ""
        self.urgent = False
        self._grace_seconds = grace_seconds
        self._accounts: dict[str, _Account] = {}
        self._read_at: float | None = None
        self._routers = 1
        self._batch: Batch | None = None
        self._number = 0

    @property
    def known(self) -> bool:
        """Whether the store has said what was spent, at whatever time."""
        return self._read_at is not None

    def judge(self, tenant: str, now: float) -> Judgement:
        """Whether a request of the tenant may go on."""
        limit = self.policy.of(tenant)
        if not limit.bounded:
            return _WITHIN
        if self._read_at is None:
            return Judgement(Standing.HARD, Refusal("what was spent is not known yet: retry", _AWAY_RETRY_SECONDS))
        account = self._account(tenant, now)
        spent = account.total + account.reserved
        standing = limit.standing(spent)
        if standing is Standing.HARD:
            return Judgement(standing, budget.refusal(limit, account.window(), account.reserved, now))
        age = now - self._read_at
        if age > FRESH_SECONDS:
            share = limit.share(account.total_shared, self._routers)
            beyond_grace = age > self._grace_seconds and standing is Standing.SOFT
            if beyond_grace or share.standing(spent) is Standing.HARD:
                message = (
                    f"the store of spend has been away for {age:.0f} s, and the budget of 24 hours is nearly used up"
                )
                return Judgement(Standing.HARD, Refusal(message, _AWAY_RETRY_SECONDS))
        return _SOFT if standing is Standing.SOFT else _WITHIN

    def reserve(self, tenant: str, expected: Spent, now: float) -> Reservation:
        """Counts a request that was admitted by what it is expected to cost; at once, before anything is awaited."""
        account = self._account(tenant, now)
        account.reserved = account.reserved + expected
        return Reservation(tenant, expected)

    def settle(self, reservation: Reservation, spent: Spent, now: float) -> None:
        """Books what a request did cost, NOTHING where no engine answered, in place of what was expected."""
        tenant, expected = reservation
        account = self._account(tenant, now)
        account.reserved = account.reserved - expected
        if spent == NOTHING:
            return
        account.book(spent, now)
        limit = self.policy.of(tenant)
        due = account.pending[budget.bucket(now)]
        if (limit.nano_usd is not None and due.nano_usd >= limit.nano_usd * URGENT_FRACTION) or (
            limit.tokens is not None and due.tokens >= limit.tokens * URGENT_FRACTION
        ):
            self.urgent = True

    def spent(self, tenant: str, now: float) -> Spent:
        """The tenant's spend of the day, as far as it is known here, without requests in flight."""
        return self._account(tenant, now).total

    def batch(self, now: float) -> Batch | None:
        """What the store does not know yet: the same batch again until it is acknowledged, None when it knows all."""
        self.urgent = False
        if self._batch is None:
            spends: list[Spend] = []
            for tenant, account in self._accounts.items():
                account.sent, account.pending = account.pending, {}
                spends += (Spend(tenant, number, spent) for number, spent in account.sent.items())
            if not spends:
                return None
            self._number += 1
            self._batch = Batch(self.router, self._number, budget.oldest(now), tuple(spends))
        return self._batch

    def acknowledge(self, batch: Batch) -> None:
        """The store has the batch, which `batch` gave: it is shared from now on, though totals may not be read now."""
        for tenant in {spend.tenant for spend in batch.spends}:
            account = self._accounts[tenant]
            account.shared = _merged(account.shared, account.sent)
            account.sent = {}
            account.bucket = -1
        self._batch = None

    def learn(self, totals: Totals, now: float) -> None:
        """What all routers have spent, as the store says."""
        self.cursor, self._routers, self._read_at = totals.cursor, totals.routers, now
        if totals.complete:
            for tenant in self._accounts.keys() - totals.spent.keys():
                self._accounts[tenant].shared = {}
        for tenant, shared in totals.spent.items():
            self._accounts.setdefault(tenant, _Account()).shared = shared
        for tenant in list(self._accounts):
            account = self._accounts[tenant]
            account.sum_up(now)
            if account.idle():
                del self._accounts[tenant]

    def _account(self, tenant: str, now: float) -> _Account:
        account = self._accounts.get(tenant)
        if account is None:
            account = self._accounts[tenant] = _Account()
        if account.bucket != budget.bucket(now):
            account.sum_up(now)
        return account


def _merged(one: Mapping[int, Spent], other: Mapping[int, Spent]) -> dict[int, Spent]:
    return {number: one.get(number, NOTHING) + other.get(number, NOTHING) for number in one.keys() | other.keys()}
