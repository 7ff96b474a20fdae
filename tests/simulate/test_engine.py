"""The model of continuous batching: what goes in comes out, in order, within the cache, whenever one looks."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.simulate.engine import Engine, Refused
from heterofleet.simulate.events import Arrival, Event, Finished, FirstToken, Load, Preempted, Started, Tokens, Totals
from heterofleet.simulate.profile import Profile

PROFILE = Profile(
    "test", prefill_tokens_per_second=10_000, step_seconds=0.01, sequence_seconds=0.001, kv_token_seconds=1e-6,
    kv_tokens=1_024, max_num_seqs=4, max_num_batched_tokens=256, max_model_len=1_024,
)  # fmt: skip
ROOMY = replace(PROFILE, kv_tokens=1_000_000, max_num_seqs=256)


def run(engine: Engine, arrivals: Iterable[tuple[float, Arrival]], looks: Iterable[float] = ()) -> list[Event]:
    """Everything that happens; `looks` are times at which somebody asks, which must change nothing."""
    events: list[Event] = []
    moments: list[tuple[float, Arrival | None]] = [*arrivals, *((at, None) for at in looks)]
    for at, arrival in sorted(moments, key=lambda moment: moment[0]):
        if arrival is None:
            events += engine.advance(at)
            assert engine.load().kv_tokens <= engine.profile.kv_tokens
        else:
            engine.submit(at, arrival)
    while (due := engine.next_event()) is not None:
        events += engine.advance(due)
        load = engine.load()
        assert load.kv_tokens + load.kept_tokens <= engine.profile.kv_tokens
    return events


@st.composite
def traffic(draw: st.DrawFn) -> list[tuple[float, Arrival]]:
    sizes = draw(
        st.lists(
            st.tuples(
                st.floats(0, 0.3), st.integers(1, 400), st.integers(1, 200), st.integers(0, 3), st.booleans(),
                st.integers(-1, 1),
            ),
            max_size=20,
        )
    )  # fmt: skip
    at, found = 0.0, []
    for number, (gap, prompt, output, conversation, watched, priority) in enumerate(sizes):
        at += gap
        blocks = tuple(1_000 * conversation + block for block in range((prompt + output) // PROFILE.block_tokens))
        found.append((at, Arrival(number, prompt, output, blocks, priority, watched)))
    return found


def fates(events: Iterable[Event]) -> dict[object, list[Event]]:
    """What happened to each request, but for how its tokens were told in pieces."""
    found: defaultdict[object, list[Event]] = defaultdict(list)
    for event in events:
        if not isinstance(event, Tokens):
            found[event.request].append(event)
    return dict(found)


def test_a_request_alone_takes_its_prefill_and_one_step_a_token() -> None:
    events = run(Engine(PROFILE), [(1.0, Arrival("a", 300, 3))])
    # 256 and 44 tokens of prompt, then two steps with one sequence that reads 300 and 301 tokens.
    first = 1.0 + 256 / 10_000 + 0.01
    last = first + 2 * (0.01 + 0.001 + 300e-6) + 1e-6
    assert [type(event) for event in events] == [Started, FirstToken, Finished]
    assert [event.at for event in events] == pytest.approx([1.0, first, last])


@given(traffic(), st.lists(st.floats(0, 10), max_size=30), st.booleans())
def test_how_often_one_looks_changes_nothing(
    arrivals: list[tuple[float, Arrival]], looks: list[float], heeds_priority: bool
) -> None:
    profile = replace(PROFILE, heeds_priority=heeds_priority)
    unseen, seen = Engine(profile), Engine(profile)
    expected, got = run(unseen, arrivals), run(seen, arrivals, looks)
    assert fates(got) == fates(expected)
    assert seen.totals() == unseen.totals()


@given(traffic(), st.booleans())
def test_every_token_that_was_asked_for_comes_and_no_other(
    arrivals: list[tuple[float, Arrival]], prefix_caching: bool
) -> None:
    engine = Engine(replace(PROFILE, prefix_caching=prefix_caching))
    events = run(engine, arrivals)
    told: Counter[object] = Counter()
    for event in events:
        told[event.request] += event.number if isinstance(event, Tokens) else isinstance(event, FirstToken)
    asked = {arrival.request: arrival for _, arrival in arrivals}
    assert {name: told[name] for name, arrival in asked.items() if arrival.watched} == {
        name: arrival.output_tokens for name, arrival in asked.items() if arrival.watched
    }
    assert Counter(event.request for event in events if isinstance(event, Finished)) == Counter(list(asked))
    assert engine.totals().generated == sum(arrival.output_tokens for arrival in asked.values())
    assert engine.totals().prompt == sum(arrival.prompt_tokens for arrival in asked.values())
    assert (engine.idle, engine.load().kv_tokens) == (True, 0)


@given(traffic())
def test_requests_start_in_the_order_of_their_arrival(arrivals: list[tuple[float, Arrival]]) -> None:
    started = [event.request for event in run(Engine(PROFILE), arrivals) if isinstance(event, Started)]
    assert list(dict.fromkeys(started)) == [arrival.request for _, arrival in arrivals]


@given(traffic())
def test_the_engine_never_rests_while_something_fits(arrivals: list[tuple[float, Arrival]]) -> None:
    engine = Engine(PROFILE)
    for at, arrival in arrivals:
        engine.submit(at, arrival)
        assert engine.load().running > 0
        assert engine.next_event() is not None
    while (due := engine.next_event()) is not None:
        engine.advance(due)
        assert (engine.load().running > 0) == (not engine.idle)


@given(traffic(), st.floats(0, 2))
def test_a_drain_loses_nothing_and_takes_nothing(arrivals: list[tuple[float, Arrival]], later: float) -> None:
    engine = Engine(PROFILE)
    for at, arrival in arrivals:
        engine.submit(at, arrival)
    engine.drain()
    now = (arrivals[-1][0] if arrivals else 0.0) + later
    with pytest.raises(Refused, match="drains"):
        engine.submit(now, Arrival("late", 1, 1))
    done = [event.request for event in run(engine, []) if isinstance(event, Finished)]
    assert sorted(map(str, done)) == sorted(str(arrival.request) for _, arrival in arrivals)


@given(traffic(), st.data())
def test_what_is_aborted_leaves_nothing_behind(arrivals: list[tuple[float, Arrival]], data: st.DataObject) -> None:
    engine = Engine(PROFILE)
    events: list[Event] = []
    for at, arrival in arrivals:
        engine.submit(at, arrival)
        victim = data.draw(st.sampled_from([a.request for t, a in arrivals if t <= at]))
        engine.abort(at, victim)
        events += engine.advance(at)
    events += run(engine, [])
    finished = Counter(event.request for event in events if isinstance(event, Finished))
    assert finished == {arrival.request: 1 for _, arrival in arrivals}
    assert (engine.idle, engine.load().kv_tokens) == (True, 0)


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 80)), min_size=1, max_size=10))
def test_jumping_over_steps_is_walking_them(sizes: list[tuple[int, int]]) -> None:
    engine = Engine(ROOMY)
    engine.submit(0.0, *(Arrival(number, *size) for number, size in enumerate(sizes)))
    jumped = {event.request: event.at for event in run(engine, []) if isinstance(event, Finished)}
    # All prompts fit one step together, budget permitting; from then on each step is walked by itself.
    walked: dict[object, float] = {}
    left: list[list[int]] = []
    waiting, now = [(number, *size) for number, size in enumerate(sizes)], 0.0
    while waiting or left:
        budget, prefill, fresh = ROOMY.max_num_batched_tokens - len(left), 0, []
        while waiting and budget > 0:
            number, prompt, output = waiting.pop(0)
            taken = min(prompt, budget)
            budget, prefill = budget - taken, prefill + taken
            if taken < prompt:
                waiting.insert(0, (number, prompt - taken, output))
                break
            fresh.append([number, sizes[number][0], output - 1])
        now += ROOMY.seconds(prefill, len(left), sum(held for _, held, _ in left))
        left = [[number, held + 1, more - 1] for number, held, more in left] + fresh
        walked |= {number: now for number, _, more in left if more == 0}
        left = [item for item in left if item[2] > 0]
    assert jumped == pytest.approx(walked)


def throughput(batch: int) -> float:
    engine = Engine(ROOMY)
    engine.submit(0.0, *(Arrival(number, 16, 100) for number in range(batch)))
    events = run(engine, [])
    return batch * 100 / max(event.at for event in events)


def test_throughput_grows_with_the_batch_and_ever_less() -> None:
    rates = [throughput(batch) for batch in range(1, 129, 16)]
    gains = [after - before for before, after in pairwise(rates)]
    assert all(gain > 0 for gain in gains)
    assert gains == sorted(gains, reverse=True)


def test_a_full_cache_preempts_the_one_that_came_last_and_computes_it_anew() -> None:
    engine = Engine(PROFILE)
    engine.submit(0.0, Arrival("old", 500, 300), Arrival("new", 500, 300))
    events = run(engine, [])
    assert [event.request for event in events if isinstance(event, Preempted)] == ["new"]
    assert [event.request for event in events if isinstance(event, Finished)] == ["old", "new"]
    assert engine.totals() == Totals(
        prompt=1_000, prefilled=1_000 + 512, generated=600, cache_queries=1_000 + 512, cache_hits=0, preemptions=1
    )


def test_a_known_prefix_is_not_computed_again() -> None:
    engine = Engine(PROFILE)
    chain = tuple(range(100, 120))
    first = run(engine, [(0.0, Arrival("first", 200, 40, chain))])
    again = run(engine, [(10.0, Arrival("next", 260, 8, (*chain[:15], 900)))])
    # 240 - 1 tokens of the first turn were computed, which is 14 full blocks.
    assert [event.cached_tokens for event in (*first, *again) if isinstance(event, Started)] == [0, 14 * 16]
    assert engine.totals().prefilled == 200 + 260 - 14 * 16


def test_one_block_that_two_sequences_use_is_held_once() -> None:
    engine = Engine(PROFILE)
    chain = tuple(range(20))
    engine.submit(0.0, Arrival("a", 320, 50, chain))
    engine.advance(0.1)
    engine.submit(0.1, Arrival("b", 320, 50, chain))
    engine.advance(0.2)
    load = engine.load()
    assert load.running == 2
    assert 19 * 16 + 2 * 16 <= load.kv_tokens < 320 + 64


def test_the_least_recently_used_prefix_goes_first() -> None:
    engine = Engine(PROFILE)
    chains = {name: tuple(range(base, base + 30)) for name, base in (("a", 0), ("b", 100), ("c", 200))}
    for number, name in enumerate(("a", "b", "a", "c", "a", "b")):
        run(engine, [(float(10 * number), Arrival(number, 480, 1, chains[name]))])
    # The cache holds 64 blocks: of b, which was not used since, c left the first 4, and what a computed anew 3.
    assert engine.totals().cache_hits == (29 + 29 + 3) * 16


def test_priorities_count_only_where_the_engine_heeds_them() -> None:
    def order(profile: Profile) -> list[object]:
        engine = Engine(replace(profile, max_num_seqs=1))
        engine.submit(0.0, Arrival("runs", 10, 10))
        engine.submit(0.001, Arrival("low", 10, 10, priority=5), Arrival("high", 10, 10, priority=-5))
        return [event.request for event in run(engine, []) if isinstance(event, Started)]

    assert order(PROFILE) == ["runs", "low", "high"]
    assert order(replace(PROFILE, heeds_priority=True)) == ["runs", "high", "low"]


def test_a_watched_sequence_says_each_token_at_its_time() -> None:
    engine = Engine(PROFILE)
    events = run(engine, [(0.0, Arrival("a", 16, 4, watched=True))])
    assert [type(event) for event in events] == [Started, FirstToken, Tokens, Tokens, Tokens, Finished]
    assert [event.at for event in events] == pytest.approx([0.0, 0.01, 0.021016, 0.032033, 0.043051, 0.043051])


def test_gauges_grow_within_a_run() -> None:
    engine = Engine(PROFILE)
    engine.submit(0.0, Arrival("a", 16, 500), Arrival("b", 16, 500))
    engine.advance(0.0)
    before = engine.load()
    engine.advance(1.0)
    after = engine.load()
    assert (before.running, before.kv_tokens, engine.totals().generated - 2) == (2, 32, after.kv_tokens - 32)
    assert after.kv_tokens > 100


@pytest.mark.parametrize(
    ("arrival", "sentence"),
    [
        (Arrival("a", 1_000, 100), "longer than the KV cache of 1024 tokens"),
        (Arrival("a", 0, 1), "at least one token"),
        (Arrival("there", 1, 1), "a sequence of this name is under way"),
    ],
)
def test_what_can_never_finish_is_refused(arrival: Arrival, sentence: str) -> None:
    engine = Engine(PROFILE)
    engine.submit(0.0, Arrival("there", 1, 5))
    with pytest.raises(Refused, match=sentence):
        engine.submit(0.0, Arrival("fine", 1, 1), arrival)
    assert engine.load() == Load(running=1, waiting=0, kv_tokens=1, kept_tokens=0)


def test_time_does_not_go_back() -> None:
    engine = Engine(PROFILE)
    engine.advance(2.0)
    with pytest.raises(ValueError, match="time went back"):
        engine.advance(1.0)
