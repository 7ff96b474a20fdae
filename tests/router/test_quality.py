"""Good or bad: what is wrong with an answer, in the order in which it is looked for."""

from typing import Any

import orjson
import pytest

from heterofleet.api.ladder import Quality
from heterofleet.router import openai, quality, refusals, splice
from heterofleet.router.answer import Answer, Flaw, MalformedAnswer
from heterofleet.router.openai import Operation, Request
from heterofleet.router.quality import Verdict

GOOD = Verdict(True)
STRICT = Quality(truncated=True, min_mean_logprob=-1.0)
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
WANTS_SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
EMPTY = Verdict(False, Flaw.EMPTY, "the answer is empty")
REFUSAL = Verdict(False, Flaw.REFUSAL, "the answer is a refusal")
NO_JSON = Verdict(False, Flaw.NOT_JSON, "the answer is not valid JSON, which was asked for")


def chat(**fields: object) -> Request:
    return openai.parse(
        Operation.CHAT, orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "?"}], **fields})
    )


def response(**fields: object) -> Request:
    return openai.parse(Operation.RESPONSES, orjson.dumps({"model": "m", "input": "?", **fields}))


def judged(text: str, config: Quality = Quality(), /, *, of: Request | None = None, **facts: Any) -> Verdict:  # noqa: B008
    request = of or chat()
    return quality.judge(Answer(request.operation, text, **{"finish_reason": "stop", **facts}), request, config)


@pytest.mark.parametrize(
    ("text", "facts", "verdict"),
    [
        ("Paris.", {}, GOOD),
        ("", {}, EMPTY),
        (" \n\t", {}, EMPTY),
        ("", {"finish_reason": "length"}, EMPTY._replace(truncated=True)),
        ("", {"tool_calls": True, "finish_reason": "tool_calls"}, GOOD),
        ("", {"refusal": "No."}, REFUSAL),
        ("I’m sorry, but I can't help with that.", {}, REFUSAL),
        ("I'm sorry, but I can't help with that.", {"tool_calls": True}, GOOD),
        ("Par", {"finish_reason": "length"}, Verdict(True, truncated=True)),
        ("Paris.", {"mean_logprob": -50.0}, GOOD),
    ],
)
def test_an_answer_is_judged_by_default(text: str, facts: dict[str, Any], verdict: Verdict):
    assert judged(text, **facts) == verdict


@pytest.mark.parametrize(
    ("text", "facts", "verdict"),
    [
        ("Paris.", {"mean_logprob": -1.0}, GOOD),
        ("Paris.", {"mean_logprob": None}, GOOD),
        (
            "Paris.",
            {"mean_logprob": -1.25},
            Verdict(False, Flaw.IMPROBABLE, "the mean log-probability of its tokens is -1.25, below -1"),
        ),
        (
            "Par",
            {"finish_reason": "length", "mean_logprob": -9.0},
            Verdict(False, Flaw.TRUNCATED, "the answer was cut off at its greatest length", truncated=True),
        ),
        (
            "",
            {"finish_reason": "length", "tool_calls": True},
            Verdict(False, Flaw.TRUNCATED, "the answer was cut off at its greatest length", truncated=True),
        ),
    ],
)
def test_an_answer_may_be_held_to_more(text: str, facts: dict[str, Any], verdict: Verdict):
    assert judged(text, STRICT, **facts) == verdict


def test_refusals_and_form_may_be_let_pass():
    lax = Quality(refusals=False, json_schema=False)
    wants = chat(response_format={"type": "json_object"})
    assert [judged("Sorry, I cannot do that.", lax), judged("", lax, refusal="No."), judged("x", lax, of=wants)] == [
        GOOD,
        GOOD,
        GOOD,
    ]


def test_who_asks_for_no_token_gets_none():
    assert judged("", of=chat(max_tokens=0)) == GOOD


def test_embeddings_are_always_good():
    request = openai.parse(Operation.EMBEDDINGS, b'{"model":"m","input":"a"}')
    assert quality.judge(Answer(Operation.EMBEDDINGS), request, STRICT) == GOOD


