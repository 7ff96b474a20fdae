"""Which questions are taken for the same, whose, and how it is measured that some were not."""

import math
import subprocess
import sys
import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heterofleet.api.labels import Tier
from heterofleet.router import semantic
from heterofleet.router.cache import Answer
from heterofleet.router.openai import Operation, Request, parse
from heterofleet.router.semantic import InvalidEmbedding, Near, SemanticIndex, Verification

NOW = 1_764_000_000.0
OSLO = Answer(b"In Norway", NOW)
LIMA = Answer(b"In Peru", NOW)


def index(threshold: float = 0.9, ttl_seconds: float = 60, max_bytes: int = 1_000_000) -> SemanticIndex:
    return SemanticIndex(threshold=threshold, ttl_seconds=ttl_seconds, max_bytes=max_bytes)


def chat(last: str = "Where is Oslo?", system: str = "Be brief", earlier: str = "Hi", **fields: Any) -> Request:
    messages = [
        {"role": "system", "content": system},
        {"role": "user", "content": earlier},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": last},
    ]
    return parse(Operation.CHAT, orjson.dumps({"model": "auto", "messages": messages, **fields}))


def scope(request: Request, tenant: str = "blue", tier: Tier = Tier.LARGE) -> bytes | None:
    return semantic.scope(request, tenant=tenant, tier=tier)


def test_only_the_last_user_message_may_be_worded_differently():
    same = scope(chat())
    assert scope(chat("In which country does Oslo lie?", model="plan", stream=True, user="u")) == same
    others = [
        scope(chat(), tenant="red"),
        scope(chat(), tier=Tier.SMALL),
        scope(chat(system="Be verbose")),
        scope(chat(earlier="Hello")),
        scope(chat(max_tokens=5)),
        scope(chat(response_format={"type": "json_object"})),
        scope(parse(Operation.RESPONSES, b'{"model":"m","input":"Where is Oslo?"}')),
    ]
    assert len({same, *others}) == 8


def test_a_request_without_a_question_has_no_scope():
    assert scope(chat("  \n")) is None
    assert scope(parse(Operation.COMPLETIONS, b'{"model":"m","prompt":[1,2,3]}')) is None


def test_the_nearest_question_answers_where_it_is_near_enough():
    known = index()
    known.put(b"s", [2.0, 0.0, 0.0], OSLO)
    known.put(b"s", [0.0, 3.0, 0.0], LIMA)
    assert known.nearest(b"s", [5.0, 0.0, 0.0], NOW) == Near(1.0, OSLO)
    near = known.nearest(b"s", [0.1, 0.9, 0.0], NOW)
    assert near is not None
    assert near.answer == LIMA
    assert near.similarity == pytest.approx(0.9 / math.hypot(0.1, 0.9))
    assert known.nearest(b"s", [1.0, 1.0, 0.0], NOW) is None
    assert known.nearest(b"other", [5.0, 0.0, 0.0], NOW) is None
    assert known.nearest(b"s", [5.0, 0.0], NOW) is None


def test_an_old_answer_is_found_no_more():
    known = index()
    known.put(b"s", [1.0, 0.0], OSLO)
    assert known.nearest(b"s", [1.0, 0.0], NOW + 59) == Near(1.0, OSLO)
    assert known.nearest(b"s", [1.0, 0.0], NOW + 60) is None
    assert (len(known), known.held_bytes) == (0, 0)


def test_the_least_recently_used_question_goes_first():
    room = index()
    for name in (b"a", b"b", b"c"):
        room.put(name, [1.0], Answer(name * 100, NOW))
    known = index(max_bytes=room.held_bytes)
    for name in (b"a", b"b", b"c"):
        known.put(name, [1.0], Answer(name * 100, NOW))
    known.nearest(b"a", [1.0], NOW)
    known.put(b"d", [1.0], Answer(b"d" * 100, NOW))
    assert [name for name in (b"a", b"b", b"c", b"d") if known.nearest(name, [1.0], NOW)] == [b"a", b"c", b"d"]


