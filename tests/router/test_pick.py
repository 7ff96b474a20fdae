"""Which endpoint gets a request: rules of the ring, of the bound on loads, and of the random choices."""

import functools
import random
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.router import pick
from heterofleet.router.pick import FREE_LOAD, Ring


class Endpoint(NamedTuple):
    key: str
    load: float = 0.0
    in_flight: int = 0
    cache_use: float = 0.0


hashes = st.integers(0, 2**64 - 1)
names = st.integers(0, 40).map(lambda number: f"10.0.0.{number}:8000")
fleets = st.sets(names, min_size=1, max_size=8)
# Whole numbers, since the order in which fractions are added changes the last bit of their sum.
loads = st.integers(0, 20_000).map(float)
loaded = st.dictionaries(names, loads, min_size=1, max_size=12).map(
    lambda known: [Endpoint(key, load) for key, load in known.items()]
)
bounds = st.floats(1.0, 4.0)


def idle(keys: set[str]) -> list[Endpoint]:
    return [Endpoint(key) for key in sorted(keys)]


@functools.cache
def ring_over(keys: frozenset[str]) -> Ring:
    return Ring(keys)


def ring_of(endpoints: Sequence[Endpoint]) -> Ring:
    return ring_over(frozenset(endpoint.key for endpoint in endpoints))


def home(keys: set[str], key: int) -> str:
    return pick.affine(ring_over(frozenset(keys)), key, idle(keys), 1.25).key


@given(fleets, names, hashes)
def test_only_the_keys_of_an_endpoint_that_leaves_move(keys, leaver, key):
    rest = keys - {leaver}
    if rest and home(keys, key) != leaver:
        assert home(rest, key) == home(keys, key)


@given(fleets, names, hashes)
def test_an_endpoint_that_joins_takes_keys_and_moves_no_other(keys, joiner, key):
    assert home(keys | {joiner}, key) in {joiner, home(keys, key)}


@given(fleets, hashes, st.randoms(use_true_random=False))
def test_a_key_goes_where_it_went_before_once_an_endpoint_is_back(keys, key, source):
    away = source.choice(sorted(keys))
    rest = [endpoint for endpoint in idle(keys) if endpoint.key != away]
    if rest:
        ring = Ring(keys)  # the endpoint has no room for a moment, and the ring still knows it
        elsewhere = pick.affine(ring, key, rest, 1.25)
        assert elsewhere.key == home(keys - {away}, key)
        assert pick.affine(ring, key, idle(keys), 1.25).key == home(keys, key)


@given(loaded, hashes, bounds, st.randoms(use_true_random=False))
def test_the_order_of_endpoints_does_not_matter(endpoints, key, bound, source):
    shuffled = source.sample(endpoints, len(endpoints))
    ring, other = Ring(e.key for e in endpoints), Ring(e.key for e in shuffled)
    assert pick.affine(ring, key, endpoints, bound) == pick.affine(other, key, shuffled, bound)


@given(loaded, hashes, bounds, st.floats(1, 1000))
def test_affinity_chooses_nobody_above_the_bound(endpoints, key, bound, work):
    limit = pick.load_limit([endpoint.load for endpoint in endpoints], bound, work)
    assert pick.affine(ring_of(endpoints), key, endpoints, bound, work).load < limit


@given(loaded, hashes, bounds)
def test_affinity_passes_over_those_above_the_bound_alone(endpoints, key, bound):
    limit = pick.load_limit([endpoint.load for endpoint in endpoints], bound, 1.0)
    below = {endpoint.key for endpoint in endpoints if endpoint.load < limit}
    ring = ring_of(endpoints)
    assert pick.affine(ring, key, endpoints, bound).key == next(owner for owner in ring.walk(key) if owner in below)


@given(st.lists(hashes, min_size=1, max_size=200), st.integers(1, 9), bounds)
def test_requests_of_one_size_keep_to_the_capacity_of_the_paper(keys, count, bound):
    size = FREE_LOAD * 2  # more than what is free, so that the bound alone decides
    endpoints = [Endpoint(f"e{number}") for number in range(count)]
    ring = ring_of(endpoints)
    for placed, key in enumerate(keys, start=1):
        chosen = pick.affine(ring, key, endpoints, bound, size)
        endpoints[endpoints.index(chosen)] = chosen._replace(load=chosen.load + size)
        assert (chosen.load + size) / size < bound * placed / count + 1 + 1e-9


def test_an_endpoint_with_little_to_do_is_not_passed_over():
    keys = {f"e{number}" for number in range(64)}
    asked = 7
    busy = home(keys, asked)
    endpoints = [e._replace(load=FREE_LOAD - 1) if e.key == busy else e for e in idle(keys)]
    assert pick.affine(Ring(keys), asked, endpoints, 1.25).key == busy
    endpoints = [e._replace(load=FREE_LOAD) if e.key == busy else e for e in idle(keys)]
    assert pick.affine(Ring(keys), asked, endpoints, 1.25).key != busy


def test_a_hot_key_overflows_to_the_endpoints_that_follow_on_the_ring():
    keys = {f"e{number}" for number in range(8)}
    hot = 12_345
    order = list(dict.fromkeys(Ring(keys).walk(hot)))
    chosen = []
    for busy in range(len(order)):
        endpoints = [e._replace(load=10_000.0 * (e.key in order[:busy])) for e in idle(keys)]
        chosen.append(pick.affine(Ring(keys), hot, endpoints, 1.0).key)
    assert set(order) == keys
    assert chosen == order


