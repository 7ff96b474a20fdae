"""Takes one request up the ladder: attempt after attempt, until `policy` says that it is done, or has failed.

Stands between `pipeline`, which has decided class and tier, and the wire. What an attempt brought is `reading`'s to
say, and what follows from it is `policy.decide`'s alone.
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from heterofleet.api.labels import Tier
from heterofleet.api.places import PlanOverflow
from heterofleet.api.routing import RequestClass
from heterofleet.router import answer, budget, comeback, openai, policy, reading, replay, requesthead, rulings, splice
from heterofleet.router.answer import Usage
from heterofleet.router.attempts import Attempts, Under
from heterofleet.router.breaker import Breaker
from heterofleet.router.call import Call, Ending, Given
from heterofleet.router.dispatch import Dispatcher, NoPlace, Place
from heterofleet.router.endpoints import Endpoint, Registry
from heterofleet.router.keeping import Noted
from heterofleet.router.metrics import Metrics
from heterofleet.router.policy import Attempt, Outcome
from heterofleet.router.relay import Edit, StreamRelay, Withheld
from heterofleet.router.replay import NotReplayable
from heterofleet.router.splice import StreamScrubber
from heterofleet.router.successes import Detour

_EVENTS: Final = b"text/event-stream; charset=utf-8"


class Turned(Exception):
    """A request that gets no place; `no_place` says why and when to come again."""

    def __init__(self, status: int, no_place: NoPlace) -> None:
        super().__init__(no_place.sentence)
        self.status, self.no_place = status, no_place


class Stale(Protocol):
    """Where an old answer may still be found, when no engine gives a new one."""

    def __call__(self, call: Call) -> Given | None: ...


class Hold(Protocol):
    """Holds an answer for a person; gives what is to be sent, and what became of the review."""

    async def __call__(self, call: Call, number: int) -> tuple[Given, str]: ...


class Compare(Protocol):
    """Compares the answer that is to be given with another tier's; gives what is to be done then."""

    async def __call__(self, call: Call, done: policy.Done, seconds: float, /) -> policy.Done | policy.Review: ...


class Tools(NamedTuple):
    """What a climb works with; one set a process."""

    loop: asyncio.AbstractEventLoop
    registry: Registry
    dispatcher: Dispatcher
    attempts: Attempts
    metrics: Metrics
    detour: Callable[[], Detour]
    stale: Stale
    review: Hold
    compare: Compare
    chance: random.Random