def test_what_is_larger_than_all_the_room_is_not_kept():
    known = index(max_bytes=2000)
    known.put(b"s", [1.0], Answer(b"x" * 3000, NOW))
    assert (len(known), known.held_bytes, known.nearest(b"s", [1.0], NOW)) == (0, 0, None)


def test_a_scope_holds_so_many_questions_as_can_be_compared_at_once():
    known = index(max_bytes=100_000_000)
    for number in range(semantic.ROWS_PER_SCOPE + 3):
        known.put(b"s", [1.0, float(number)], Answer(b"x", NOW + number))
    assert len(known) == semantic.ROWS_PER_SCOPE


STEPS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(0, 300)), max_size=60)


@settings(deadline=None)
@given(STEPS, st.integers(0, 12_000))
def test_it_answers_as_a_plain_list_would_and_keeps_its_bound(steps, max_bytes):
    """Against a model: all questions that are still held, compared one by one."""
    known = index(threshold=0.999, max_bytes=max_bytes)
    put: dict[tuple[int, int], bytes] = {}
    for number, (name, angle, size) in enumerate(steps):
        vector = [math.cos(angle / 20), math.sin(angle / 20)]
        found = known.nearest(b"%d" % name, vector, NOW)
        if found is not None:
            assert found.answer.body == put[name, angle]
        body = b"%d" % number + b"x" * size
        if found is None:
            known.put(b"%d" % name, vector, Answer(body, NOW))
            put[name, angle] = body
        assert 0 <= known.held_bytes <= max_bytes
    for name, angle in put:
        known.nearest(b"%d" % name, [math.cos(angle / 20), math.sin(angle / 20)], NOW + 60)
    assert (len(known), known.held_bytes) == (0, 0)


@pytest.mark.parametrize(("scopes", "dimensions"), [(1, 768), (100, 16), (100_000, 16)])
def test_the_bound_is_of_real_memory(scopes, dimensions):
    known = index(max_bytes=4_000_000)
    vector = [1.0] * dimensions
    known.put(b"first", vector, OSLO)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(4000):
        known.put(b"%032d" % (number % scopes), vector, Answer(b"%d" % number + b"x" * 500, NOW + number))
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 0.5 * 4_000_000 < used <= 1.05 * 4_000_000 or len(known) == 4001


def test_an_embedding_is_asked_for_and_read():
    assert orjson.loads(semantic.embedding_request("Where?", "small-embedding")) == {
        "model": "small-embedding",
        "input": "Where?",
        "encoding_format": "float",
    }
    assert semantic.parse_embedding(b'{"data":[{"embedding":[1,0.5]}]}') == [1.0, 0.5]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"data":[]}',
        b'{"data":[{"embedding":[]}]}',
        b'{"data":[{"embedding":[0,0.0]}]}',
        b'{"data":[{"embedding":[1e308,1e308]}]}',
        b'{"data":[{"embedding":[1e-308]}]}',
        b'{"data":[{"embedding":[null]}]}',
        b'{"data":[{"embedding":"QUJD"}]}',
        b'{"error":{"message":"no"}}',
    ],
)
def test_what_is_no_embedding_is_refused(body):
    with pytest.raises(InvalidEmbedding):
        semantic.parse_embedding(body)


@given(st.floats(0, 1), st.integers(0, 400))
def test_of_all_hits_the_share_is_verified_to_within_one(share, hits):
    counts = Verification(share)
    due = sum(counts.due() for _ in range(hits))
    assert counts.hits == hits
    assert abs(due - hits * share) <= 1


def test_false_hits_are_counted():
    counts = Verification(1.0)
    equal = lambda one, other: float(one == other)  # noqa: E731
    assert [counts.note("a", fresh, equal, 0.5) for fresh in ("a", "b", "a")] == [False, True, False]
    assert (counts.verified, counts.false) == (3, 1)


def test_numpy_is_loaded_only_with_an_index():
    program = (
        "import sys; from heterofleet.router import semantic; print('numpy' in sys.modules);"
        "semantic.SemanticIndex(threshold=1, ttl_seconds=1, max_bytes=1); print('numpy' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "True"]
