"""What the soak's judge lets pass, names, and calls wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from heterofleet.api.labels import Tier
from soak import asks, expected
from soak.asks import Ask
from soak.heard import Heard, How
from soak.history import Trouble
from soak.judging import Kind, judge

LARGE, SMALL = "127.0.0.10:8000", "127.0.0.13:8000"


@dataclass
class Played:
    """A soak in which these engines were in trouble and these routers killed."""

    troubled: Mapping[str, set[Trouble]] = field(default_factory=dict)
    dead: frozenset[str] = frozenset()
    tiers: Mapping[str, Tier] = field(default_factory=lambda: {LARGE: Tier.LARGE, SMALL: Tier.SMALL})

    def troubles(self, engine: str | None, since: float, until: float) -> set[Trouble]:
        engines = self.troubled if engine is None else [engine]
        return {trouble for key in engines for trouble in self.troubled.get(key, set())}

    def killed(self, life: str, before: float) -> bool:
        return life in self.dead


def ask(**changes: Any) -> Ask:
    fields: dict[str, Any] = {"model": "act", "messages": [{"role": "user", "content": "Where is Oslo?"}], **changes}
    return Ask(1, asks.CHAT, "key", fields, orjson.dumps(fields))


def whole(asked: Ask, **changes: Any) -> Heard:
    """The right answer of the small tier, unless `changes` say otherwise."""
    right = expected.answer(asked, Tier.SMALL)
    body = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": right.text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": right.prompt_tokens, "completion_tokens": right.completion_tokens},
    }
    return heard(asked, **{"body": orjson.dumps(body), **changes})


def streamed(asked: Ask, text: str, *after: bytes, **changes: Any) -> Heard:
    chunk = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]}
    return heard(asked, body=b"".join(b"data: %b\n\n" % data for data in (orjson.dumps(chunk), *after)), **changes)


def heard(asked: Ask, **changes: Any) -> Heard:
    headers = {
        "x-request-id": asked.id,
        "x-heterofleet-class": "act",
        "x-heterofleet-tier": "small",
        "x-heterofleet-endpoint": SMALL,
        "x-heterofleet-attempts": "1",
        **changes.pop("headers", {}),
    }
    return Heard(asked, "a-1", 1.0, **{"ended": 2.0, "status": 200, "headers": headers, **changes})


def error(sentence: str) -> bytes:
    return orjson.dumps({"error": {"message": sentence, "type": "server_error", "param": None, "code": None}})


CUT = error("the engines gave no answer that can be passed on, at the only attempt (x)")
TIRED = "no engine answered in time, after 4 attempts: send it again, with a shorter prompt or max_tokens"


def test_the_tiers_own_answer_is_right_whole_and_streamed() -> None:
    asked = ask(stream=True)
    right = expected.answer(asked, Tier.SMALL).text
    assert judge(whole(ask()), Played()).kind is Kind.RIGHT
    assert judge(streamed(asked, right, b"[DONE]"), Played()).kind is Kind.RIGHT


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {"x-heterofleet-tier": "large", "x-heterofleet-endpoint": LARGE}},
        {"headers": {"x-heterofleet-endpoint": LARGE}},
        {"headers": {"x-heterofleet-class": "plan"}},
        {"headers": {"x-heterofleet-attempts": "0"}},
        {"headers": {"x-request-id": "another"}},
        {"body": b'{"choices": []}'},
        {"body": b"not JSON"},
        {"status": 500, "body": error("oh")},
        {"status": 503, "body": error("the router has no configuration yet: try again in a moment")},
        {"status": 504, "body": error(TIRED)},
        {"how": How.BROKEN},
        {"how": How.SILENT},
        {"how": How.NO_ROUTER},
    ],
)
def test_anything_else_is_wrong(changes: dict[str, Any]) -> None:
    assert judge(whole(ask(), **changes), Played()).kind is Kind.WRONG


def test_a_stream_is_wrong_that_is_not_whole_or_ends_without_its_usage() -> None:
    asked = ask(stream=True)
    with_usage = ask(stream=True, stream_options={"include_usage": True})
    right = expected.answer(asked, Tier.SMALL).text
    verdicts = [
        judge(streamed(asked, right), Played()),
        judge(streamed(asked, right[:-4], b"[DONE]"), Played()),
        judge(streamed(with_usage, right, b"[DONE]"), Played()),
        judge(streamed(asked, right, b"{", b"[DONE]"), Played()),
    ]
    assert [verdict.kind for verdict in verdicts] == [Kind.WRONG] * 4


def test_a_stream_may_be_cut_off_only_by_an_engine_in_trouble_and_only_after_what_is_right() -> None:
    asked = ask(stream=True)
    right = expected.answer(asked, Tier.SMALL).text
    killed, busy = Played({SMALL: {Trouble.KILLED}}), Played({SMALL: {Trouble.BUSY}})
    garbage = Played({SMALL: {Trouble.GARBAGE}})
    assert judge(streamed(asked, right[:8], CUT), killed).kind is Kind.CUT_OFF
    assert judge(streamed(asked, right[:8], CUT), busy).kind is Kind.WRONG
    assert judge(streamed(asked, right[:8], CUT), Played({LARGE: {Trouble.KILLED}})).kind is Kind.WRONG
    assert judge(streamed(asked, "something else", CUT), killed).kind is Kind.WRONG
    assert judge(streamed(asked, "", b"{", CUT), killed).kind is Kind.WRONG
    assert judge(streamed(asked, "", b"{", CUT), garbage).kind is Kind.CUT_OFF


def test_no_answer_is_named_only_with_the_sentence_and_while_engines_are_in_trouble() -> None:
    troubled = Played({LARGE: {Trouble.MUTE}})
    assert judge(whole(ask(), status=504, body=error(TIRED)), troubled).kind is Kind.NO_ANSWER
    assert judge(whole(ask(), status=502, body=error(TIRED)), troubled).kind is Kind.WRONG
    assert judge(whole(ask(), status=504, body=b"gateway timeout"), troubled).kind is Kind.WRONG


def test_no_place_is_named_only_with_the_time_to_come_again() -> None:
    full = error("40 requests wait for the small tier")
    assert judge(whole(ask(), status=429, body=full, headers={"retry-after": "1"}), Played()).kind is Kind.NO_PLACE
    assert judge(whole(ask(), status=429, body=full), Played()).kind is Kind.WRONG


def test_a_lost_connection_is_named_only_where_the_router_was_killed() -> None:
    lost = whole(ask(), how=How.BROKEN)
    assert judge(lost, Played(dead=frozenset({"a-1"}))).kind is Kind.ROUTER_KILLED
    assert judge(lost, Played(dead=frozenset({"b-1"}))).kind is Kind.WRONG


def test_a_pinned_tier_alone_may_answer() -> None:
    assert judge(whole(ask(model="soak-small")), Played()).kind is Kind.RIGHT
    assert judge(whole(ask(model="soak-large")), Played()).kind is Kind.WRONG


def test_a_bad_answer_is_flawed_where_a_better_one_was_asked_for_and_wrong_where_none_was() -> None:
    asked = next(one for n in range(1000) if not expected.answer(one := ask(user=f"{n}", messages=[
        {"role": "user", "content": f"Question {n}"}]), Tier.SMALL).good)  # fmt: skip
    assert judge(whole(asked), Played()).kind is Kind.WRONG
    assert judge(whole(asked, headers={"x-heterofleet-attempts": "2"}), Played()).kind is Kind.FLAWED


def test_an_unsound_request_must_get_its_own_refusal() -> None:
    asked = Ask(1, asks.CHAT, "key", {"model": "nobody"}, b"{}", refused=404)
    assert judge(heard(asked, status=404, body=error("no such model")), Played()).kind is Kind.REFUSED
    assert judge(heard(asked, status=401, body=error("no key")), Played()).kind is Kind.WRONG
    assert judge(whole(ask(), status=404, body=error("no such model")), Played()).kind is Kind.WRONG
