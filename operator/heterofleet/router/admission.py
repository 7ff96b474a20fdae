"""Which of the requests that wait for a tier goes next, and which may not wait at all.

Stands between budget and `pick`. Each tier has an `Admission`, from which its caller takes one whenever an instance has
room. All is decided from what was offered and from `now`, in seconds of one monotonic clock.

Order. Plan goes before act, always: while plan requests alone are more than a tier can answer, none of class act goes.
What bounds their wait is their deadline, and who is refused is told when to come again. Within a class tenants share by
start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996), each in the order of its arrivals:

    next              = the tenant with the least start; its start becomes the virtual time
    start of a tenant = the virtual time when it came, and work / weight more for each request that was taken of it

so that of two that always wait none is ahead by more than the work of one request over its weight. The paper gives each
request a start when it arrives; here it is the tenant's, so that nobody pays for requests that were withdrawn.

Room. At most `max_requests` wait. Where so many do, a plan request displaces an act request, and any request displaces
one of its class whose tenant has more waiting for its weight than the newcomer's would have; else whoever floods the
queue first keeps all others out of it. What goes is the youngest of the tenant that has most waiting for its weight,
since it has lost least. A request that nothing gives way to is refused.
"""

import heapq
import math
from collections import OrderedDict
from typing import Final, Generic, NamedTuple, TypeVar

from heterofleet.api.routing import RequestClass

MIN_RETRY_SECONDS: Final = 1.0
MAX_RETRY_SECONDS: Final = 60.0

DRAIN_SECONDS: Final = 10.0
"""Over how long the drain is measured: some answers of a large model, so that no single burst passes for a rate."""

SLACK: Final = 64
"""Entries of what has ended that are kept, beyond as many as wait, before they are swept out all at once."""

T = TypeVar("T")


class Refusal(NamedTuple):
    """Why a request may not wait, and when to come again."""

    sentence: str
    retry_after_seconds: float


class Ticket(Generic[T]):
    """A request that waits, until it is taken, withdrawn, displaced or expired.

    `displaced` is what had to go for it and is now its caller's to refuse.
    """

    __slots__ = ("displaced", "item", "lane", "since", "tenant", "waits", "work")

    def __init__(
        self, item: T, lane: "_Lane[T]", tenant: "_Tenant[T]", work: float, since: float, displaced: T | None
    ) -> None:
        self.item = item
        self.lane = lane
        self.tenant = tenant
        self.work = work
        self.since = since
        self.displaced = displaced
        self.waits = True


class _Tenant(Generic[T]):
    """What one tenant has waiting in one class, the oldest first, and its turn."""

    __slots__ = ("name", "start", "waiting", "weight")

    def __init__(self, name: str, start: float) -> None:
        self.name = name
        self.start = start
        self.weight = 1.0
        self.waiting: OrderedDict[Ticket[T], None] = OrderedDict()


class _Lane(Generic[T]):
    """One class: its tenants by name, and each once in a heap by start.

    A tenant without requests stays until the virtual time has reached its start, so that it gains nothing by coming
    back; starts are never before the virtual time.
    """

    __slots__ = ("_order", "_turns", "_virtual", "count", "tenants")

    def __init__(self) -> None:
        self.count = 0
        self.tenants: dict[str, _Tenant[T]] = {}
        self._turns: list[tuple[float, int, _Tenant[T]]] = []
        self._virtual = 0.0
        self._order = 0

    def tenant(self, name: str, weight: float) -> _Tenant[T]:
        """The tenant of a request that comes."""
        tenant = self.tenants.get(name)
        if tenant is None:
            tenant = self.tenants[name] = _Tenant(name, self._virtual)
            self._queue(tenant)
        tenant.weight = weight
        return tenant

    def add(self, ticket: Ticket[T]) -> None:
        ticket.tenant.waiting[ticket] = None
        self.count += 1

    def next(self) -> Ticket[T]:
        """Takes the one whose turn it is; there must be one."""
        while not (tenant := heapq.heappop(self._turns)[2]).waiting:
            del self.tenants[tenant.name]
        ticket = next(iter(tenant.waiting))
        self._virtual = tenant.start
        tenant.start += ticket.work / tenant.weight
        self._queue(tenant)
        self.remove(ticket)
        return ticket

    def remove(self, ticket: Ticket[T]) -> None:
        """Lets one go that waits."""
        del ticket.tenant.waiting[ticket]
        ticket.waits = False
        self.count -= 1
        if not self.count:
            self.tenants.clear()
            self._turns.clear()
            self._virtual = 0.0
        elif len(self._turns) > 2 * self.count + SLACK:
            self._turns = [turn for turn in self._turns if turn[2].waiting]
            heapq.heapify(self._turns)
            self.tenants = {tenant.name: tenant for _, _, tenant in self._turns}

    def share(self, name: str, weight: float) -> float:
        """What a tenant would have waiting with one more request, for its weight."""
        tenant = self.tenants.get(name)
        return (1 + (len(tenant.waiting) if tenant else 0)) / weight

    def largest(self) -> tuple[float, Ticket[T]] | None:
        """The largest share of a tenant, and the youngest request that it has waiting."""
        if not self.count:
            return None
        tenant = max(self.tenants.values(), key=lambda tenant: len(tenant.waiting) / tenant.weight)
        return len(tenant.waiting) / tenant.weight, next(reversed(tenant.waiting))

    def _queue(self, tenant: _Tenant[T]) -> None:
        self._order += 1
        heapq.heappush(self._turns, (tenant.start, self._order, tenant))