@pytest.mark.parametrize(
    "request_",
    [
        chat(response_format={"type": "json_object"}),
        response(text={"format": {"type": "json_object"}}),
        chat(response_format=WANTS_SCHEMA),
        response(text={"format": {"type": "json_schema", "schema": SCHEMA}}),
    ],
)
@pytest.mark.parametrize(
    ("text", "good"), [('{"n": 1}', True), ("```json\n{}\n```", False), ('{"n": 1', False), ("[1]", False)]
)
def test_an_answer_is_the_json_that_was_asked_for(request_: Request, text: str, good: bool):
    verdict = judged(text, of=request_)
    assert (verdict.good, verdict.reason) == (good, None if good else Flaw.NOT_JSON)


def test_an_answer_obeys_the_schema_that_was_asked_for():
    assert judged('{"n": "one"}', of=chat(response_format=WANTS_SCHEMA)) == Verdict(
        False, Flaw.NOT_JSON, "the answer is JSON, but it breaks the asked schema's rule 'type' at '/n'"
    )


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        "json",
        {"type": "text"},
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": None},
        {"type": "json_schema", "json_schema": {"schema": {"type": "no such type"}}},
    ],
)
def test_a_form_that_cannot_be_held_to_gives_no_verdict(wanted: object):
    assert judged("{}", of=chat(response_format=wanted)) == GOOD


def test_the_form_of_a_beginning_is_not_judged():
    wants = chat(response_format={"type": "json_object"})
    assert [judged('{"n":', of=wants, **facts) for facts in ({"finish_reason": None}, {"whole": False}, {})] == [
        GOOD,
        GOOD,
        NO_JSON,
    ]


def test_what_is_no_answer_is_malformed():
    assert quality.malformed(MalformedAnswer("no JSON")) == Verdict(False, Flaw.MALFORMED, "no JSON")


@pytest.mark.parametrize(
    "text",
    [
        "I cannot assist with that request.",
        "  **Sorry, I can't** do that.",
        "I apologize, but I’m unable to provide this.",
        "As an AI language model, I have no opinion.",
        "抱歉，我无法回答这个问题。",
        "对不起,我不能提供该信息。",
        "作为一个AI语言模型，我没有个人观点。",
        "很抱歉，我無法協助您。",
        "申し訳ありませんが、その質問にはお答えできません。",
        "죄송하지만 그 요청은 도와드릴 수 없습니다.",
        "Es tut mir leid, aber ich kann dabei nicht helfen.",
        "Je suis désolé, mais je ne peux pas vous aider.",
        "Lo siento, pero no puedo ayudarte.",
        "Desculpe, mas não posso ajudar com isso.",
        "Mi dispiace, ma non posso aiutarti.",
        "Извините, но я не могу помочь.",
    ],
)
def test_a_refusal_is_known_in_many_languages(text: str):
    assert refusals.refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Paris.",
        "I'm sorry to hear that. Here is what you can do.",
        "The usual refusal is: I'm sorry, but I can't help with that.",
        "I can help with that.",
        "As an AI engineer you will train models.",
        "抱歉让您久等了，答案是四十二。",
        "죄송합니다. 오늘은 품절입니다.",
        "I cannot help but admire the view. " + "It is beautiful. " * 40,
    ],
)
def test_what_only_sounds_like_a_refusal_is_none(text: str):
    assert not refusals.refuses(text)


@pytest.mark.parametrize(
    ("request_", "keys"),
    [
        (chat(), {"logprobs": True}),
        (chat(logprobs=False), {"logprobs": True}),
        (chat(logprobs=True), {}),
        (chat(stream=True), {}),
        (openai.parse(Operation.COMPLETIONS, b'{"model":"m","prompt":"a"}'), {"logprobs": 0}),
        (openai.parse(Operation.COMPLETIONS, b'{"model":"m","prompt":"a","logprobs":1}'), {}),
        (response(), {"include": ["message.output_text.logprobs"]}),
        (response(include=["a"]), {"include": ["a", "message.output_text.logprobs"]}),
        (response(include=["message.output_text.logprobs"]), {}),
        (openai.parse(Operation.EMBEDDINGS, b'{"model":"m","input":"a"}'), {}),
    ],
)
def test_log_probabilities_are_asked_for_where_they_are_judged_and_the_client_did_not(
    request_: Request, keys: dict[str, object]
):
    assert quality.needed(request_, STRICT) == keys
    assert quality.needed(request_, Quality()) == {}


def test_a_held_stream_is_asked_for_log_probabilities():
    request = chat(stream=True)
    keys = quality.needed(request, Quality(min_mean_logprob=-1, hold_stream_characters=100))
    assert orjson.loads(splice.put(request.body, request.fields, keys))["logprobs"] is True
