"""Which requests count as one conversation."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.router import prefix
from heterofleet.router.openai import Operation, Request, parse

BLOCK = 64
SYSTEM = {"role": "system", "content": "You plan the work of a warehouse. " * 60}
TOOL = {"type": "function", "function": {"name": "move", "parameters": {}}}

roles = st.sampled_from(["system", "user", "assistant", "tool"])
texts = st.text(st.characters(codec="utf-8"), max_size=400)
conversations = st.lists(st.tuples(roles, texts), min_size=1, max_size=8)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def chat(*messages: dict[str, str], **fields: Any) -> Request:
    return parse(Operation.CHAT, orjson.dumps({"model": "plan", "messages": messages, **fields}))


def spoken(conversation: list[tuple[str, str]]) -> Request:
    return chat(*({"role": role, "content": text} for role, text in conversation))


def completion(prompt: str) -> Request:
    return parse(Operation.COMPLETIONS, orjson.dumps({"model": "plan", "prompt": prompt}))


def key(request: Request) -> int:
    return prefix.affinity_key(request, BLOCK)


@given(conversations, conversations, st.none() | st.text(max_size=9))
def test_all_turns_of_a_conversation_have_one_key(beginning, rest, name):
    first = [*beginning, ("user", "How long does it take?")]
    fields = {} if name is None else {"prompt_cache_key": name}
    turns = [
        chat(*({"role": role, "content": text} for role, text in turn), **fields) for turn in (first, first + rest)
    ]
    assert key(turns[0]) == key(turns[1])


def test_a_prompt_of_completions_that_grows_keeps_its_key():
    begun = "Once upon a time there was an operator who looked after large and small models. "
    assert key(completion(begun)) == key(completion(begun + "And then it")) != key(completion("Today " + begun))


def test_conversations_with_the_same_system_prompt_have_many_keys():
    keys = {key(chat(SYSTEM, user(f"Where is pallet {number}?"))) for number in range(1000)}
    assert len(keys) == 1000


def test_the_whole_system_prompt_counts():
    longer = {"role": "system", "content": SYSTEM["content"] + "Answer in French."}
    assert key(chat(SYSTEM, user("Plan."))) != key(chat(longer, user("Plan.")))


def test_questions_about_one_document_in_the_same_message_have_one_key():
    document = "The lease begins on the first of May and ends after three years. " * 100
    asked = {key(chat(SYSTEM, user(f"{document}\n{question}"))) for question in ("Who pays?", "When does it end?")}
    assert len(asked) == 1


def test_a_greeting_before_the_user_speaks_counts_with_its_role():
    greeted = chat(SYSTEM, assistant("Hello."), user("Plan."))
    assert len({key(greeted), key(chat(SYSTEM, user("Hello."), user("Plan."))), key(chat(SYSTEM, user("Plan.")))}) == 3


def test_a_conversation_without_a_user_is_known_by_all_of_it():
    assert key(chat(SYSTEM)) != key(chat(SYSTEM, assistant("Hello.")))


def test_a_cache_key_of_the_client_stands_for_how_the_user_began():
    named = {"prompt_cache_key": "lease-7"}
    other_system = {"role": "system", "content": "You summarise."}
    one = key(chat(SYSTEM, user("Who pays?"), **named))
    assert one == key(chat(SYSTEM, user("When does it end?"), **named))
    assert one != key(chat(SYSTEM, user("Who pays?"), prompt_cache_key="lease-8"))
    assert one != key(chat(other_system, user("Who pays?"), **named))


def test_salted_otherwise_nothing_is_shared():
    salts: list[dict[str, Any]] = [{}, {"cache_salt": "a"}, {"cache_salt": "b"}]
    assert len({key(chat(SYSTEM, user("Plan."), **salt)) for salt in salts}) == 3


@pytest.mark.parametrize(
    "fields",
    [{"tools": [TOOL]}, {"user": "u1"}, {"temperature": 0}, {"prompt_cache_key": 7}, {"cache_salt": ["a"]}],
    ids=["tools", "user", "temperature", "a key that is no text", "a salt that is no text"],
)
def test_what_the_cache_does_not_depend_on_or_is_no_text_leaves_the_key_alone(fields):
    assert key(chat(SYSTEM, user("Plan."), **fields)) == key(chat(SYSTEM, user("Plan.")))


def test_keys_are_the_same_in_every_process():
    # Routers agree without talking, and one that restarts finds its conversations again: the values are a contract.
    assert key(chat(user("Where is Oslo?"))) == 13610785804620585096
