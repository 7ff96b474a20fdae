"""Places, and who gets one next: on a clock of the test's own, with endpoints that nobody listens at."""

import asyncio
import random

import pytest

from heterofleet.api.labels import Tier
from heterofleet.api.places import Affinity, BreakerPolicy, Queue
from heterofleet.api.routing import RequestClass
from heterofleet.router.breaker import State
from heterofleet.router.dispatch import Dispatcher, Need, NoPlace, Place
from heterofleet.router.endpoints import Address, Endpoint, Registry, Sighting

PLAN, ACT = RequestClass.PLAN, RequestClass.ACT
LARGE, SMALL = Tier.LARGE, Tier.SMALL


class Desk:
    """A dispatcher over engines of the test's own, each with room for `most`; `now` is the time."""

    def __init__(self, *, small: int = 0, large: int = 0, most: int = 2, large_for_small: bool = True, **queue) -> None:
        self.now = 0.0
        self.registry = Registry(lambda: self.now)
        self.dispatcher = Dispatcher(self.registry, lambda: self.now, random.Random(7))
        room = dict.fromkeys(Tier, most)
        self.dispatcher.configure(
            Queue(**queue), Affinity(), room, lambda _tenant: 1.0, large_for_small=large_for_small
        )
        self.engines(small=small, large=large)

    def engines(self, *, small: int = 0, large: int = 0) -> None:
        sightings = [Sighting(Address("127.0.0.1", 1000 + n), SMALL) for n in range(small)]
        sightings += [Sighting(Address("127.0.0.1", 2000 + n), LARGE) for n in range(large)]
        if self.registry.replace(sightings):
            self.dispatcher.hand_on()

    def endpoints(self, tier: Tier) -> tuple[Endpoint, ...]:
        return self.registry.groups[tier].serving

    async def waits(self, tier: Tier, need: Need) -> asyncio.Task:
        """A request that waits; whoever is in turn by now has its place."""
        task = asyncio.create_task(self.dispatcher.wait(tier, need))
        await asyncio.sleep(0)
        return task

    def at_rest(self) -> bool:
        waiting = [len(queue) for queue in self.dispatcher.waiting.values()]
        held = [(endpoint.in_flight, endpoint.load) for endpoint in self.registry.all()]
        return waiting == [0, 0] and set(held) <= {(0, 0.0)} and self.dispatcher._bound == 0


def need(request_class: RequestClass = ACT, *, tenant: str = "", deadline: float = 10.0, **more) -> Need:
    return Need(request_class, tenant, 5.0, more.pop("affinity", None), deadline, **more)


def full(desk: Desk, tier: Tier, most: int = 2) -> list[Place]:
    """Fills a tier by requests that may not leave it."""
    places = [desk.dispatcher.take(tier, need(may_spill=False)) for _ in range(most * len(desk.endpoints(tier)))]
    assert None not in places
    assert desk.dispatcher.take(tier, need(may_spill=False)) is None
    return places


async def test_a_place_counts_from_when_it_is_given_until_it_is_given_back():
    desk = Desk(small=1)
    place = desk.dispatcher.take(SMALL, need())
    (endpoint,) = desk.endpoints(SMALL)
    assert (place, endpoint.in_flight, endpoint.load) == (Place(endpoint, SMALL), 1, 5.0)
    desk.dispatcher.release(place, 5.0)
    assert desk.at_rest()


async def test_requests_are_held_until_a_tier_has_booted():
    desk = Desk()
    waiting = [await desk.waits(LARGE, need(PLAN)) for _ in range(2)]
    desk.engines(large=1)
    (endpoint,) = desk.endpoints(LARGE)
    assert await asyncio.gather(*waiting) == [Place(endpoint, LARGE)] * 2