class Climber:
    """Climbs for every request of the router."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._now = tools.loop.time

    async def climb(self, call: Call, tier: Tier) -> None:
        """Answers the call. Raises Turned where it got no place for its first attempt."""
        attempts, plain = call.attempts, call.body
        while True:
            await self._attempt(call, tier)
            action = self._decide(call)
            if isinstance(action, policy.Cached):
                given = self._tools.stale(call)
                if given is not None:
                    self._give_stale(call, given)
                    return
                call.traits = call.traits._replace(cached=False)
                action = self._decide(call)
            if isinstance(action, policy.Done) and call.snapshot.compares_first and not call.first_byte_sent:
                action = await self._tools.compare(call, action, call.traits.deadline - self._now())
            self._count(call, action, attempts[-1])
            match action:
                case policy.Done(number):
                    self._give(call, number)
                    return
                case policy.Fail(status, sentence):
                    self._fail(call, status, sentence)
                    return
                case policy.Review(number):
                    await self._reviewed(call, number)
                    return
                case policy.Retry(after_seconds, exclude):
                    call.need.tried = set(exclude)
                    await asyncio.sleep(after_seconds)
                case policy.Adjust():
                    call.body = splice.put(plain, call.asked.fields, action.changes(call.asked.fields))
                case policy.Escalate(tier):
                    call.need.tried, call.body = set(), plain
                case policy.Fallback(tier, degraded):
                    call.need.tried, call.body, call.degraded = set(), plain, degraded
                    # What has failed at the large tier is not to come back to it as act requests that spill over.
                    call.need.may_spill = False

    def _decide(self, call: Call) -> policy.Action:
        return policy.decide(
            call.snapshot.policy,
            call.traits,
            call.attempts,
            self._now(),
            self._tools.chance,
            first_byte_sent=call.first_byte_sent,
        )

    async def _attempt(self, call: Call, tier: Tier) -> None:
        place = self._tools.dispatcher.take(tier, call.need)
        if place is None:
            asked = self._now()
            try:
                place = await self._wait(call, tier)
            finally:
                call.waited += self._now() - asked
        if place is None:
            call.attempts.append(Attempt(tier, Outcome.UNAVAILABLE))
            call.answers.append(None)
            call.nobody += 1
            return
        endpoint, began = place.endpoint, self._now()
        outcome = Outcome.CLIENT_GONE
        try:
            outcome = await self._ask(call, place)
        finally:
            tell(endpoint.breaker, outcome, began, self._now())
            self._tools.dispatcher.release(place, call.need.weight)

    async def _wait(self, call: Call, tier: Tier) -> Place | None:
        """A place, or None where the tier has nobody who works and another may answer. Raises Turned."""
        policy_, plan = call.snapshot.policy, call.need.request_class is RequestClass.PLAN
        groups, now = self._tools.registry.groups, self._now()
        works = groups[tier].works(now)
        other = policy.stands_in(policy_, call.traits, tier)
        if not works and other is not None and groups[other].works(now):
            return None  # Else it is better to wait for the tier to come.
        if works and plan and tier is Tier.LARGE and policy_.queue.when_plan_overflows is not PlanOverflow.WAIT:
            if policy_.queue.when_plan_overflows is PlanOverflow.REFUSE:
                _turn_away(call, 429, NoPlace("the large tier is full", 1.0))
                return None
            place = None if call.traits.pinned else self._tools.dispatcher.take(Tier.SMALL, call.need)
            if place is not None:
                call.degraded = place.tier is Tier.SMALL
                return place
        answered = await self._tools.dispatcher.wait(tier, call.need)
        if isinstance(answered, Place):
            return answered
        if not answered.timed_out or self._tools.registry.groups[tier].works(self._now()):
            _turn_away(call, 503 if answered.timed_out else 429, answered)
        return None

    async def _ask(self, call: Call, place: Place) -> Outcome:
        endpoint = place.endpoint
        tier = endpoint.tier
        seconds = max(0.0, call.traits.deadline - self._now())
        request = requesthead.whole(call.operation, endpoint.head, call.head_tail, self._body(call, endpoint))
        held = reading.holding(call)
        under = await self._tools.attempts.begin(endpoint, request, seconds, None if held is None else held.holds)
        try:
            attempt, given = reading.read(call, tier, endpoint.key, under.attempt, held)
            call.attempts.append(attempt)
            call.answers.append(given)
            if attempt.outcome is Outcome.GOOD and under.attempt.streaming:
                attempt = await self._stream(call, attempt, under)
                call.attempts[-1] = attempt
            self._learn(attempt)
            return attempt.outcome
        finally:
            under.abort()

    def _body(self, call: Call, endpoint: Endpoint) -> bytes:
        if endpoint.model is None:
            return call.body
        return splice.put(call.body, call.asked.fields, {"model": endpoint.model})

    async def _stream(self, call: Call, attempt: Attempt, under: Under) -> Attempt:
        """Passes a stream that began well on to the client; how it ended."""
        exchange, metrics, lean = call.exchange, self._tools.metrics, call.snapshot.lean
        observe = None if lean else metrics.inter_token_seconds.of(attempt.tier).observe
        edit = _edit(call)
        screen = rulings.stream(call, None if edit is None else edit.feed)
        if screen is not None:
            edit = Edit(screen.feed)
        call.tier, call.endpoint, call.first_byte_sent, call.status = attempt.tier, attempt.endpoint, True, 200
        exchange.begin(200, call.headers(_EVENTS))
        relay = StreamRelay(self._tools.loop, exchange, abort=under.abort, edit=edit, observe=observe)
        exchange.on_pressure(under.pressed)
        under.attempt.follow(relay)
        try:
            await relay.done
        finally:
            if screen is not None:
                screen.note()
        exchange.on_pressure(None)
        call.first_at = relay.first_at
        used = answer.usage_of_chunk(relay.tail)
        if isinstance(relay.error, Withheld):
            call.ending, call.sentence = Ending.DENIED, str(relay.error)
            used = used or _used_so_far(call, relay)
        call.used(attempt.tier, used)
        return reading.ended(call.operation, attempt, relay)

    def _learn(self, attempt: Attempt) -> None:
        if attempt.tier is Tier.SMALL and attempt.outcome in (Outcome.GOOD, Outcome.BAD):
            self._tools.detour().record(attempt.outcome is Outcome.GOOD, self._now())

    def _count(self, call: Call, action: policy.Action, last: Attempt) -> None:
        metrics, request_class = self._tools.metrics, call.need.request_class
        call.steps.append(action.step)
        if last.flaw is not None:
            metrics.flaws.add(1, last.tier, last.flaw)
        if isinstance(action, policy.Done):
            return
        reason = last.flaw or last.outcome
        match action:
            case policy.Retry():
                metrics.retries.add(1, request_class, last.tier, reason)
            case policy.Adjust():
                metrics.adjustments.add(1, request_class, reason)
            case policy.Escalate():
                metrics.escalations.add(1, request_class, reason)
            case policy.Fallback():
                metrics.fallbacks.add(1, request_class, reason)

    def _give(self, call: Call, number: int) -> None:
        """Gives the answer of an attempt; a stream has been given while it came."""
        attempt, given = call.attempts[number], call.answers[number]
        if call.ending is Ending.DENIED:
            self._break_off(call, rulings.error(call.sentence))
            return
        if attempt.outcome is Outcome.CLIENT_ERROR:
            call.ending = Ending.CLIENT_ERROR
        else:
            call.ending = Ending.OK if attempt.outcome is Outcome.GOOD else Ending.FLAWED
        if call.first_byte_sent:
            call.exchange.end()
            return
        assert given is not None, "an answer that is to be given was not kept"  # noqa: S101  a defect of the ladder
        call.tier, call.endpoint = attempt.tier, attempt.endpoint
        send_whole(call, given)

    def _give_stale(self, call: Call, given: Given) -> None:
        call.ending, call.cache, call.degraded = Ending.CACHED, "stale", True
        self._tools.metrics.cache_hits.add(1, call.need.request_class, "stale")
        send_whole(call, given)

    async def _reviewed(self, call: Call, number: int) -> None:
        attempt = call.attempts[number]
        call.tier, call.endpoint = attempt.tier, attempt.endpoint
        given, call.review = await self._tools.review(call, number)
        self._tools.metrics.reviews.add(1, call.need.request_class, call.review)
        call.ending = Ending.REVIEWED
        send_whole(call, given)

    def _fail(self, call: Call, status: int, sentence: str) -> None:
        call.sentence = sentence
        if not call.first_byte_sent:
            call.ending = Ending.FAILED
            fail(call, status, sentence, self._come_again(call) if status == 503 else b"")
            return
        call.ending = Ending.CUT_OFF
        self._break_off(call, openai.error_body(sentence, "server_error"))

    def _come_again(self, call: Call) -> bytes:
        tiers = {attempt.tier for attempt in call.attempts}
        breakers = [
            e.breaker for tier, group in self._tools.registry.groups.items() if tier in tiers for e in group.serving
        ]
        arrivals = [arrival for arrival in call.snapshot.plan.arrivals if arrival.tier in tiers]
        return retry_after(comeback.seconds(breakers, arrivals, self._now(), time.time()))

    def _break_off(self, call: Call, error: bytes) -> None:
        """A stream cannot take its status back: it says so in an event.

        Its connection stays as its head has promised: a client's next request may be on its way by now.
        """
        call.exchange.send(b"data: " + error + b"\n\n")
        call.exchange.end()


def _turn_away(call: Call, status: int, no_place: NoPlace) -> None:
    """Raises Turned, unless there were attempts: what they brought may still be given, which is policy's to say."""
    if not call.attempts:
        raise Turned(status, no_place)


