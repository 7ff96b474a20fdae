"""`heterofleet explain-request`: the lines of a router's log as sentences."""

import io
import json
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from heterofleet.cli import main, requestsentences
from heterofleet.router.call import Ending
from heterofleet.router.policy import Outcome, Step
from heterofleet.router.review import State
from heterofleet.router.tiering import Why

GOOD = {
    "at": 1_764_000_000.5,
    "id": "one",
    "operation": "chat",
    "outcome": "ok",
    "status": 200,
    "seconds": 0.25,
    "model": "auto",
    "stream": False,
    "class": "act",
    "score": 0.7312,
    "classReason": "score 0.7312 >= 0.38",
    "tier": "small",
    "tierReason": "Class",
    "endpoint": "10.0.0.1:8000",
    "promptTokens": 12,
    "completionTokens": 40,
}
HEADING = "Request one (chat, model auto) ended at 2025-11-24 16:00:00 UTC: "
CLASS = "It is of class act: score 0.7312 >= 0.38."
OWN_TIER = "It was for the small tier: that is the tier of its class."
TOKENS = "Its attempts took 12 tokens of prompts and 40 of answers."


def explained(*lines: dict[str, Any]) -> list[str]:
    return list(requestsentences.explanation(lines))


def test_a_request_that_went_well_is_told_in_a_few_sentences() -> None:
    assert explained(GOOD) == [
        f"{HEADING}answered (200), 0.250 s.",
        CLASS,
        OWN_TIER,
        "10.0.0.1:8000 answered well at once.",
        TOKENS,
    ]


def test_every_attempt_is_told_with_what_followed() -> None:
    attempts = [
        {"tier": "small", "endpoint": "s:1", "outcome": "connect_failed", "flaw": None, "then": "retry"},
        {"tier": "small", "endpoint": "s:2", "outcome": "bad", "flaw": "refusal", "then": "escalate"},
        {"tier": "large", "endpoint": None, "outcome": "unavailable", "flaw": None, "then": "review"},
    ]
    line = {**GOOD, "outcome": "reviewed", "attempts": attempts, "review": "TimedOut", "tenant": "blue", "stream": True}
    assert explained(line) == [
        "Request one (chat, model auto, streamed) of tenant blue ended at 2025-11-24 16:00:00 UTC:"
        " answered after a person's review (200), 0.250 s.",
        CLASS,
        OWN_TIER,
        "Attempt 1 at s:1 (small): no connection; another engine of the tier was asked.",
        "Attempt 2 at s:2 (small): a bad answer (refusal); the large tier was asked.",
        "Attempt 3 at the large tier: no engine of the tier could be asked; it was held for a person.",
        "Nobody settled it in time, and the best answer was given.",
        TOKENS,
    ]


def test_waiting_money_and_quality_are_told_where_there_is_something_to_tell() -> None:
    line = {**GOOD, "waitedSeconds": 12.25, "firstTokenSeconds": 12.5, "usd": 0.00125, "degraded": True, "seconds": 13}
    assert explained(line)[4:] == [
        "The response said that it was of less quality than asked for (x-heterofleet-degraded).",
        "It waited 12.2 s for a place, and the first token came after 12.5 s.",
        "Its attempts took 12 tokens of prompts and 40 of answers, 0.001250 USD at posted prices.",
    ]


def test_a_request_that_spilled_over_is_told_of_both_tiers() -> None:
    assert explained({**GOOD, "tier": "large", "chosenTier": "small"})[2:4] == [
        OWN_TIER,
        "10.0.0.1:8000, of the large tier, which had room to spare, answered well at once.",
    ]


def test_embeddings_are_told_without_a_class_or_what_chose_a_tier() -> None:
    of_classes = ("class", "score", "classReason", "tierReason")
    line = {name: value for name, value in GOOD.items() if name not in of_classes}
    told = {**line, "operation": "embeddings", "tier": "embed", "completionTokens": 0}
    assert explained(told)[1:] == [
        "10.0.0.1:8000 answered well at once.",
        "Its attempts took 12 tokens of prompts and 0 of answers.",
    ]


def test_a_refusal_says_what_the_client_was_told() -> None:
    refused = {**GOOD, "outcome": "budget", "status": 429, "sentence": "the budget of 24 hours is used up"}
    for name in ("tier", "tierReason", "endpoint", "promptTokens", "completionTokens"):
        del refused[name]
    assert explained(refused) == [
        f"{HEADING}refused: the budget was used up (429), 0.250 s.",
        CLASS,
        'The client was told: "the budget of 24 hours is used up".',
    ]


@pytest.mark.parametrize(
    ("cache", "sentence"),
    [
        ("exact", "The answer came from the exact cache."),
        ("stale", "The answer came from the stale cache, however old, since no engine worked."),
    ],
)
def test_a_cached_answer_is_told(cache: str, sentence: str) -> None:
    assert sentence in explained({**GOOD, "outcome": "cached", "cache": cache})


def test_rulings_stand_with_their_request() -> None:
    ruling = {"at": 1.0, "audit": "compliance", "id": "one", "rule": "cards", "action": "prompt_redacted", "count": 2}
    once = {**ruling, "rule": "bombs", "action": "answer_denied", "count": 1}
    assert explained(ruling, GOOD, once)[-2:] == [
        "The compliance rule cards redacted the prompt in 2 places.",
        "The compliance rule bombs denied the answer.",
    ]


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (Ending, requestsentences._ENDINGS),
        (Outcome, requestsentences._OUTCOMES),
        (Why, requestsentences._TIER_REASONS),
        ({*Step} - {Step.DONE}, requestsentences._STEPS),
        ({*State} - {State.WAITING}, requestsentences._REVIEWS),
    ],
)
def test_every_word_of_the_log_has_its_sentence(words: Any, known: dict[str, str]) -> None:
    assert set(known) == {str(word) for word in words}
    assert all(isinstance(word, StrEnum) for word in words)


def test_words_of_a_newer_router_are_shown_as_they_are() -> None:
    line = {**GOOD, "outcome": "dreamt", "tierReason": "Moon"}
    assert explained(line)[0] == f"{HEADING}dreamt (200), 0.250 s."
    assert explained(line)[2] == "It was for the small tier: Moon."


def log(folder: Path, *lines: str) -> str:
    (folder / "log").write_text("\n".join(lines) + "\n")
    return str(folder / "log")


def test_only_lines_of_the_request_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = json.dumps({**GOOD, "id": "another-one", "sentence": "one"})
    path = log(tmp_path, "starting: one", "{broken one", other, f"[pod/chat-router-1/router] {json.dumps(GOOD)}")
    assert main.main(["explain-request", "one", "--log", path, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [GOOD]


def test_a_log_is_read_from_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(GOOD) + "\n"))
    assert main.main(["explain-request", "one"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == CLASS


def test_a_request_that_is_not_in_the_log_fails_with_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["explain-request", "two", "--log", log(tmp_path, json.dumps(GOOD))]) == 1
    assert capsys.readouterr().err == (
        "heterofleet: the log has no line of request two: its id is in the response, as x-request-id\n"
    )


def test_a_log_that_is_not_there_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["explain-request", "one", "--log", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"heterofleet: {tmp_path}/none: No such file or directory\n"