@given(loaded, hashes)
def test_a_ring_that_knows_no_candidate_leads_to_the_least_loaded(endpoints, key):
    least = min(endpoint.load for endpoint in endpoints)
    for ring in (Ring([]), Ring(["gone:8000"])):
        assert pick.affine(ring, key, endpoints, 1.25).load == least


@given(loaded, hashes, st.floats(0, 1))
def test_where_the_cache_of_the_one_that_affinity_finds_is_full_the_least_loaded_takes_it(endpoints, key, use):
    ring = ring_of(endpoints)
    found = pick.affine(ring, key, endpoints, 1.25)
    fuller = [endpoint._replace(cache_use=use if endpoint == found else 0.0) for endpoint in endpoints]
    chosen = pick.affine(ring, key, fuller, 1.25)
    if use <= pick.FULL_CACHE:
        assert chosen.key == found.key
    else:
        assert chosen.load == min(endpoint.load for endpoint in endpoints)


@given(endpoints=loaded, key=hashes, bound=bounds, use=st.sampled_from([0.0, 0.99, 1.0]))
def test_who_stays_home_is_whom_affinity_finds(endpoints, key, bound, use):
    endpoints = [endpoint._replace(load=endpoint.load / 4, cache_use=use) for endpoint in endpoints]
    (home,) = [endpoint for endpoint in endpoints if endpoint.key == ring_of(endpoints).home(key)]
    assert pick.stays_home(home) is (home.load < FREE_LOAD and use <= pick.FULL_CACHE)
    if pick.stays_home(home):
        assert pick.affine(ring_of(endpoints), key, endpoints, bound) == home


def test_full_caches_of_others_do_not_matter():
    keys = {f"e{number}" for number in range(8)}
    full = [endpoint._replace(cache_use=float(endpoint.key != home(keys, 7))) for endpoint in idle(keys)]
    assert pick.affine(Ring(keys), 7, full, 1.25).key == home(keys, 7)


def test_keys_spread_over_endpoints_about_evenly():
    source = random.Random(4)
    keys = {f"10.1.{number}.7:8000" for number in range(16)}
    ring = Ring(keys)
    found = Counter(ring.home(source.getrandbits(64)) for _ in range(64_000))
    shares = [found[key] / 4000 for key in keys]
    # Each share scatters around 1 by 1/sqrt(128) for the ring and 1/sqrt(4000) for the keys: five sigma are below 0.46.
    assert max(abs(share - 1) for share in shares) < 0.46
    assert sum((share - 1) ** 2 for share in shares) / len(keys) < 2 / pick.POINTS


def test_the_ring_is_the_same_in_every_process():
    # Routers of one fleet agree without talking, of different versions too: the places on the ring are a contract.
    ring = Ring(f"10.0.0.{number}:8000" for number in range(5))
    homes = [ring.home(number << 61) for number in range(8)]
    assert homes == [f"10.0.0.{number}:8000" for number in (4, 0, 0, 2, 0, 1, 2, 4)]


def test_of_two_drawn_at_random_the_less_loaded_is_chosen():
    endpoints = [Endpoint(f"e{number}", float(number)) for number in range(4)]
    source = random.Random(8)
    drawn = Counter(pick.power_of_two(endpoints, source).key for _ in range(12_000))
    # Of the six pairs three have e0, two more e1, one more e2; e3 is never the less loaded.
    assert set(drawn) == {"e0", "e1", "e2"}
    assert [round(drawn[key] / 2000, 1) for key in ("e0", "e1", "e2")] == pytest.approx([3, 2, 1], abs=0.15)


def test_equals_are_chosen_equally_often():
    endpoints = [Endpoint(f"e{number}") for number in range(4)] + [Endpoint("busy", 9.0)]
    source = random.Random(8)
    drawn = Counter(pick.least_load(endpoints, source).key for _ in range(8000))
    assert set(drawn) == {"e0", "e1", "e2", "e3"}
    assert all(abs(count / 2000 - 1) < 0.15 for count in drawn.values())


@given(loaded, st.randoms(use_true_random=False))
def test_random_choices_keep_their_promise(endpoints, source):
    least, most = min(e.load for e in endpoints), max(endpoints, key=lambda e: e.load)
    assert pick.least_load(endpoints, source).load == least
    chosen = pick.power_of_two(endpoints, source)
    assert chosen in endpoints
    if sum(e.load == most.load for e in endpoints) == 1 and len(endpoints) > 1:
        assert chosen != most


@pytest.mark.parametrize(
    ("characters", "tokens", "expected"),
    [
        (0, 100, 100.0),
        (4000, 100, 200.0),
        (4000, None, 356.0),
        (0, 1024, 1024.0),
        (0, 100_000, 1024.0),
        (4000, 0, 100.0),
        (0, 0, 1.0),
    ],
)
def test_a_request_weighs_what_it_is_expected_to_generate_and_a_tenth_of_what_is_read(characters, tokens, expected):
    assert pick.weight(characters, tokens) == pytest.approx(expected)
