"""Asks an engine for a copy of a request, beside the traffic: for comparisons, and for a tier that is being tried.

Copies are nobody's demand: they are not counted as offered, are billed to no tenant, wait for no place, and are not
made where too many are under way already. What they learn of an engine its breaker learns too.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

from heterofleet.router import answer, quality, requesthead, splice
from heterofleet.router.answer import Answer, AnswerError, Usage
from heterofleet.router.answerstream import StreamReader
from heterofleet.router.attempts import Attempts
from heterofleet.router.call import Call, Given
from heterofleet.router.dispatch import Dispatcher, Need, Place
from heterofleet.router.quality import Verdict
from heterofleet.router.relay import Attempt

MOST_AT_ONCE: Final = 16
LONGEST_SECONDS: Final = 120.0
_JSON: Final = b"application/json"


class Copied(NamedTuple):
    """What a copy brought; `verdict` is None where no answer came of it."""

    endpoint: str
    seconds: float
    given: Given
    text: str = ""
    usage: Usage | None = None
    verdict: Verdict | None = None

    @property
    def good(self) -> bool:
        return self.verdict is not None and self.verdict.good


class Copies:
    """The copies of one router; `engine_key` gives the key that engines are asked with."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        attempts: Attempts,
        engine_key: Callable[[], bytes | None],
        now: Callable[[], float],
    ) -> None:
        self._dispatcher, self._attempts, self._engine_key, self._now = dispatcher, attempts, engine_key, now
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def has_room(self) -> bool:
        """Whether one more may be under way."""
        return len(self._under_way) < MOST_AT_ONCE

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Begins work of which nobody waits for the end."""
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Gives up what is under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def ask(self, call: Call, place: Place, seconds: float = LONGEST_SECONDS) -> Copied:
        """What the engine of `place` answers to the call's request; gives the place back."""
        endpoint, began = place.endpoint, self._now()
        tail = requesthead.head_tail(call.exchange.headers, call.request_id + b"-copy", self._engine_key())
        request = requesthead.whole(call.operation, endpoint.head, tail, _body(call, place))
        tell = endpoint.breaker.abandoned
        try:
            under = await self._attempts.begin(endpoint, request, seconds, _always)
            try:
                copied = _read(call, endpoint.key, under.attempt, self._now() - began)
            finally:
                under.abort()
            failed = under.attempt.error is not None or under.attempt.status >= 500
            tell = endpoint.breaker.failed if failed else endpoint.breaker.succeeded
            return copied
        finally:
            tell(self._now(), began)
            self._dispatcher.release(place, call.need.weight)


def need(call: Call) -> Need:
    """What a copy of the call needs: the same as the call, wherever that has been."""
    own = call.need
    return Need(own.request_class, own.tenant, own.weight, own.affinity, own.deadline, may_spill=False)


def _body(call: Call, place: Place) -> bytes:
    """The client's body, with what its answer is judged by, and with the name that the engine knows its model by."""
    asked, config = call.asked, call.snapshot.policy.quality
    changes = quality.needed(asked, config) if config.enabled else {}
    if place.endpoint.model is not None:
        changes = {**changes, "model": place.endpoint.model}
    return splice.put(asked.body, asked.fields, changes) if changes else asked.body


def _read(call: Call, endpoint: str, raw: Attempt, seconds: float) -> Copied:
    given = Given(raw.status, _JSON, raw.body)
    if not raw.whole or raw.status != 200:
        return Copied(endpoint, seconds, given)
    try:
        said = _said(call, raw)
    except AnswerError:
        return Copied(endpoint, seconds, given)
    verdict = quality.judge(said, call.asked, call.snapshot.policy.quality)
    return Copied(endpoint, seconds, given, said.text, said.usage, verdict)


def _said(call: Call, raw: Attempt) -> Answer:
    if not raw.streaming:
        return answer.from_body(call.operation, raw.body)
    reader = StreamReader(call.operation)
    reader.feed(raw.body)
    return reader.answer()


def _always(_piece: bytes) -> bool:
    """A copy's stream is held to its end: nobody reads it before."""
    return True
