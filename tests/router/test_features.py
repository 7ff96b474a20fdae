"""Features: what they are of a request, and what they never depend on."""

from math import log
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.router import features, openai


def chat(*messages: tuple[str, str], **fields: Any) -> openai.Request:
    body = {"model": "auto", "messages": [{"role": role, "content": text} for role, text in messages], **fields}
    return openai.parse(openai.Operation.CHAT, orjson.dumps(body))


def named(request: openai.Request) -> dict[str, float]:
    return dict(zip(features.NAMES, features.extract(request), strict=True))


def shown(request: openai.Request) -> dict[str, float]:
    return {name: round(value, 4) for name, value in named(request).items() if value}


def test_a_short_question_has_these_features() -> None:
    assert shown(chat(("user", "When was the bridge of Avignon built, and how many arches did it have?"))) == {
        "length": round(log(1 + 70 / 256), 4),
        "word_length": 0.5,
        "articles": round(1 / 14, 4),
        "names": round(1 / 14, 4),
        "asks_fact": 1.0,
        "asks_quantity": 1.0,
    }


def test_a_conversation_with_tools_has_these_features() -> None:
    request = chat(
        ("system", "s" * 156),
        ("user", "u" * 100),
        ("user", "Explain:\n```\nx = 10\n```"),
        tools=[{"type": "function"}],
        response_format={"type": "json_object"},
        max_tokens=99,
    )
    assert shown(request) == {
        "length": round(log(1 + 23 / 256), 4),
        "history": round(log(2), 4),
        "messages": round(log(3), 4),
        "system": 1.0,
        "tools": 1.0,
        "format": 1.0,
        "answer": round(log(100), 4),
        "lines": round(log(4), 4),
        "word_length": round(23 / 6 / 10, 4),
        "digits": round(2 / 23, 4),
        "mathematics": round(1 / 23, 4),
        "code": 1.0,
        "asks_reason": 1.0,
    }


@pytest.mark.parametrize(
    ("text", "feature"),
    [
        ("import x\ndef f(): ...", "code"),
        ("WHO wrote it", "asks_fact"),
        ("Tell me HOW MUCH it is", "asks_quantity"),
        ("Think Step by Step", "asks_reason"),
        ("Pick:\nA) one\nB) two", "choices"),
        ("Do:\n- this\n- that", "items"),
    ],
)
def test_marks_are_found_in_any_case(text: str, feature: str) -> None:
    assert [named(chat(("user", changed)))[feature] for changed in (text, text.upper(), text.lower())] == [1.0] * 3


def test_what_a_user_asked_last_counts_and_not_the_answers_of_tools() -> None:
    asked = chat(("user", "How many?"), ("assistant", "def f():\n  return 1"), ("tool", "def g():\n  return 2"))
    assert (named(asked)["asks_quantity"], named(asked)["code"]) == (1.0, 0.0)


def test_without_a_user_the_last_message_is_what_is_asked() -> None:
    assert named(chat(("system", "Be brief."), ("tool", "how many")))["asks_quantity"] == 1.0


def test_the_middle_of_a_long_prompt_is_not_looked_at() -> None:
    ends = ("Why is " + "a " * 200, " b" * 200)
    plain, coded = ("x" * 60_000).join(ends), ("\n```1+" * 10_000).join(ends)
    assert features.extract(chat(("user", plain))) == features.extract(chat(("user", coded)))


def test_an_empty_prompt_and_one_of_tokens_have_features() -> None:
    tokens = openai.parse(openai.Operation.COMPLETIONS, b'{"model": "auto", "prompt": [1, 2, 3]}')
    assert shown(chat(("user", ""))) == {}
    assert shown(tokens) == {}


@given(
    texts=st.lists(st.text(), min_size=1, max_size=40),
    long=st.integers(0, 10_000),
    limit=st.none() | st.integers(0, 10**12),
)
def test_every_feature_of_any_request_is_between_0_and_10(texts: list[str], long: int, limit: int | None) -> None:
    messages = [("user", text) for text in (*texts, texts[0] * long)]
    values = features.extract(chat(*messages, max_tokens=limit))
    assert len(values) == len(features.NAMES)
    assert all(0.0 <= value <= 10.0 for value in values)
