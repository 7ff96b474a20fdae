"""The way of an embedding request: to the engines that `router.embeddings` names, and to no tier.

Stands beside `climb`. There is one pool and no class, so nobody waits and nothing is judged or escalated: of the ladder
the retries are left, which `policy` decides. Of two engines drawn at random the one with fewer requests in flight is
asked. They are their user's own, so that they never see the key of the fleet's engines.
"""

import asyncio
import random
import time
from collections.abc import Collection
from typing import NamedTuple

from heterofleet.api.embeddings import Embeddings
from heterofleet.api.places import BreakerPolicy
from heterofleet.api.routing import RequestClass
from heterofleet.router import comeback, files, pick, policy, reading, requesthead
from heterofleet.router.attempts import Attempts
from heterofleet.router.breaker import Breaker
from heterofleet.router.call import Call, Ending
from heterofleet.router.climb import fail, retry_after, send_whole, tell
from heterofleet.router.endpoints import Address
from heterofleet.router.metrics import Metrics
from heterofleet.router.openai import InvalidRequest
from heterofleet.router.policy import EMBED, Attempt, Outcome, Traits
from heterofleet.router.upstream import Pool

NO_CLASS = "none"
"""The class in metrics of what has none."""


class Engine:
    """One engine, and what this router has there."""

    __slots__ = ("address", "breaker", "head", "in_flight", "key", "pool")

    def __init__(self, address: Address, breaker: Breaker) -> None:
        self.address = address
        self.key = address.key
        self.breaker = breaker
        self.pool = Pool(address.host, address.port)
        self.head = f"\r\nhost: {self.key}\r\n".encode()
        self.in_flight = 0

    @property
    def load(self) -> float:
        """What `pick` compares: texts are read whole, so that requests are work of a size."""
        return self.in_flight

    @property
    def cache_use(self) -> float:
        """Nothing is kept of a text for the next."""
        return 0.0


class Tools(NamedTuple):
    """What embedding requests work with; one set a process."""

    loop: asyncio.AbstractEventLoop
    attempts: Attempts
    metrics: Metrics
    chance: random.Random


class Embedding:
    """The pool of embedding engines, and who asks it. `engines` are those that get requests."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._now = tools.loop.time
        self._breaker = BreakerPolicy()
        self.engines: tuple[Engine, ...] = ()

    def configure(self, wanted: Embeddings | None, breaker: BreakerPolicy) -> None:
        """Takes the engines that are named; one that was there before keeps its counts, and its breaker's state."""
        known = {engine.address: engine for engine in self.engines} if breaker == self._breaker else {}
        addresses = dict.fromkeys(map(files.address, wanted.endpoints if wanted is not None else ()))
        self._breaker = breaker
        former = self.engines
        self.engines = tuple(
            known.get(address) or Engine(address, Breaker(breaker.failures, breaker.open_seconds))
            for address in addresses
        )
        for engine in set(former).difference(self.engines):
            engine.pool.retire()

    async def answer(self, call: Call) -> None:
        """Answers the call. Raises InvalidRequest for a model that makes no embeddings here."""
        retry = call.snapshot.policy.retry
        # No other tier, no cache and no person: what is left of the ladder are its retries.
        call.traits = Traits(
            RequestClass.ACT, call.exchange.started + retry.max_seconds, pinned=True, cached=False, reviewed=True
        )
        call.head_tail = requesthead.head_tail(call.exchange.headers, call.request_id, None)
        tried: Collection[str] = ()
        while True:
            await self._attempt(call, tried)
            action = policy.decide(call.snapshot.policy, call.traits, call.attempts, self._now(), self._tools.chance)
            call.steps.append(action.step)
            match action:
                case policy.Done(number):
                    self._give(call, number)
                    return
                case policy.Retry(after_seconds, tried):
                    self._tools.metrics.retries.add(1, NO_CLASS, EMBED, call.attempts[-1].outcome)
                    await asyncio.sleep(after_seconds)
                case policy.Fail(status, sentence):
                    self._fail(call, status, sentence)
                    return

    async def _attempt(self, call: Call, tried: Collection[str]) -> None:
        usable = [engine for engine in self.engines if engine.breaker.allows(self._now())]
        if not usable:
            call.attempts.append(Attempt(EMBED, Outcome.UNAVAILABLE))
            call.answers.append(None)
            call.nobody += 1
            return
        # One that failed may answer now, where none other is left.
        usable = [engine for engine in usable if engine.key not in tried] or usable
        engine, began, outcome = pick.power_of_two(usable, self._tools.chance), self._now(), Outcome.CLIENT_GONE
        engine.in_flight += 1
        engine.breaker.sent(began)
        try:
            outcome = await self._ask(call, engine)
        finally:
            engine.in_flight -= 1
            tell(engine.breaker, outcome, began, self._now())

    async def _ask(self, call: Call, engine: Engine) -> Outcome:
        seconds = max(0.0, call.traits.deadline - self._now())
        request = requesthead.whole(call.operation, engine.head, call.head_tail, call.body)
        under = await self._tools.attempts.begin(engine, request, seconds, _held)
        try:
            attempt, given = reading.read(call, EMBED, engine.key, under.attempt, None)
            if given is None and attempt.outcome is Outcome.GOOD:
                attempt = attempt._replace(outcome=Outcome.MALFORMED)  # A stream, of which embeddings have none.
            call.attempts.append(attempt)
            call.answers.append(given)
            return attempt.outcome
        finally:
            under.abort()

    def _give(self, call: Call, number: int) -> None:
        attempt, given = call.attempts[number], call.answers[number]
        assert given is not None, "an answer that is to be given was not kept"  # noqa: S101  a defect of `_ask`
        call.ending = Ending.OK if attempt.outcome is Outcome.GOOD else Ending.CLIENT_ERROR
        call.tier, call.endpoint = EMBED, attempt.endpoint
        send_whole(call, given)

    def _fail(self, call: Call, status: int, sentence: str) -> None:
        call.ending, call.sentence = Ending.FAILED, sentence
        breakers = [engine.breaker for engine in self.engines]
        pause = retry_after(comeback.seconds(breakers, (), self._now(), time.time())) if status == 503 else b""
        fail(call, status, sentence, pause)


def admit(call: Call) -> None:
    """Raises InvalidRequest where nobody makes such embeddings, with what to write instead."""
    wanted, model = call.snapshot.policy.embeddings, call.asked.model
    if wanted is None:
        raise InvalidRequest(
            "nobody makes embeddings here: run an engine that does, and name it in router.embeddings",
            status=404, kind="not_found_error", code="no_embeddings",
        )  # fmt: skip
    if model != wanted.model:
        raise InvalidRequest(
            f"the model {model[:128]!r} makes no embeddings here: ask for {wanted.model}",
            status=404, kind="not_found_error", param="model", code="model_not_found",
        )  # fmt: skip


def _held(_piece: bytes) -> bool:
    """An answer is waited for until it is whole, whatever its engine calls it."""
    return True
