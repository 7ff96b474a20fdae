"""What clients ask in a soak."""

import itertools
from collections import Counter

from heterofleet.router import openai
from heterofleet.router.openai import Operation
from soak import asks
from soak.asks import Ask

PATHS = {path: Operation(operation) for path, operation in openai.PATHS.items()}


def some(seed: int, count: int = 3000) -> list[Ask]:
    return list(itertools.islice(asks.endless(seed), count))


def test_a_seed_always_asks_the_same() -> None:
    assert some(5) == some(5)
    assert some(5) != some(6)


def test_every_path_model_and_manner_is_asked_for() -> None:
    asked = some(1)
    assert {ask.path for ask in asked} == {asks.CHAT, asks.COMPLETIONS, asks.RESPONSES}
    assert {ask.fields["model"] for ask in asked} == {
        "plan", "act", "auto", "soak", "soak-large", "soak-small", "nobody",
    }  # fmt: skip
    assert {(ask.stream, ask.wants_usage) for ask in asked} == {(False, True), (True, False), (True, True)}
    assert set(Counter(ask.refused for ask in asked)) == {None, 400, 401, 404}
    assert any(ask.leaving and ask.leaving.pieces for ask in asked)
    assert any(ask.leaving and ask.leaving.seconds is not None for ask in asked)
    assert len({ask.key for ask in asked}) == 3


def test_what_is_sound_can_be_read_by_a_router_and_what_is_malformed_cannot() -> None:
    for ask in some(2, 500):
        if ask.refused != 400:
            assert openai.parse(PATHS[ask.path], ask.body).model == ask.fields["model"]
        else:
            with_error = False
            try:
                openai.parse(PATHS[ask.path], ask.body)
            except openai.InvalidRequest:
                with_error = True
            assert with_error


def test_some_questions_are_asked_again_so_that_a_cache_may_answer() -> None:
    bodies = Counter(ask.body for ask in some(3) if ask.fields.get("temperature") == 0)
    assert max(bodies.values()) > 1
