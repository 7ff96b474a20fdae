"""Which endpoint of a tier gets a request: the one that has its beginning cached, or one with little to do.

Stands after admission, which found that there is room, and before `relay`. Load is the work in flight, in units of one
token that is generated (`weight`), since one request can be a thousand times another.

    affine         consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, SODA 2018): each endpoint
                   owns points on a ring of 64-bit hashes; from the key on, the first takes the request whose
                       load < max(load_bound x (total + work) / n, FREE_LOAD)
                   where total is the load of the n candidates, and work the request's own. For requests of one size
                   this is the paper's capacity of ceil(load_bound x requests / n), the new one counted; as there, one
                   endpoint at least is below the bound, and none comes to be above it by more than one request.
                   Where that one's cache is full of what it answers right now (FULL_CACHE) the least loaded of all
                   takes it: nothing is kept there for a conversation to come back to.
    power_of_two   the less loaded of two drawn at random (Mitzenmacher 2001)
    least_load     the least loaded of all, at random among equals

Ring and key are the same in every router, so that routers agree without talking as far as they see the same loads. All
three want at least one candidate.
"""

import bisect
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol, TypeVar

import xxhash

POINTS: Final = 128
"""Points of an endpoint on the ring: the standard deviation of an endpoint's share is 1/sqrt(POINTS), or 9 %."""

FREE_LOAD: Final = 2048.0
"""Load below which an endpoint is never passed over: some six requests, which an engine answers together nearly as fast
as one. The mean of a tier that is half idle is less, and would send away whatever finds one request at its home.

Of 256 conversations on 16 simulated engines at light load 64 % of the turns reached their home without it and all did
with it, which halved the mean time to the first token (67 to 32 ms). Twice as much gains little more, and gathers too
much at one engine where a single key is all the traffic.
"""

FULL_CACHE: Final = 0.7
"""Share of an engine's KV cache beyond which running sequences leave too little of it to conversations that pause.

Of 256 conversations on 8 simulated engines whose caches hold a quarter of them, and are full of what is answered, the
mean time to the first token was 1.42 times that of least load without it, and is 0.98 times with it. At 0.8 and 0.9,
heard every two seconds, it comes too late in some runs (1.09, 1.16); at 0.6 caches are given up that are still of use.
"""

PROMPT_TOKEN_WORK: Final = 0.1
"""Work to read a token of the prompt, in tokens generated: prompts are read many tokens at a time."""

CHARACTERS_PER_TOKEN: Final = 4
EXPECTED_TOKENS: Final = 256
"""Length of an answer when the request sets none; chats of public traces have 200 to 300 tokens in the mean."""

MOST_TOKENS: Final = 1024
"""Tokens of an answer that count at most: clients ask for the longest answer that they can use, which seldom comes."""


class Candidate(Protocol):
    """An endpoint that may take a request. `key` is its stable name, host:port; `load` its work in flight.

    `cache_use` is the share of its KV cache that running sequences held when it told so last.
    """

    @property
    def key(self) -> str: ...

    @property
    def in_flight(self) -> int: ...

    @property
    def load(self) -> float: ...

    @property
    def cache_use(self) -> float: ...


class Source(Protocol):
    """Where chance comes from, such as `random.Random`."""

    def random(self) -> float:
        """A number of [0, 1)."""


C = TypeVar("C", bound=Candidate)


def weight(prompt_characters: int, max_tokens: int | None) -> float:
    """The expected work of a request, at least 1. `max_tokens` is 0 for embeddings, and None where none is asked."""
    answer = EXPECTED_TOKENS if max_tokens is None else min(max_tokens, MOST_TOKENS)
    return max(1.0, answer + prompt_characters * (PROMPT_TOKEN_WORK / CHARACTERS_PER_TOKEN))


class Ring:
    """Who comes next from any hash on: the same for the same keys, whatever their order."""

    __slots__ = ("_owners", "_points")

    def __init__(self, keys: Iterable[str]) -> None:
        points = sorted(
            (xxhash.xxh3_64_intdigest(key.encode(), seed), key) for key in set(keys) for seed in range(POINTS)
        )
        self._points = [point for point, _ in points]
        self._owners = [key for _, key in points]

    def home(self, key: int) -> str | None:
        """Whose point comes first from `key` on; None for a ring of nobody."""
        if not self._points:
            return None
        return self._owners[bisect.bisect_left(self._points, key) % len(self._points)]

    def walk(self, key: int) -> Iterator[str]:
        """The owners of all points from `key` on, once around; most come many times."""
        owners, start = self._owners, bisect.bisect_left(self._points, key)
        # By index, since two slices would copy thousands of points of which mostly two or three are looked at.
        for place in range(start - len(owners), start):
            yield owners[place]


def affine(ring: Ring, key: int, candidates: Sequence[C], load_bound: float, work: float = 1.0) -> C:
    """Who has the beginning of a conversation in its cache, or should have from now on."""
    limit = load_limit([candidate.load for candidate in candidates], load_bound, work)
    found = _first_below(limit, ring, key, candidates)
    return found if found.cache_use <= FULL_CACHE else min(candidates, key=_load)


def stays_home(home: Candidate) -> bool:
    """Whether `affine` gives a request to its home whatever the others' loads, so that they need not be looked at."""
    return home.load < FREE_LOAD and home.cache_use <= FULL_CACHE


def _first_below(limit: float, ring: Ring, key: int, candidates: Sequence[C]) -> C:
    """The first candidate from `key` on that is below the limit; the ring may know others, who are skipped."""
    home = ring.home(key)
    for candidate in candidates:
        if candidate.key == home:
            if candidate.load < limit:
                return candidate
            break
    known = dict(zip([candidate.key for candidate in candidates], candidates, strict=True))
    for owner in ring.walk(key):
        found = known.get(owner)
        if found is not None and found.load < limit:
            return found
    # The ring is older than the candidates and knows none of those below the bound.
    return min(candidates, key=_load)


def load_limit(loads: Sequence[float], load_bound: float, work: float) -> float:
    """The load below which a candidate with one of these loads takes `work` more."""
    return max(load_bound * (sum(loads) + work) / len(loads), FREE_LOAD)


def power_of_two(candidates: Sequence[C], source: Source) -> C:
    """The less loaded of two different candidates, drawn at random."""
    count = len(candidates)
    if count == 1:
        return candidates[0]
    first, second = int(source.random() * count), int(source.random() * (count - 1))
    if second >= first:
        second += 1
    one, other = candidates[first], candidates[second]
    return other if other.load < one.load else one


def least_load(candidates: Sequence[C], source: Source) -> C:
    """The least loaded candidate; one at random where several are."""
    loads = [candidate.load for candidate in candidates]
    least = min(loads)
    if loads.count(least) == 1:
        return candidates[loads.index(least)]
    equal = [candidate for candidate in candidates if candidate.load == least]
    return equal[int(source.random() * len(equal))]


def _load(candidate: Candidate) -> float:
    return candidate.load
