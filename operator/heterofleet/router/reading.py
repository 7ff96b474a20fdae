"""What an attempt has brought: its outcome, quality's verdict, and its answer where that is there whole.

Stands between the wire (`attempts`) and the ladder, which decides by outcomes alone. Before a stream passes on it is
seen that it is one, and, where policy asks for it, its beginning is judged. One that is judged bad is held back to its
end: what is refused or empty is short, and may have to be given after all, when nobody answers better.
"""

from typing import Final

import orjson

from heterofleet.router import answer, assembly, quality, relay, splice, sse
from heterofleet.router.answer import AnswerError, EngineFailure
from heterofleet.router.answerstream import StreamReader
from heterofleet.router.assembly import NotWhole
from heterofleet.router.call import Call, Given
from heterofleet.router.openai import Operation
from heterofleet.router.policy import Attempt, Outcome, Where
from heterofleet.router.splice import Unspliceable
from heterofleet.router.upstream import ClosedEarly, ConnectFailed, Garbage, TimedOut, UpstreamError

JSON: Final = b"application/json"
_BUSY: Final = (429, 503)
_KEYLESS: Final = (401, 403)
"""An engine that does not know the router's key: no fault of a client's, whose own key ended here."""

_ERROR_EVENT: Final = b'data: {"error"'
_DONE: Final = b"[DONE]"
_OUTCOMES: Final = {
    ConnectFailed: Outcome.CONNECT_FAILED,
    ClosedEarly: Outcome.CLOSED_EARLY,
    TimedOut: Outcome.TIMEOUT,
    Garbage: Outcome.MALFORMED,
}


Brought = tuple[Attempt, Given | None]
"""One attempt, with its answer or its engine's error: None for a stream that is to pass, and where nothing came."""


class Held:
    """The beginning of a stream that is held back until it can be judged."""

    __slots__ = ("_asked", "_characters", "_is_bad", "_quality", "error", "reader")

    def __init__(self, call: Call, characters: int) -> None:
        self.reader = StreamReader(call.operation)
        self.error: AnswerError | None = None
        self._asked, self._quality = call.asked, call.snapshot.policy.quality
        self._characters = characters
        self._is_bad = False

    def holds(self, data: bytes) -> bool:
        """Whether more is needed before the first byte may leave."""
        reader = self.reader
        try:
            reader.feed(data)
        except AnswerError as exc:
            self.error = exc
            return False
        if not self._is_bad:
            said = reader.answer()
            if not reader.ended and not said.tool_calls and reader.characters < self._characters:
                return True
            self._is_bad = not quality.judge(said, self._asked, self._quality).good
        return self._is_bad


def holding(call: Call) -> Held | None:
    """What holds the call's stream back; None where it passes unjudged."""
    characters = call.snapshot.policy.quality.hold_stream_characters
    return Held(call, characters) if call.asked.stream and characters and not call.snapshot.lean else None


def read(call: Call, tier: Where, endpoint: str, raw: relay.Attempt, held: Held | None) -> Brought:
    """How an attempt ended, as far as it has; a good stream goes on."""
    if raw.error is not None:
        # Whatever came of it, nothing has left yet.
        outcome = _OUTCOMES[type(raw.error)]
        late_in_answer = outcome is Outcome.TIMEOUT and raw.status
        return Attempt(tier, Outcome.STALLED if late_in_answer else outcome, endpoint), None
    if raw.status != 200:
        return Attempt(tier, _refused(raw.status), endpoint), _given(raw)
    if raw.streaming:
        return _stream(call, tier, endpoint, raw, held)
    return _whole(call, tier, endpoint, _given(raw))


def ended(operation: Operation, attempt: Attempt, stream: relay.StreamRelay) -> Attempt:
    """How a stream has ended that was passed on."""
    error = stream.error
    if not isinstance(error, UpstreamError):
        came_to_its_end = error is not None or _is_over(operation, stream.tail)
        return attempt if came_to_its_end else attempt._replace(outcome=Outcome.CLOSED_EARLY)
    return attempt._replace(outcome=Outcome.STALLED if isinstance(error, TimedOut) else _OUTCOMES[type(error)])


def _whole(call: Call, tier: Where, endpoint: str, given: Given) -> Brought:
    config = call.snapshot.policy.quality
    if call.snapshot.lean or not config.enabled:
        call.used(tier, answer.usage_of_body(given.body))
        return Attempt(tier, Outcome.GOOD, endpoint), given
    try:
        said = answer.from_body(call.operation, given.body)
        given = _scrubbed(call, given)
    except EngineFailure:
        return Attempt(tier, Outcome.ENGINE_ERROR, endpoint), None
    except (AnswerError, Unspliceable):
        return Attempt(tier, Outcome.MALFORMED, endpoint), None
    call.used(tier, said.usage)
    return _judged(call, tier, endpoint, said), given


def _scrubbed(call: Call, given: Given) -> Given:
    """The answer without what only this router asked for. Raises Unspliceable."""
    if not call.drops_logprobs:
        return given
    return given._replace(body=splice.without_logprobs(call.operation, given.body))


def _stream(call: Call, tier: Where, endpoint: str, raw: relay.Attempt, held: Held | None) -> Brought:
    body = raw.body
    if body.startswith(_ERROR_EVENT) or (held is not None and isinstance(held.error, EngineFailure)):
        return Attempt(tier, Outcome.ENGINE_ERROR, endpoint), None
    if not _begins_well(body) or (held is not None and held.error is not None):
        return Attempt(tier, Outcome.MALFORMED, endpoint), None
    if raw.whole and not _is_over(call.operation, body):
        return Attempt(tier, Outcome.CLOSED_EARLY, endpoint), None
    if held is None:
        return Attempt(tier, Outcome.GOOD, endpoint), None
    said = held.reader.answer()
    attempt = _judged(call, tier, endpoint, said)
    if attempt.outcome is Outcome.GOOD:
        return attempt, None
    call.used(tier, said.usage)
    try:
        given = _scrubbed(call, Given(200, JSON, assembly.whole(call.operation, body)))
    except (NotWhole, Unspliceable):
        return Attempt(tier, Outcome.MALFORMED, endpoint), None
    return attempt, given


def _begins_well(stream: bytes) -> bool:
    """Whether what came is a stream whose first event, where it is whole, holds JSON: all that is seen of most streams.

    Nothing has left yet, so that another engine may be asked; what comes later passes as it is.
    """
    end = stream.find(b"\n\n")
    if end < 0 or not stream.startswith(b"data:"):
        return relay.begins_event(stream)
    data = sse.payload(stream[:end]).strip()
    if not data or data == _DONE:
        return True
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


def _judged(call: Call, tier: Where, endpoint: str, said: answer.Answer) -> Attempt:
    verdict = quality.judge(said, call.asked, call.snapshot.policy.quality)
    outcome = Outcome.GOOD if verdict.good else Outcome.BAD
    return Attempt(tier, outcome, endpoint, verdict.reason, verdict.truncated)


def _given(raw: relay.Attempt) -> Given:
    return Given(raw.status, raw.headers.get(b"content-type", JSON), raw.body)


def _refused(status: int) -> Outcome:
    if status in _BUSY:
        return Outcome.ENGINE_BUSY
    if status in _KEYLESS:
        return Outcome.ENGINE_ERROR
    return Outcome.CLIENT_ERROR if 400 <= status < 500 else Outcome.ENGINE_ERROR


def _is_over(operation: Operation, tail: bytes) -> bool:
    if operation is Operation.RESPONSES:
        return b"response.completed" in tail or b"response.incomplete" in tail or b"response.failed" in tail
    return b"[DONE]" in tail
