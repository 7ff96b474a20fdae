"""Gives each request a place at an engine: now, or when one is free.

Stands between the pure decisions (`pick`, `admission`, `breaker`) and `attempts`. A place is taken when it is given, so
that two requests never count on the same room; whoever got one gives it back with `release`, which hands it on to the
request that waits first. What finds the small tier full may take idle room of the large one (spill-over): not more than
the half of an instance, and only while nothing waits there.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from heterofleet.api.labels import Tier
from heterofleet.api.places import Affinity, Queue
from heterofleet.api.routing import RequestClass
from heterofleet.router import pick
from heterofleet.router.admission import Admission, Refusal, Ticket
from heterofleet.router.endpoints import Endpoint, Group, Registry

SPILL_SHARE: Final = 0.5
"""Room of an instance that others than its own requests may fill: the rest stays for its own that come next."""


class Need:
    """What one request needs: who it is for, how much work it is, where it has been."""

    __slots__ = ("affinity", "deadline", "may_spill", "request_class", "tenant", "tried", "weight")

    def __init__(self, request_class: RequestClass, tenant: str, weight: float, affinity: int | None,
                 deadline: float, *, may_spill: bool = True) -> None:  # fmt: skip
        self.request_class = request_class
        self.tenant = tenant
        self.weight = weight
        self.affinity = affinity
        self.deadline = deadline
        self.may_spill = may_spill
        self.tried: set[str] = set()


class Place(NamedTuple):
    """An engine's room for one request."""

    endpoint: Endpoint
    tier: Tier


class NoPlace(NamedTuple):
    """Why there is none: the queue is full, the wait was too long, or what waits gave way to a plan request."""

    sentence: str
    retry_after_seconds: float
    timed_out: bool = False


class _Waiting:
    """One request in a queue."""

    __slots__ = ("answer", "need", "tier")

    def __init__(self, need: Need, tier: Tier, answer: "asyncio.Future[Place | NoPlace]") -> None:
        self.need, self.tier, self.answer = need, tier, answer


