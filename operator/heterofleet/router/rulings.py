"""What the compliance rules decide of one call: its prompt, and whatever answer is about to leave.

Stands at two gates, so that nothing goes past it: `prompt` before class, cache and engines, `answer` and `Stream` where
bytes leave, whichever tier, cache or person they are from. Every decision is noted on the call as a Ruling, and told at
the call's end to the audit log and the metrics: the rule, never what matched it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from heterofleet.router import openai, screening
from heterofleet.router.answer import MalformedAnswer
from heterofleet.router.call import Call, Ending, Given
from heterofleet.router.compliance import Filter, Redaction
from heterofleet.router.relay import Withheld
from heterofleet.router.screenedstream import StreamScreen
from heterofleet.router.upstream import Garbage

DENIED_STATUS: Final = 403
DENIED_CODE: Final = "denied_by_rule"
_JSON: Final = b"application/json"
_EVENTS: Final = b"text/event-stream"
_UNREADABLE: Final = "an engine's answer could not be read, and so not be held to the compliance rules"


class Verdict(StrEnum):
    """What a rule did to what; the value is the label of metrics and of the audit log."""

    PROMPT_DENIED = "prompt_denied"
    PROMPT_REDACTED = "prompt_redacted"
    ANSWER_DENIED = "answer_denied"
    ANSWER_REDACTED = "answer_redacted"


class Ruling(NamedTuple):
    """One decision of one rule, and how many matches it was about."""

    rule: str
    verdict: Verdict
    times: int = 1


class Denied(Exception):
    """A prompt that may not pass; the sentence names the rule."""


def prompt(call: Call) -> None:
    """Holds the call's prompt to the rules, and puts what may pass of it in its place. Raises Denied."""
    rules = call.snapshot.rules
    if rules is None or not rules.prompt:
        return
    screened = screening.request(rules.prompt, call.asked)
    if screened.denied is not None:
        call.rulings.append(Ruling(screened.denied, Verdict.PROMPT_DENIED))
        raise Denied(f"the prompt is denied by the compliance rule {screened.denied}")
    if screened.redactions:
        call.rulings += _redacted(screened.redactions, Verdict.PROMPT_REDACTED)
        call.body = screened.body
        call.request = openai.parse(call.operation, screened.body)


def answer(call: Call, given: Given) -> Given:
    """What may leave of a whole answer: itself, itself redacted, or an error that names the rule."""
    rules = _rules_for_answers(call)
    if rules is None or given.status != 200:
        return given
    try:
        screened = _screened_events(call, rules, given) if _is_stream(given) else screening.answer(rules, given.body)
    except MalformedAnswer:
        call.ending, call.sentence = Ending.FAILED, _UNREADABLE
        return Given(502, _JSON, openai.error_body(_UNREADABLE, "server_error"))
    if screened.denied is not None:
        call.rulings.append(Ruling(screened.denied, Verdict.ANSWER_DENIED))
        call.ending, call.sentence = Ending.DENIED, _sentence(screened.denied)
        return Given(DENIED_STATUS, _JSON, error(call.sentence))
    call.rulings += _redacted(screened.redactions, Verdict.ANSWER_REDACTED)
    return given if screened.body is given.body else given._replace(body=screened.body)


def text(call: Call, said: str) -> str:
    """What a person may see of an answer's text who decides on it."""
    rules = _rules_for_answers(call)
    if rules is None:
        return said
    result = rules.check(said)
    return result.text if result.denied is None else f"[denied by the compliance rule {result.denied}]"


class Stream:
    """An edit of the relay that holds a stream to the rules, before `then` edits what is left."""

    __slots__ = ("_call", "_screen", "_then")

    def __init__(self, call: Call, rules: Filter, then: Callable[[bytes], bytes] | None) -> None:
        self._call, self._then = call, then
        self._screen = StreamScreen(call.operation, rules)

    def feed(self, data: bytes) -> bytes:
        """What may leave now. Raises Withheld, and Garbage where the stream cannot be read."""
        try:
            leaving = self._screen.feed(data)
        except MalformedAnswer as exc:
            raise Garbage(str(exc)) from exc
        if self._screen.denied is not None:
            raise Withheld(_sentence(self._screen.denied))
        return leaving if self._then is None else self._then(leaving)

    def note(self) -> None:
        """Notes on the call what was decided, once the stream has ended in whatever way."""
        self._call.rulings += _redacted(self._screen.redactions, Verdict.ANSWER_REDACTED)
        if self._screen.denied is not None:
            self._call.rulings.append(Ruling(self._screen.denied, Verdict.ANSWER_DENIED))


def stream(call: Call, then: Callable[[bytes], bytes] | None) -> Stream | None:
    """The edit that the call's stream needs; None where no rule is for answers."""
    rules = _rules_for_answers(call)
    return Stream(call, rules, then) if rules is not None else None


def audit_entries(call: Call, at: float) -> Iterator[Mapping[str, Any]]:
    """One line of the audit log a decision. `at` is wall time."""
    for ruling in call.rulings:
        entry = {
            "at": at,
            "audit": "compliance",
            "id": call.request_id.decode("latin-1"),
            "rule": ruling.rule,
            "action": ruling.verdict,
            "count": ruling.times,
        }
        yield {**entry, "tenant": call.tenant} if call.tenant else entry


def error(sentence: str) -> bytes:
    """The body of an answer that says no."""
    return openai.error_body(sentence, "invalid_request_error", code=DENIED_CODE)


def _rules_for_answers(call: Call) -> Filter | None:
    rules = call.snapshot.rules
    return rules.answer if rules is not None and rules.answer else None


def _is_stream(given: Given) -> bool:
    return given.content_type.startswith(_EVENTS)


def _screened_events(call: Call, rules: Filter, given: Given) -> screening.Screened:
    screen = StreamScreen(call.operation, rules)
    body = screen.feed(given.body)
    return screening.Screened(body, screen.denied, screen.redactions)


def _redacted(redactions: Iterable[Redaction], verdict: Verdict) -> list[Ruling]:
    return [Ruling(rule, verdict, times) for rule, times in redactions]


def _sentence(rule: str) -> str:
    return f"the answer is denied by the compliance rule {rule}"