class _Drain:
    """How many requests a second are taken while some wait: a mean that fades with DRAIN_SECONDS.

    Numerator and denominator fade alike, so that it is right from the first second on. Time in which nothing waits does
    not count, since nothing can be taken in it.
    """

    __slots__ = ("_last", "_seconds", "_taken")

    def __init__(self) -> None:
        self._taken = self._seconds = self._last = 0.0

    def resume(self, now: float) -> None:
        """Something waits again."""
        self._last = now

    def take(self, now: float) -> None:
        self._fade(now)
        self._taken += 1

    def per_second(self, now: float) -> float:
        self._fade(now)
        return self._taken / self._seconds if self._seconds else 0.0

    def _fade(self, now: float) -> None:
        kept = math.exp((self._last - now) / DRAIN_SECONDS)
        self._taken *= kept
        self._seconds = self._seconds * kept + DRAIN_SECONDS * (1 - kept)
        self._last = now


class Admission(Generic[T]):
    """What waits for one tier. `max_requests` may be changed at any time; what waits already stays."""

    __slots__ = ("_deadlines", "_drain", "_lanes", "_order", "max_requests")

    def __init__(self, max_requests: int) -> None:
        self.max_requests = max_requests
        self._lanes: dict[RequestClass, _Lane[T]] = {RequestClass.PLAN: _Lane(), RequestClass.ACT: _Lane()}
        self._deadlines: list[tuple[float, int, Ticket[T]]] = []
        self._drain = _Drain()
        self._order = 0

    def __len__(self) -> int:
        return sum(lane.count for lane in self._lanes.values())

    def count(self, request_class: RequestClass) -> int:
        """How many of a class wait."""
        return self._lanes[request_class].count

    def offer(
        self, item: T, *, request_class: RequestClass, tenant: str, weight: float, work: float, deadline: float,
        now: float,
    ) -> Ticket[T] | Refusal:  # fmt: skip
        """Lets an item wait until `deadline`. `weight` is its tenant's share, `work` what it costs; both above 0."""
        displaced: T | None = None
        if len(self) >= self.max_requests:
            victim = self._victim(request_class, tenant, weight)
            if victim is None:
                seconds = self.retry_after(now, request_class)
                return Refusal(f"{len(self)} requests wait already for an instance, and no more may", seconds)
            displaced = victim.item
            self._end(victim)
        if not len(self):
            self._drain.resume(now)
        lane = self._lanes[request_class]
        ticket = Ticket(item, lane, lane.tenant(tenant, weight), work, now, displaced)
        lane.add(ticket)
        self._order += 1
        heapq.heappush(self._deadlines, (deadline, self._order, ticket))
        return ticket

    def take(self, now: float) -> T | None:
        """The item whose turn it is, or None where nothing waits.

        One that is past its deadline goes too: served a moment late is better than refused. `expired` comes first
        where the caller sees it otherwise.
        """
        for lane in self._lanes.values():
            if lane.count:
                ticket = lane.next()
                self._drain.take(now)
                self._sweep()
                return ticket.item
        return None

    def withdraw(self, ticket: Ticket[T]) -> None:
        """Its client has left; one that waits no more stays as it is."""
        if ticket.waits:
            self._end(ticket)

    def expired(self, now: float) -> list[T]:
        """Lets those go whose deadline has passed, the first one first."""
        deadlines = self._deadlines
        gone: list[T] = []
        while deadlines and (deadlines[0][0] <= now or not deadlines[0][2].waits):
            ticket = heapq.heappop(deadlines)[2]
            if ticket.waits:
                gone.append(ticket.item)
                self._end(ticket)
        return gone

    def oldest_age(self, now: float) -> float:
        """How long the one has waited that waits longest; 0 where nothing does."""
        since = (
            next(iter(tenant.waiting)).since
            for lane in self._lanes.values()
            for tenant in lane.tenants.values()
            if tenant.waiting
        )
        return now - min(since, default=now)

    def retry_after(self, now: float, request_class: RequestClass = RequestClass.ACT) -> float:
        """In how many seconds all that goes before a request of this class will be gone, as fast as it went lately.

        From 1 to 60, and 60 where nothing was taken yet: nothing is known then but that it takes long.
        """
        ahead = len(self) if request_class is RequestClass.ACT else self.count(request_class)
        if not ahead:
            return MIN_RETRY_SECONDS
        rate = self._drain.per_second(now)
        return max(MIN_RETRY_SECONDS, min(ahead / rate, MAX_RETRY_SECONDS)) if rate else MAX_RETRY_SECONDS

    def _victim(self, request_class: RequestClass, tenant: str, weight: float) -> Ticket[T] | None:
        """What has to go for a request that finds the queue full."""
        if request_class is RequestClass.PLAN and (found := self._lanes[RequestClass.ACT].largest()) is not None:
            return found[1]
        lane = self._lanes[request_class]
        largest = lane.largest()
        if largest is not None and largest[0] > lane.share(tenant, weight):
            return largest[1]
        return None

    def _end(self, ticket: Ticket[T]) -> None:
        ticket.lane.remove(ticket)
        self._sweep()

    def _sweep(self) -> None:
        """Forgets deadlines of what has ended; in place, since `expired` may be at work on them."""
        waiting = len(self)
        if not waiting:
            self._deadlines.clear()
        elif len(self._deadlines) > 2 * waiting + SLACK:
            self._deadlines[:] = [entry for entry in self._deadlines if entry[2].waits]
            heapq.heapify(self._deadlines)
