"""How alike answers are: the scale, its two ends, and what it is blind to."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.router import consistency


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("Paris is the capital.", "paris IS the   capital", 1.0),
        ("Paris", "London", 0.0),
        ("", "", 1.0),
        ("", "Paris", 0.0),
        ("?!", "?!", 1.0),
        ("?!", "...", 0.0),
        ("a b c d", "a b", 2 * 2 / 6),
        ("a a a", "a", 2 * 1 / 4),
        ("答案是四十二", "答案是四十三", 2 * 5 / 12),
        ("東京タワー", "東京", 2 * 2 / 7),
        ("ｆｉｎｅ ①", "fine 1", 1.0),
        ("Straße", "STRASSE", 1.0),
        ("हिन्दी में", "हिन्दी", 2 * 1 / 3),
        ("It is safe.", "It is not safe.", 2 * 3 / 7),
    ],
)
def test_texts_are_alike_by_the_words_in_common(one: str, other: str, expected: float):
    assert consistency.similarity(one, other) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"a": 1, "b": "x"}, {"b": "x", "a": 1.0000001}, 1.0),
        ({"a": 1, "b": 2}, {"a": 1}, 0.5),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, 0.5),
        ({"a": {"b": [1, 2, 3]}}, {"a": {"b": [1, 2]}}, 2 / 3),
        ({"a": True}, {"a": 1}, 0.0),
        ({"a": None}, {}, 0.0),
        ({"a": None}, {"a": 0}, 0.0),
        ({}, {}, 1.0),
        ([], {}, 0.0),
        ([], [1], 0.0),
        ({"t": "red and blue"}, {"t": "blue and red"}, 1.0),
    ],
)
def test_json_is_alike_by_what_stands_at_the_same_place(one: object, other: object, expected: float):
    assert consistency.similarity(json.dumps(one), json.dumps(other, indent=1)) == pytest.approx(expected)


def test_json_beside_text_is_compared_as_text():
    assert consistency.similarity('{"city": "Paris"}', "City: Paris") == 1.0


def test_json_as_deep_as_can_be_is_compared():
    deep = "[" * 900 + "1" + "]" * 900
    assert [consistency.similarity(deep, deep.replace("1", "2")), consistency.similarity(deep, deep + " ")] == [
        0.0,
        1.0,
    ]


TEXTS = st.text(max_size=40) | st.lists(st.sampled_from(["a", "b", "是", "1", "?"])).map(" ".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)


@given(TEXTS | JSON.map(json.dumps), TEXTS | JSON.map(json.dumps))
def test_likeness_is_a_share_the_same_both_ways_and_full_with_oneself(one: str, other: str):
    there, back = consistency.similarity(one, other), consistency.similarity(other, one)
    assert there == pytest.approx(back)
    assert 0.0 <= there <= 1.0
    assert consistency.similarity(one, one) == 1.0
