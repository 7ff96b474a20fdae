import asyncio

import pytest

from heterofleet.api.labels import Tier
from heterofleet.api.places import BreakerPolicy
from heterofleet.router import watchers
from heterofleet.router.attempts import Attempts
from heterofleet.router.breaker import State
from heterofleet.router.endpoints import FOREIGN_WEIGHT, Address, Registry, Sighting
from router import engines
from router.running import until

ONE, TWO = Address("127.0.0.1", 1001), Address("127.0.0.1", 1002)
SMALL, LARGE = Tier.SMALL, Tier.LARGE


def registry(*sightings: Sighting) -> Registry:
    made = Registry(lambda: 0.0)
    made.replace(sightings)
    return made


def serving(made: Registry, tier: Tier = SMALL) -> list[str]:
    return [endpoint.key for endpoint in made.groups[tier].serving]


def test_nothing_is_known_before_a_source_has_spoken_even_of_nobody():
    made = Registry(lambda: 0.0)
    assert not made.synced
    assert made.replace([]) is False
    assert made.synced


def test_who_is_ready_and_not_draining_serves_its_own_tier():
    made = registry(
        Sighting(ONE, SMALL),
        Sighting(TWO, LARGE),
        Sighting(Address("127.0.0.1", 1003), SMALL, ready=False),
        Sighting(Address("127.0.0.1", 1004), SMALL, draining=True),
    )
    assert (serving(made), serving(made, LARGE)) == (["127.0.0.1:1001"], ["127.0.0.1:1002"])


def test_a_change_is_told_only_where_who_serves_has_changed():
    made = registry(Sighting(ONE, SMALL))
    assert made.replace([Sighting(ONE, SMALL)]) is False
    assert made.replace([Sighting(ONE, SMALL), Sighting(TWO, SMALL, ready=False)]) is False
    assert made.replace([Sighting(ONE, SMALL), Sighting(TWO, SMALL)]) is True
    assert made.replace([Sighting(TWO, SMALL)]) is True


def test_counts_and_breaker_outlive_what_a_source_says_of_readiness():
    made = registry(Sighting(ONE, SMALL))
    (endpoint,) = made.all()
    endpoint.take(5.0)
    for _ in range(5):
        endpoint.breaker.failed(0.0)
    made.replace([Sighting(ONE, SMALL, draining=True)])
    made.replace([Sighting(ONE, SMALL)])
    assert made.all() == [endpoint]
    assert (endpoint.in_flight, endpoint.load, endpoint.breaker.state(0.0)) == (1, 5.0, State.OPEN)


def test_another_process_at_the_same_address_begins_anew():
    made = registry(Sighting(ONE, SMALL, life="a"))
    (former,) = made.all()
    former.take(5.0)
    made.replace([Sighting(ONE, SMALL, life="b")])
    (endpoint,) = made.all()
    assert endpoint is not former
    assert (endpoint.in_flight, former.draining, former.pool.retired) == (0, True, True)


def test_an_endpoint_that_moves_to_another_tier_or_model_is_the_same_endpoint():
    made = registry(Sighting(ONE, SMALL, model="old"))
    (endpoint,) = made.all()
    made.replace([Sighting(ONE, LARGE, model="new")])
    assert (made.all(), endpoint.tier, endpoint.model) == ([endpoint], LARGE, "new")
    assert (serving(made), serving(made, LARGE)) == ([], [endpoint.key])


def test_load_is_the_work_of_ours_and_of_what_the_engine_has_from_others():
    (endpoint,) = registry(Sighting(ONE, SMALL)).all()
    endpoint.take(10.0)
    endpoint.take(20.0)
    endpoint.heard(5)
    assert (endpoint.foreign, endpoint.load) == (3, 30.0 + 3 * FOREIGN_WEIGHT)
    endpoint.give_back(10.0, 1.0)
    assert (endpoint.in_flight, endpoint.load) == (1, 20.0 + 3 * FOREIGN_WEIGHT)
    endpoint.heard(0)
    assert (endpoint.foreign, endpoint.load) == (0, 20.0)


