"""Which answers are given again, to whom, and how much memory they take."""

import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.api.caching import CacheUse, ExactCache
from heterofleet.api.labels import Tier
from heterofleet.router import cache, question
from heterofleet.router.cache import Answer, EmbeddedCache, Wish
from heterofleet.router.openai import Operation, Request, parse

NOW = 1_764_000_000.0


def chat(**fields: Any) -> Request:
    body = {"model": "auto", "messages": [{"role": "user", "content": "Where is Oslo?"}], **fields}
    return parse(Operation.CHAT, orjson.dumps(body))


def key(request: Request, tenant: str = "blue", tier: Tier = Tier.SMALL, normalised: bool = False) -> bytes:
    found = cache.key(request, tenant=tenant, tier=tier, normalised=normalised)
    assert found is not None
    return found


def test_what_does_not_shape_the_answer_does_not_shape_the_key():
    plain = chat(temperature=0)
    dressed = chat(
        temperature=0, user="u", stream=True, stream_options={"include_usage": True}, metadata={"a": "b"}, model="act"
    )
    assert key(plain) == key(dressed)


def test_the_order_of_keys_does_not_matter():
    one = parse(Operation.CHAT, b'{"model":"m","top_p":1,"messages":[{"role":"user","content":"x"}]}')
    other = parse(Operation.CHAT, b'{"messages":[{"content":"x","role":"user"}],"model":"m","top_p":1}')
    assert key(one) == key(other)


@pytest.mark.parametrize(
    "other",
    [
        {"temperature": 0.5},
        {"max_tokens": 5},
        {"messages": [{"role": "user", "content": "where is oslo?"}]},
        {"messages": [{"role": "system", "content": ""}, {"role": "user", "content": "Where is Oslo?"}]},
        {"response_format": {"type": "json_object"}},
        {"a_field_that_we_do_not_know": 1},
    ],
)
def test_everything_else_does(other):
    assert key(chat(**other)) != key(chat())


def test_tenants_tiers_and_operations_are_told_apart():
    text = parse(Operation.COMPLETIONS, b'{"model":"m","prompt":"x"}')
    spoken = parse(Operation.RESPONSES, b'{"model":"m","prompt":"x","input":"x"}')
    keys = [key(text), key(text, "red"), key(text, tier=Tier.LARGE), key(spoken)]
    assert len(set(keys)) == 4


def test_a_tenant_cannot_pass_for_another_by_its_name():
    """The parts are framed: moving text from one into the next gives another key."""
    assert key(chat(), 'blue","chat') != key(chat(), "blue")


def test_a_body_that_is_nested_too_deep_has_no_key():
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"deep":' + b"[" * 400 + b"]" * 400 + b"}"
    assert cache.key(parse(Operation.CHAT, body), tenant="blue", tier=Tier.SMALL) is None


@pytest.mark.parametrize("shape", [str, lambda text: [{"type": "text", "text": text}]])
def test_the_normalised_key_is_blind_to_white_space_and_case_of_the_last_user_message_alone(shape):
    def asked(first: str, last: str) -> Request:
        return chat(
            messages=[
                {"role": "user", "content": first},
                {"role": "assistant", "content": "Yes"},
                {"role": "user", "content": shape(last)},
                {"role": "assistant", "content": "So"},
            ]
        )

    assert key(asked("Hi", "Where  is\nOSLO? "), normalised=True) == key(asked("Hi", "where is oslo?"), normalised=True)
    assert key(asked("hi", "where is oslo?"), normalised=True) != key(asked("Hi", "where is oslo?"), normalised=True)


@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        (Operation.COMPLETIONS, {"prompt": "Two\nparts"}),
        (Operation.RESPONSES, {"input": "Two\nparts", "instructions": "Be brief"}),
        (Operation.RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_text", "text": "Two\nparts"}]}]}),
        (Operation.CHAT, {"messages": [{"role": "user", "content": [{"text": "Two"}, {"text": "parts"}]}]}),
    ],
)
def test_the_question_is_the_text_of_the_last_user_message(operation, fields):
    assert question.text(parse(operation, orjson.dumps({"model": "m", **fields}))) == "Two\nparts"


def test_a_prompt_of_tokens_has_no_question():
    assert question.text(parse(Operation.COMPLETIONS, b'{"model":"m","prompt":[1,2,3]}')) == ""


@pytest.mark.parametrize(
    ("header", "cache_control", "expected"),
    [
        (None, None, Wish.UNSAID),
        ("allow", None, Wish.ALLOW),
        (" Allow", "max-age=5", Wish.ALLOW),
        ("no", None, Wish.NO),
        ("allow", "private, No-Store", Wish.NO),
        ("allow", "no-cache", Wish.NO),
        ("perhaps", None, Wish.UNSAID),
    ],
)
def test_a_no_in_either_header_is_a_no(header, cache_control, expected):
    assert cache.wish(header, cache_control) is expected


DETERMINISTIC, ALLOWED, OFF = (ExactCache(use=use) for use in (CacheUse.DETERMINISTIC, CacheUse.ALLOWED, CacheUse.OFF))