def retry_after(seconds: float | None) -> bytes:
    """The header, in whole seconds; at least one, or clients would come back at once. None: it never helps."""
    if seconds is None:
        return b""
    return b"retry-after: %d\r\n" % max(1, round(seconds + 0.4999))


def fail(call: Call, status: int, sentence: str, headers: bytes = b"", code: str | None = None) -> None:
    """Answers with an error in OpenAI's envelope."""
    call.status = status
    kind = "invalid_request_error" if status < 500 else "server_error"
    call.exchange.respond(status, call.headers() + headers, openai.error_body(sentence, kind, code=code))


def send_whole(call: Call, given: Given) -> None:
    """Sends an answer that is there whole, or what may pass of it."""
    if call.snapshot.rules is not None:
        given = rulings.answer(call, given)
    call.given, call.status = given, given.status
    if call.asked.stream and given.status == 200 and given.content_type.startswith(reading.JSON):
        given = _as_stream(call, given)
    call.exchange.respond(given.status, call.headers(given.content_type), given.body)


def _as_stream(call: Call, given: Given) -> Given:
    """The answer in the form that its client asked for; one that cannot be brought into it stays as it is."""
    try:
        return Given(200, _EVENTS, b"".join(replay.as_stream(given.body, call.operation, call.asked.wants_usage)))
    except NotReplayable:
        return given


def _used_so_far(call: Call, relay: StreamRelay) -> Usage:
    """What a stream has used that was ended here, since its engine never tells: a token an event."""
    return Usage(budget.prompt_tokens(call.asked.prompt_characters), relay.pieces)


def tell(breaker: Breaker, outcome: Outcome, began: float, now: float) -> None:
    """What an engine's breaker learns of an attempt."""
    if outcome.fault:
        breaker.failed(now, began)
    elif outcome is Outcome.CLIENT_GONE:
        breaker.abandoned(now, began)
    else:
        breaker.succeeded(now, began)


def _edit(call: Call) -> Edit | None:
    """What takes out of the stream what its client did not ask for: the usage, log-probabilities; or notes it all."""
    drop_usage = call.body is not call.exchange.body and not call.asked.wants_usage
    may_be_kept = call.cache_key is not None or call.sought is not None
    if not drop_usage and not call.drops_logprobs and not may_be_kept:
        return None
    scrubber = StreamScrubber(call.operation, drop_usage=drop_usage, drop_logprobs=call.drops_logprobs)
    if may_be_kept:
        call.noted = Noted(scrubber.feed)
        return Edit(call.noted.feed)
    return Edit(scrubber.feed, scrubber.marks)