def test_nothing_in_flight_is_no_load_whatever_sums_of_floats_say():
    (endpoint,) = registry(Sighting(ONE, SMALL)).all()
    for weight in (0.1, 0.2, 0.3):
        endpoint.take(weight)
    for weight in (0.3, 0.1, 0.2):
        endpoint.give_back(weight, 7.0)
    assert (endpoint.in_flight, endpoint.load, endpoint.idle_since) == (0, 0.0, 7.0)


def test_room_is_less_than_most_with_what_others_have_there():
    made = registry(Sighting(ONE, SMALL), Sighting(TWO, SMALL))
    first, second = made.groups[SMALL].serving
    first.take(1.0)
    first.heard(2)
    assert made.groups[SMALL].with_room(2, 0.0) == [second]
    assert made.groups[SMALL].with_room(3, 0.0) == [first, second]
    assert made.groups[SMALL].with_room(3, 0.0, {first.key}) == [second]


def test_a_tier_works_while_one_breaker_lets_a_request_through():
    made = registry(Sighting(ONE, SMALL))
    (endpoint,) = made.all()
    assert made.groups[SMALL].works(0.0)
    for _ in range(5):
        endpoint.breaker.failed(0.0)
    assert not made.groups[SMALL].works(59.0)
    assert made.groups[SMALL].works(60.0)
    assert not made.groups[LARGE].works(60.0)


def test_breakers_begin_anew_when_their_policy_changes_and_only_then():
    made = registry(Sighting(ONE, SMALL))
    (endpoint,) = made.all()
    for _ in range(5):
        endpoint.breaker.failed(0.0)
    made.configure(BreakerPolicy())
    assert endpoint.breaker.state(0.0) is State.OPEN
    made.configure(BreakerPolicy(failures=2))
    assert endpoint.breaker.state(0.0) is State.CLOSED


@pytest.mark.parametrize(
    ("address", "key"),
    [(Address("10.0.0.1", 8000), "10.0.0.1:8000"), (Address("fd00::1", 8000), "[fd00::1]:8000")],
)
def test_an_address_is_written_as_in_urls(address, key):
    assert address.key == key


@pytest.mark.parametrize(
    ("text", "held"),
    [
        (b"vllm:num_requests_running 3.0\nvllm:num_requests_waiting 4.0\n", 7),
        (b'vllm:num_requests_running{engine="0"} 1\nvllm:num_requests_running{engine="1"} 2e0\n', 3),
        (b"# HELP vllm:num_requests_running x\nother 5\n", None),
        (b"vllm:num_requests_running 1e999\n", None),
        (b"vllm:num_requests_running 1.2.3\n", None),
        (b"\xff\xfe\x00", None),
    ],
)
def test_what_an_engine_holds_is_read_from_its_metrics_whatever_it_writes(text, held):
    assert watchers.held_requests(text) == held


@pytest.mark.parametrize(
    ("text", "use"),
    [
        (b"vllm:kv_cache_usage_perc 0.25\n", 0.25),
        (b'vllm:kv_cache_usage_perc{engine="0"} 5e-1\nvllm:kv_cache_usage_perc{engine="1"} 1\n', 0.75),
        (b"vllm:num_requests_running 3.0\n", 0.0),
        (b"vllm:kv_cache_usage_perc 1.2.3\n", 0.0),
    ],
)
def test_how_full_its_cache_is_an_engine_says_in_its_metrics_or_it_counts_as_empty(text, use):
    assert watchers.cache_use(text) == use


async def test_an_endpoint_that_is_gone_keeps_no_idle_connection():
    async with engines.engine(engines.says("hello")) as engine:
        loop = asyncio.get_running_loop()
        made = Registry(loop.time)
        made.replace([Sighting(Address("127.0.0.1", engine.port), SMALL)])
        (endpoint,) = made.all()
        attempts = Attempts(loop)
        request = b"POST / HTTP/1.1\r\nhost: e\r\ncontent-length: 2\r\n\r\n{}"
        (await attempts.begin(endpoint, request, 30, None)).close()
        running = await endpoint.pool.open(5)
        assert len(endpoint.pool) == 2
        made.replace([])
        await until(lambda: len(endpoint.pool) == 1)
        assert running.usable
        endpoint.pool.close()