class Dispatcher:
    """All places of both tiers, and who waits for one."""

    def __init__(self, registry: Registry, now: Callable[[], float], source: random.Random) -> None:
        self._registry = registry
        self._now = now
        self._random = source
        self._queue = Queue()
        self._affinity = Affinity()
        self._large_for_small = True
        self._most: Mapping[Tier, int] = dict.fromkeys(Tier, 256)
        self._weights: Callable[[str], float] = _alike
        self.waiting: dict[Tier, Admission[_Waiting]] = {tier: Admission(self._queue.max_requests) for tier in Tier}
        self._anyone = False
        """Whether anyone may be waiting: asked of every request, where mostly nobody is."""
        self._bound = 0
        """How many wait for the small tier that may not spill over. While any does nobody leaves the queue that way,
        since who is next cannot be told before it is taken."""

    def configure(self, queue: Queue, affinity: Affinity, most: Mapping[Tier, int],
                  weights: Callable[[str], float], *, large_for_small: bool) -> None:  # fmt: skip
        """Takes what the configuration says; requests that wait go on waiting."""
        self._queue, self._affinity, self._most, self._weights = queue, affinity, most, weights
        self._large_for_small = large_for_small
        for admission in self.waiting.values():
            admission.max_requests = queue.max_requests
        self.hand_on()

    def take(self, tier: Tier, need: Need) -> Place | None:
        """A place right now, or None. Nobody is passed over: who waits in the tier comes first."""
        if self._anyone and len(self.waiting[tier]):
            return self._spilled(tier, need)
        return self._place(tier, need) or self._spilled(tier, need)

    def spare(self, tier: Tier, need: Need) -> Place | None:
        """A place in idle room alone, for what is nobody's request."""
        room = self._idle_room(tier, self._now())
        return self._taken(pick.least_load(room, self._random), tier, need) if room else None

    async def wait(self, tier: Tier, need: Need) -> Place | NoPlace:
        """A place when there is one, until the need's deadline."""
        now = self._now()
        self._anyone = True
        waiting = _Waiting(need, tier, asyncio.get_running_loop().create_future())
        offered = self.waiting[tier].offer(
            waiting,
            request_class=need.request_class,
            tenant=need.tenant,
            weight=self._weights(need.tenant),
            work=need.weight,
            deadline=need.deadline,
            now=now,
        )
        if isinstance(offered, Refusal):
            return NoPlace(offered.sentence, offered.retry_after_seconds)
        if offered.displaced is not None:
            gone = offered.displaced
            _settle(gone, NoPlace("another request took its place in the queue", self.waiting[tier].retry_after(now)))
        bound = tier is Tier.SMALL and not need.may_spill
        self._bound += bound
        try:
            return await self._settled(waiting, offered)
        finally:
            self._bound -= bound

    async def _settled(self, waiting: _Waiting, ticket: Ticket[_Waiting]) -> Place | NoPlace:
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            self.waiting[waiting.tier].withdraw(ticket)
            if waiting.answer.done() and not waiting.answer.cancelled():
                given = waiting.answer.result()
                if isinstance(given, Place):
                    self._take_back(given, waiting.need.weight)
            raise

    def release(self, place: Place, weight: float) -> None:
        """Gives a place back."""
        place.endpoint.give_back(weight, self._now())
        if self._anyone:
            self.hand_on()

    def _take_back(self, place: Place, weight: float) -> None:
        """A place that nobody came for; it may have been the trial of a breaker."""
        place.endpoint.breaker.abandoned(self._now())
        self.release(place, weight)

    def hand_on(self) -> None:
        """Gives free places to those that wait; called when a place, an endpoint or time has come."""
        now = self._now()
        for tier, admission in self.waiting.items():
            for expired in admission.expired(now):
                sentence = f"no instance of the {tier} tier had room in time"
                _settle(expired, NoPlace(sentence, admission.retry_after(now), timed_out=True))
            while len(admission) and self._has_room(tier, now):
                waiting = admission.take(now)
                if waiting is None:
                    break
                self._give(waiting)
        self._anyone = any(map(len, self.waiting.values()))

    def _give(self, waiting: _Waiting) -> None:
        place = self._place(waiting.tier, waiting.need) or self._spilled(waiting.tier, waiting.need)
        if place is None:  # `_has_room` was true just now, so that this is a defect; the request must not hang for it.
            _settle(waiting, NoPlace("no instance has room", 1.0))
        elif not _settle(waiting, place):
            self._take_back(place, waiting.need.weight)

    def _has_room(self, tier: Tier, now: float) -> bool:
        if self._registry.groups[tier].with_room(self._most[tier], now):
            return True
        return tier is Tier.SMALL and not self._bound and bool(self._spill_room(now))

    def _place(self, tier: Tier, need: Need) -> Place | None:
        group, most = self._registry.groups[tier], self._most[tier]
        now = self._now()
        found = None if need.tried else self._quickly(group, tier, need.affinity)
        if found is not None and found.in_flight + found.foreign < most and found.breaker.allows(now):
            return self._taken(found, tier, need)
        open_ = group.with_room(most, now, need.tried) or (group.with_room(most, now) if need.tried else [])
        if not open_:
            return None
        if tier is Tier.SMALL:
            found = pick.power_of_two(open_, self._random)
        elif need.affinity is None:
            found = pick.least_load(open_, self._random)
        else:
            found = pick.affine(group.ring, need.affinity, open_, self._affinity.load_bound, need.weight)
        return self._taken(found, tier, need)

    def _quickly(self, group: Group, tier: Tier, affinity: int | None) -> Endpoint | None:
        """Whom `pick` nearly always chooses, without a look at all the others; the caller sees to its room."""
        if not group.serving:
            return None
        if tier is Tier.SMALL:
            return pick.power_of_two(group.serving, self._random)
        home = None if affinity is None else group.home(affinity)
        return home if home is not None and pick.stays_home(home) else None

    def _spilled(self, tier: Tier, need: Need) -> Place | None:
        if tier is not Tier.SMALL or not need.may_spill:
            return None
        room = self._spill_room(self._now())
        return self._taken(pick.least_load(room, self._random), Tier.LARGE, need) if room else None

    def _spill_room(self, now: float) -> list[Endpoint]:
        """Room for what finds the small tier full; one where nobody works is not full: that is the fallback's case."""
        if not self._queue.spill_over:
            return []
        may_leave = self._large_for_small or self._registry.groups[Tier.SMALL].works(now)
        return self._idle_room(Tier.LARGE, now) if may_leave else []

    def _idle_room(self, tier: Tier, now: float) -> list[Endpoint]:
        """Endpoints of a tier that have room which its own requests leave."""
        if len(self.waiting[tier]):
            return []
        return self._registry.groups[tier].with_room(int(self._most[tier] * SPILL_SHARE), now)

    def _taken(self, endpoint: Endpoint, tier: Tier, need: Need) -> Place:
        endpoint.take(need.weight)
        # At once, so that no other request takes the one trial of a breaker that is half open.
        endpoint.breaker.sent(self._now())
        return Place(endpoint, tier)


def _settle(waiting: _Waiting, answer: Place | NoPlace) -> bool:
    """Tells who waits; False when its client has gone."""
    if waiting.answer.done():
        return False
    waiting.answer.set_result(answer)
    return True


def _alike(_tenant: str) -> float:
    return 1.0