async def test_plan_goes_before_act_and_each_in_its_order():
    desk = Desk(small=1, most=1)
    (place,) = full(desk, SMALL, 1)
    order = []
    for name, request_class in (("act 1", ACT), ("plan 1", PLAN), ("act 2", ACT), ("plan 2", PLAN)):
        task = await desk.waits(SMALL, need(request_class))
        task.add_done_callback(lambda _task, name=name: order.append(name))
    for _ in range(4):
        desk.dispatcher.release(place, 5.0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert order == ["plan 1", "plan 2", "act 1", "act 2"]


async def test_nobody_passes_those_who_wait():
    desk = Desk(small=1, most=1)
    (place,) = full(desk, SMALL, 1)
    first = await desk.waits(SMALL, need())
    desk.dispatcher._most = dict.fromkeys(Tier, 2)
    assert desk.dispatcher.take(SMALL, need()) is None
    desk.dispatcher.release(place, 5.0)
    assert isinstance(await first, Place)


async def test_a_wait_ends_at_its_deadline():
    desk = Desk()
    waiting = await desk.waits(LARGE, need(PLAN, deadline=10.0))
    desk.now = 9.9
    desk.dispatcher.hand_on()
    await asyncio.sleep(0)
    assert not waiting.done()
    desk.now = 10.0
    desk.dispatcher.hand_on()
    answer = await waiting
    assert (answer.sentence, answer.timed_out) == ("no instance of the large tier had room in time", True)
    assert desk.at_rest()


async def test_a_full_queue_says_when_to_come_again():
    desk = Desk(max_requests=1)
    waiting = await desk.waits(SMALL, need())
    refused = await desk.dispatcher.wait(SMALL, need())
    assert refused == NoPlace("1 requests wait already for an instance, and no more may", 60.0)
    waiting.cancel()


async def test_a_plan_request_takes_the_place_of_an_act_request_in_a_full_queue():
    desk = Desk(max_requests=1)
    act = await desk.waits(SMALL, need(ACT))
    plan = await desk.waits(SMALL, need(PLAN))
    assert (await act).sentence == "another request took its place in the queue"
    desk.engines(small=1)
    assert isinstance(await plan, Place)


@pytest.mark.parametrize("given", [False, True])
async def test_who_leaves_while_waiting_leaves_nothing_behind(given):
    desk = Desk(small=1, most=1)
    (place,) = full(desk, SMALL, 1)
    waiting = await desk.waits(SMALL, need(may_spill=False))
    if given:
        # The place is given in the same step in which its client leaves.
        desk.dispatcher.release(place, 5.0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if not given:
        desk.dispatcher.release(place, 5.0)
    assert desk.at_rest()


async def test_a_trial_that_nobody_came_for_is_another_requests():
    desk = Desk(small=1)
    desk.registry.configure(BreakerPolicy(failures=1, open_seconds=5))
    (endpoint,) = desk.endpoints(SMALL)
    endpoint.breaker.failed(desk.now)
    waiting = await desk.waits(SMALL, need())
    desk.now = 6.0
    desk.dispatcher.hand_on()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert endpoint.breaker.state(desk.now) is State.HALF_OPEN
    assert isinstance(desk.dispatcher.take(SMALL, need()), Place)
    assert desk.dispatcher.take(SMALL, need()) is None


async def test_a_breaker_that_closes_again_lets_those_who_wait_through():
    desk = Desk(small=1)
    (endpoint,) = desk.endpoints(SMALL)
    for _ in range(5):
        endpoint.breaker.failed(desk.now)
    waiting = await desk.waits(SMALL, need(deadline=100.0))
    assert not waiting.done()
    desk.now = 60.0
    desk.dispatcher.hand_on()
    assert await waiting == Place(endpoint, SMALL)


async def test_idle_room_of_the_large_tier_takes_what_finds_the_small_one_full():
    desk = Desk(small=1, large=1, most=2)
    full(desk, SMALL)
    (large,) = desk.endpoints(LARGE)
    assert desk.dispatcher.take(SMALL, need()) == Place(large, LARGE)
    # Half of an instance stays for the plan requests that come next.
    assert desk.dispatcher.take(SMALL, need()) is None
    assert isinstance(desk.dispatcher.take(LARGE, need(PLAN)), Place)


async def test_room_of_the_large_tier_goes_to_its_own_first():
    desk = Desk(small=1, large=1, most=2)
    full(desk, SMALL)
    places = full(desk, LARGE)
    plan, act = await desk.waits(LARGE, need(PLAN)), await desk.waits(SMALL, need())
    desk.dispatcher.release(places.pop(), 5.0)
    await asyncio.sleep(0)
    assert (plan.done(), act.done()) == (True, False)
    act.cancel()


async def test_nothing_spills_over_where_it_may_not():
    desk = Desk(small=1, large=1, spill_over=False)
    full(desk, SMALL)
    assert desk.dispatcher.take(SMALL, need()) is None


@pytest.mark.parametrize(("large_for_small", "tier"), [(True, LARGE), (False, None)])
async def test_a_small_tier_where_nobody_works_is_not_full_and_spills_over_only_where_the_large_one_may_stand_in(
    large_for_small: bool, tier: Tier | None
):
    desk = Desk(large=1, large_for_small=large_for_small)
    place, waiting = desk.dispatcher.take(SMALL, need()), await desk.waits(SMALL, need())
    assert (place.tier if place else None, waiting.done()) == (tier, False)
    desk.dispatcher.hand_on()
    await asyncio.sleep(0)
    assert waiting.done() is False
    desk.engines(small=1, large=1)
    assert (await waiting).tier is SMALL


async def test_a_full_small_tier_spills_over_though_the_large_one_may_not_stand_in():
    desk = Desk(small=1, large=1, large_for_small=False)
    full(desk, SMALL)
    assert desk.dispatcher.take(SMALL, need()).tier is LARGE


async def test_who_may_not_spill_over_waits_for_its_own_tier_whatever_room_there_is():
    """Plan goes first, so that a plan request which named the small tier is next while the large one has room."""
    desk = Desk(small=1, large=1, most=2)
    places = full(desk, SMALL)
    named, other = await desk.waits(SMALL, need(PLAN, may_spill=False)), None
    desk.dispatcher.hand_on()
    await asyncio.sleep(0)
    assert not named.done()
    desk.dispatcher.release(places.pop(), 5.0)
    assert (await named).tier is SMALL
    other = await desk.waits(SMALL, need())
    desk.dispatcher.hand_on()
    assert (await other).tier is LARGE


async def test_another_attempt_goes_where_none_has_been_while_there_is_such_a_place():
    desk = Desk(small=3, most=9)
    first, second, third = desk.endpoints(SMALL)
    again = need()
    again.tried = {first.key, third.key}
    for _ in range(5):
        assert desk.dispatcher.take(SMALL, again).endpoint is second
    again.tried = {first.key, second.key, third.key}
    assert isinstance(desk.dispatcher.take(SMALL, again), Place)


async def test_a_conversation_finds_its_instance_again_and_leaves_it_when_it_has_more_than_its_share():
    desk = Desk(large=4, most=256)
    homes = {desk.dispatcher.take(LARGE, need(PLAN, affinity=12345)).endpoint.key for _ in range(3)}
    assert len(homes) == 1
    (home,) = [endpoint for endpoint in desk.endpoints(LARGE) if endpoint.key in homes]
    home.take(1_000_000.0)
    assert desk.dispatcher.take(LARGE, need(PLAN, affinity=12345)).endpoint is not home


async def test_an_endpoint_that_drains_gets_nothing_new_and_keeps_what_it_has():
    desk = Desk(small=1)
    place = desk.dispatcher.take(SMALL, need())
    desk.registry.replace([Sighting(Address("127.0.0.1", 1000), SMALL, draining=True)])
    assert desk.dispatcher.take(SMALL, need()) is None
    assert place.endpoint.in_flight == 1
    desk.dispatcher.release(place, 5.0)
    assert desk.at_rest()


async def test_a_configuration_may_change_while_requests_wait():
    desk = Desk(small=1, most=1)
    full(desk, SMALL, 1)
    waiting = await desk.waits(SMALL, need())
    room = dict.fromkeys(Tier, 2)
    desk.dispatcher.configure(Queue(max_requests=0), Affinity(), room, lambda _tenant: 1.0, large_for_small=True)
    assert isinstance(await waiting, Place)
