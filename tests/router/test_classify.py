"""The class of a request: a hint beats the score, and nothing but the threshold moves the score's verdict."""

import json
import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heterofleet.api.policy import Classification
from heterofleet.api.routing import RequestClass
from heterofleet.router import classify, features, openai
from heterofleet.router.classify import Classifier, Decision, Source
from unit import markdown

PLAN, ACT = RequestClass.PLAN, RequestClass.ACT
ONLY_LENGTH = classify.Weights(0.5, tuple(-1.0 if name == "length" else 0.0 for name in features.NAMES))


def request(text: str = "Hello", **fields: Any) -> openai.Request:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}], **fields}
    return openai.parse(openai.Operation.CHAT, orjson.dumps(body))


def hinted(request_class: str) -> openai.Request:
    return request(metadata={"heterofleet.class": request_class})


def classifier(threshold: float = 0.5, *, heed_hints: bool = True) -> Classifier:
    return Classifier(ONLY_LENGTH, threshold, heed_hints)


@pytest.mark.parametrize(
    ("header", "pinned", "asked", "decision"),
    [
        ("plan", ACT, hinted("act"), Decision(PLAN, None, Source.HEADER, "header x-heterofleet-class")),
        (" Act ", None, request(), Decision(ACT, None, Source.HEADER, "header x-heterofleet-class")),
        (None, PLAN, hinted("act"), Decision(PLAN, None, Source.MODEL, "model auto")),
        (None, None, hinted("plan"), Decision(PLAN, None, Source.METADATA, "metadata heterofleet.class")),
    ],
)
def test_a_hint_beats_the_score_the_header_first_then_the_model_then_the_metadata(
    header: str | None, pinned: RequestClass | None, asked: openai.Request, decision: Decision
) -> None:
    assert classifier().decide(asked, header=header, pinned=pinned) == decision


def test_without_a_hint_the_score_decides_and_says_how() -> None:
    short = classifier().decide(request(), header=None, pinned=None)
    long = classifier().decide(request("x" * 4096), header=None, pinned=None)
    assert (short.request_class, short.source, short.reason) == (ACT, Source.SCORE, "score 0.6179 >= 0.5")
    assert (long.request_class, long.source, long.reason) == (PLAN, Source.SCORE, "score 0.0884 < 0.5")


@given(threshold=st.floats(0, 1), text=st.text(max_size=2000))
def test_the_threshold_moves_the_class_and_never_the_score(threshold: float, text: str) -> None:
    decision = classifier(threshold).decide(request(text), header=None, pinned=None)
    assert decision.score == classifier(0.5).decide(request(text), header=None, pinned=None).score
    assert decision.score is not None
    assert decision.request_class is (PLAN if decision.score < threshold else ACT)


def test_a_header_that_names_no_class_is_refused() -> None:
    with pytest.raises(openai.InvalidRequest) as refused:
        classifier().decide(request(), header="foo", pinned=PLAN)
    assert (refused.value.status, refused.value.code) == (400, "invalid_class")
    assert refused.value.message == "the header x-heterofleet-class must be plan or act, not 'foo'"


@pytest.mark.parametrize(
    ("value", "said"), [("foo", "'foo'"), ("", "''"), (1, "something else"), ("x" * 99, "something else")]
)
def test_metadata_that_names_no_class_is_refused(value: object, said: str) -> None:
    with pytest.raises(openai.InvalidRequest) as refused:
        classifier().decide(request(metadata={"heterofleet.class": value}), header=None, pinned=None)
    assert refused.value.param == "metadata.heterofleet.class"
    assert refused.value.message == f"the metadata heterofleet.class must be plan or act, not {said}"


def test_where_hints_are_not_heeded_only_the_model_pins_a_class() -> None:
    deaf = classifier(heed_hints=False)
    assert deaf.decide(hinted("foo"), header="foo", pinned=None).source is Source.SCORE
    assert deaf.decide(hinted("act"), header="act", pinned=PLAN) == Decision(PLAN, None, Source.MODEL, "model auto")


@given(st.lists(st.floats(-1e6, 1e6), min_size=len(features.NAMES), max_size=len(features.NAMES)))
def test_a_score_is_a_probability_whatever_the_weights(weights: list[float]) -> None:
    score = classify.Weights(0.0, tuple(weights)).score(tuple(10.0 for _ in features.NAMES))
    assert 0.0 <= score <= 1.0


def document(**changes: Any) -> dict[str, Any]:
    return {"version": 1, "bias": 0.25, "weights": dict.fromkeys(features.NAMES, 0.5), **changes}


def test_weights_are_read_in_the_order_of_the_features_whatever_theirs() -> None:
    each = {name: float(number) for number, name in enumerate(features.NAMES)}
    turned = document(weights=dict(reversed(each.items())))
    assert classify.Weights.parse(json.dumps(turned)) == classify.Weights(0.25, tuple(each.values()))


def _without(name: str) -> dict[str, float]:
    return {other: 0.5 for other in features.NAMES if other != name}


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("{", "the weights are not valid JSON: "),
        ("[]", "the weights are not of version 1, the one that is read here"),
        (json.dumps(document(version=2)), "the weights are not of version 1, the one that is read here"),
        (json.dumps(document(weights=[])), "the weights have no mapping `weights` of a number for each feature"),
        (json.dumps(document(weights=_without("lines"))), "the weights are for other features: they lack lines; "),
        (
            json.dumps(document(weights={**_without("lines"), "verbs": 1})),
            "the weights are for other features: they lack lines and have verbs; ",
        ),
        (json.dumps(document(bias=None)), "bias must weigh a number between -1e+06 and 1e+06, not None"),
        (json.dumps(document(bias=float("nan"))), "bias must weigh a number between -1e+06 and 1e+06, not nan"),
        (json.dumps(document(bias=10**400)), "bias must weigh a number between "),
        (json.dumps(document(bias=True)), "bias must weigh a number between "),
    ],
)
def test_weights_that_are_not_for_these_features_are_refused(written: str, sentence: str) -> None:
    with pytest.raises(classify.InvalidWeights) as refused:
        classify.Weights.parse(written)
    assert str(refused.value).startswith(sentence)


def test_the_page_tells_what_the_shipped_score_makes_of_everyday_requests() -> None:
    page = (markdown.ROOT / "docs" / "classification.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+) \| (0\.\d\d) \| (plan|act) \|$", page, re.MULTILINE)
    shipped = Classifier(classify.shipped(), Classification().threshold, heed_hints=True)
    found = [(text, shipped.decide(request(text), header=None, pinned=None)) for text, _, _ in rows]
    assert rows == [(text, f"{decision.score:.2f}", decision.request_class) for text, decision in found] != []


def test_the_shipped_weights_tell_a_hard_request_from_an_easy_one() -> None:
    shipped = Classifier(classify.shipped(), 0.5, heed_hints=True)
    easy = shipped.decide(request("Where would you put a plate after washing it?"), header=None, pinned=None)
    integral = request("Evaluate $\\int_0^1 \\frac{x^4(1-x)^4}{1+x^2}\\,dx$ and the limit of $\\sum_{n=1}^{N} 1/n^2$.")
    hard = shipped.decide(integral, header=None, pinned=None)
    assert easy.score is not None
    assert hard.score is not None
    assert (hard.request_class, hard.score < easy.score) == (PLAN, True)