@pytest.mark.parametrize(
    ("fields", "said", "policy", "expected"),
    [
        ({"temperature": 0}, Wish.UNSAID, DETERMINISTIC, True),
        ({"temperature": 0.0, "n": 1}, Wish.UNSAID, DETERMINISTIC, True),
        ({"temperature": 0, "n": None, "tools": []}, Wish.UNSAID, DETERMINISTIC, True),
        ({"temperature": 0}, Wish.UNSAID, ALLOWED, True),
        ({}, Wish.ALLOW, ALLOWED, True),
        ({"temperature": 0}, Wish.UNSAID, OFF, False),
        ({}, Wish.ALLOW, OFF, False),
        ({"temperature": 0}, Wish.NO, DETERMINISTIC, False),
        ({}, Wish.ALLOW, DETERMINISTIC, False),
        ({}, Wish.UNSAID, ALLOWED, False),
        ({"temperature": None}, Wish.UNSAID, DETERMINISTIC, False),
        ({"temperature": False}, Wish.UNSAID, DETERMINISTIC, False),
        ({"temperature": "0"}, Wish.UNSAID, DETERMINISTIC, False),
        ({"temperature": 0, "n": 2}, Wish.ALLOW, ALLOWED, False),
        ({"temperature": 0, "n": True}, Wish.UNSAID, DETERMINISTIC, False),
        ({"temperature": 0, "tools": [{"type": "function"}]}, Wish.ALLOW, ALLOWED, False),
    ],
)
def test_only_what_is_deterministic_or_allowed_is_cached(fields, said, policy, expected):
    assert cache.may_cache(chat(**fields), said, policy) is expected


def test_embeddings_are_not_cached():
    request = parse(Operation.EMBEDDINGS, b'{"model":"m","input":"x","temperature":0}')
    assert cache.may_cache(request, Wish.ALLOW, ALLOWED) is False


def test_an_old_answer_is_found_only_as_a_stale_one():
    kept = EmbeddedCache(max_bytes=10_000, ttl_seconds=60)
    kept.put(b"k", Answer(b"body", NOW))
    assert kept.get(b"k", NOW + 59) == Answer(b"body", NOW)
    assert kept.get(b"k", NOW + 60) is None
    assert kept.get(b"k", NOW + 6000, stale=True) == Answer(b"body", NOW)
    assert kept.get(b"other", NOW, stale=True) is None


def test_the_least_recently_used_answer_goes_first():
    answer = Answer(b"x" * 1000, NOW)
    kept = EmbeddedCache(max_bytes=5000, ttl_seconds=60)
    for name in (b"a", b"b", b"c"):
        kept.put(name, answer)
    kept.get(b"a", NOW)
    kept.get(b"b", NOW + 61, stale=True)
    kept.put(b"d", answer)
    assert [name for name in (b"a", b"b", b"c", b"d") if kept.get(name, NOW)] == [b"a", b"c", b"d"]


def test_an_answer_that_is_put_again_takes_its_room_once():
    kept = EmbeddedCache(max_bytes=10_000, ttl_seconds=60)
    kept.put(b"k", Answer(b"x", NOW))
    once = kept.held_bytes
    kept.put(b"k", Answer(b"y", NOW))
    assert (len(kept), kept.held_bytes) == (1, once)
    kept.remove(b"k")
    assert (len(kept), kept.held_bytes) == (0, 0)


def test_what_is_larger_than_all_the_room_is_not_kept_and_costs_nobody_a_place():
    kept = EmbeddedCache(max_bytes=2000, ttl_seconds=60)
    kept.put(b"small", Answer(b"x", NOW))
    kept.put(b"large", Answer(b"x" * 3000, NOW))
    assert kept.get(b"small", NOW) is not None
    assert kept.get(b"large", NOW) is None


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2000)), max_size=80), st.integers(0, 8000))
def test_the_bound_always_holds(puts, max_bytes):
    kept = EmbeddedCache(max_bytes=max_bytes, ttl_seconds=60)
    for name, size in puts:
        kept.put(b"%d" % name, Answer(b"x" * size, NOW))
        assert 0 <= kept.held_bytes <= max_bytes
    for name in range(21):
        kept.remove(b"%d" % name)
    assert kept.held_bytes == 0


@pytest.mark.parametrize("size", [1, 300, 20_000])
def test_the_bound_is_of_real_memory(size):
    """What the interpreter allocates for 2,000,000 bytes' worth of answers is no more than that, nor much less."""
    kept = EmbeddedCache(max_bytes=2_000_000, ttl_seconds=60)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(9000):
        kept.put(number.to_bytes(32, "big"), Answer(bytes([number % 250]) * size + b"x", NOW + number))
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 0.6 * 2_000_000 < used <= 1.02 * 2_000_000


@given(st.binary(max_size=40), st.floats(0, 4e9))
def test_a_packed_answer_is_the_same_when_unpacked(body, at):
    unpacked = Answer.unpack(Answer(body, at).pack())
    assert unpacked.body == body
    assert abs(unpacked.at - at) <= 1e-6 * 1.01
