"""The way of a request, from its bytes to its answer: composes the decisions, each of which is a module of its own.

    who asks -> what is asked -> what may not pass -> class -> tier -> a cached answer -> money -> the ladder

and tells metrics, money and the access log how it ended, whatever way it left.
"""

import itertools
import os
import random
import re
import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from heterofleet.api.labels import Tier
from heterofleet.api.places import Queue
from heterofleet.api.routing import Degrade, ModelName, RequestClass
from heterofleet.router import (
    budget,
    classify,
    embeddings,
    openai,
    pick,
    prefix,
    quality,
    requesthead,
    rulings,
    splice,
    tiering,
)
from heterofleet.router.accesslog import Put
from heterofleet.router.auth import Keys
from heterofleet.router.budget import Spent, Standing
from heterofleet.router.call import Call, Ending, Given
from heterofleet.router.climb import Climber, Turned, fail, retry_after, send_whole
from heterofleet.router.dispatch import Need
from heterofleet.router.embeddings import Embedding
from heterofleet.router.exchange import Exchange
from heterofleet.router.ledger import Ledger, Reservation
from heterofleet.router.metrics import Metrics
from heterofleet.router.openai import InvalidRequest, Operation, Request
from heterofleet.router.policy import EMBED, Traits, Where
from heterofleet.router.snapshot import Snapshot
from heterofleet.router.successes import Detour

REQUEST_ID: Final = b"x-request-id"
CLASS_HEADER: Final = classify.HEADER.encode()
_ID: Final = re.compile(rb"[!-~]{1,128}")


class Refused(Exception):
    """A request that is answered here with an error."""

    def __init__(
        self, ending: Ending, status: int, sentence: str, headers: bytes = b"", code: str | None = None
    ) -> None:
        super().__init__(sentence)
        self.ending, self.status, self.sentence, self.headers, self.code = ending, status, sentence, headers, code


REFUSALS: Final = (Refused, InvalidRequest, rulings.Denied, splice.Unspliceable, Turned)
"""What ends a request that is nobody's defect."""


class Caches(Protocol):
    """Answers that are given again."""

    async def find(self, call: Call, tier: Tier) -> tuple[Given, str] | None:
        """An answer to give again, and the cache that had it."""

    def keep(self, call: Call) -> None:
        """Keeps the answer that was given, where it may be kept."""


class After(Protocol):
    """What is done with an answer once it was given: comparisons and copies for a tier that is tried."""

    def __call__(self, call: Call, /) -> None: ...


class Trace(Protocol):
    """Who is told of a request that has ended, and how many seconds it took."""

    def __call__(self, call: Call, seconds: float, /) -> None: ...


class Parts(NamedTuple):
    """What the pipeline is made of; one set a process."""

    current: Callable[[], Snapshot | None]
    keys: Callable[[], Keys | None]
    ledger: Callable[[], Ledger]
    detour: Callable[[], Detour]
    engine_key: Callable[[], bytes | None]
    climber: Climber
    embedding: Embedding
    caches: Caches
    after: After
    metrics: Metrics
    log: Put | None
    audit: Put | None
    trace: Trace | None
    chance: random.Random
    now: Callable[[], float]


class Pipeline:
    """Answers the requests of the paths that go to engines."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._prefix = os.urandom(8).hex().encode()
        self._numbers = itertools.count(1)

    async def handle(self, exchange: Exchange, operation: Operation) -> None:
        """Answers one request, and accounts for it however it ends."""
        snapshot = self._parts.current()
        if snapshot is None:
            body = openai.error_body("the router has no configuration yet: try again in a moment", "server_error")
            exchange.respond_json(503, body, b"retry-after: 2\r\n")
            return
        call = Call(exchange, operation, snapshot, self._request_id(exchange))
        reservation: list[Reservation] = []
        try:
            await self._answer(call, reservation)
        except REFUSALS as exc:
            _refuse(call, exc)
        finally:
            self._account(call, reservation)

    async def _answer(self, call: Call, reservation: list[Reservation]) -> None:
        parts, snapshot, exchange = self._parts, call.snapshot, call.exchange
        self._identify(call)
        request = call.request = openai.parse(call.operation, exchange.body)
        if call.operation is Operation.EMBEDDINGS:
            await self._embed(call, reservation)
            return
        model = _model(request, snapshot)
        if snapshot.rules is not None:
            rulings.prompt(call)
            request = call.asked
        decision = call.decision = snapshot.classifier.decide(
            request, header=exchange.header(CLASS_HEADER), pinned=model.request_class
        )
        parts.metrics.offered.add(1, decision.request_class)
        short = self._budget(call)
        tier = self._choose(call, model, tenant_is_short=short)
        self._prepare(call, model, tenant_is_short=short)
        if snapshot.bounded:
            self._reserve(call, tier, request.max_tokens, reservation)
        found = await parts.caches.find(call, tier)
        if found is not None:
            given, call.cache = found
            call.ending = Ending.CACHED
            parts.metrics.cache_hits.add(1, decision.request_class, call.cache)
            send_whole(call, given)
            return
        await parts.climber.climb(call, tier)
        parts.caches.keep(call)
        parts.after(call)

    async def _embed(self, call: Call, reservation: list[Reservation]) -> None:
        """Keys, rules and money hold for embeddings too; they have no class, and are no demand of a tier."""
        embeddings.admit(call)
        if call.snapshot.rules is not None:
            rulings.prompt(call)
        self._budget(call)
        if call.snapshot.bounded:
            self._reserve(call, EMBED, 0, reservation)
        await self._parts.embedding.answer(call)

    def _reserve(self, call: Call, where: Where, max_tokens: int | None, reservation: list[Reservation]) -> None:
        """At once, before anything is awaited: others of the tenant are judged by it."""
        expected = budget.expected(call.asked.prompt_characters, max_tokens, call.snapshot.prices[where] or _FREE)
        reservation.append(self._parts.ledger().reserve(call.tenant, expected, time.time()))

    def _identify(self, call: Call) -> None:
        keys = self._parts.keys()
        if keys is None:
            return
        tenant = keys.tenant_of(call.exchange.headers.get(b"authorization"))
        if tenant is None:
            raise Refused(
                Ending.UNAUTHORISED, 401, "the key is missing or not known: send Authorization: Bearer KEY",
                b"www-authenticate: Bearer\r\n", "invalid_api_key",
            )  # fmt: skip
        call.tenant = tenant

    def _budget(self, call: Call) -> bool:
        """Whether the tenant is short of money. Raises Refused where nothing is left, or the fleet itself is."""
        if call.snapshot.plan.degrade is Degrade.THROTTLE:
            sentence = "the fleet's budget of the day is used up: requests are refused until it has room again"
            raise Refused(Ending.BUDGET, 429, sentence, retry_after(60), "budget_exceeded")
        if not call.snapshot.bounded:
            return False
        judged = self._parts.ledger().judge(call.tenant, time.time())
        if judged.refusal is not None:
            pause = retry_after(judged.refusal.retry_after_seconds)
            raise Refused(Ending.BUDGET, 429, judged.refusal.message, pause, "budget_exceeded")
        return judged.standing is Standing.SOFT

    def _choose(self, call: Call, model: ModelName, *, tenant_is_short: bool) -> Tier:
        parts, decision, plan = self._parts, call.decision, call.snapshot.plan
        assert decision is not None  # noqa: S101  decided right before
        act = decision.request_class is RequestClass.ACT
        call.choice = tiering.choose(
            decision.request_class,
            model.tier,
            tenant_is_short=tenant_is_short,
            degrade=plan.degrade,
            bias=plan.bias,
            draw=parts.chance.random() if plan.bias else 0.0,
            small_tier_fails=act and model.tier is None and parts.detour().large_at_once(parts.now()),
        )
        return call.choice.tier

    def _prepare(self, call: Call, model: ModelName, *, tenant_is_short: bool) -> None:
        """What attempts need of the request: its work, its deadline, its bytes."""
        request, decision, policy = call.asked, call.decision, call.snapshot.policy
        assert decision is not None  # noqa: S101  decided right before
        now = self._parts.now()
        max_tokens = request.max_tokens
        affinity = None
        if request.prompt_characters >= policy.affinity.min_prompt_characters:
            affinity = prefix.affinity_key(request, policy.affinity.block_characters)
        patience = min(_patience(policy.queue, decision.request_class), policy.retry.max_seconds)
        call.need = Need(
            decision.request_class,
            call.tenant,
            pick.weight(request.prompt_characters, max_tokens),
            affinity,
            now + patience,
            may_spill=model.tier is None and not tenant_is_short,
        )
        call.traits = Traits(
            decision.request_class,
            call.exchange.started + policy.retry.max_seconds,
            max_tokens,
            pinned=model.tier is not None,
            reviewed=not policy.review.enabled,
        )
        call.head_tail = requesthead.head_tail(call.exchange.headers, call.request_id, self._parts.engine_key())
        needed = quality.needed(request, policy.quality) if policy.quality.enabled and not call.snapshot.lean else {}
        if needed:
            call.body = splice.put(call.body, request.fields, needed)
            call.drops_logprobs = True
        if not call.snapshot.lean or call.snapshot.bounded:
            call.body = requesthead.with_usage(request, call.body)

    def _request_id(self, exchange: Exchange) -> bytes:
        given = exchange.headers.get(REQUEST_ID)
        if given is not None and _ID.fullmatch(given):
            return given
        return b"%b-%x" % (self._prefix, next(self._numbers))

    def _account(self, call: Call, reservation: list[Reservation]) -> None:
        """What the request was, once it has ended."""
        parts, metrics, snapshot = self._parts, self._parts.metrics, call.snapshot
        request_class = call.decision.request_class if call.decision is not None else "none"
        tier = call.tier if call.tier is not None else "none"
        metrics.requests.add(1, request_class, tier, call.ending)
        self._money(call, reservation, request_class)
        if call.rulings:
            self._tell_rulings(call)
        if snapshot.lean:
            return
        seconds = parts.now() - call.exchange.started
        if call.tier is not None:
            metrics.request_seconds.of(request_class, tier).observe(seconds)
            if call.first_at:
                first = call.first_at - call.exchange.started
                metrics.time_to_first_token_seconds.of(request_class, tier).observe(first)
        if parts.log is not None:
            parts.log(call.log_entry(time.time(), seconds))
        if parts.trace is not None:
            parts.trace(call, seconds)

    def _tell_rulings(self, call: Call) -> None:
        """What the compliance rules decided: no profile leaves it out."""
        for ruling in call.rulings:
            self._parts.metrics.compliance.add(ruling.times, ruling.verdict)
        if self._parts.audit is not None:
            for entry in rulings.audit_entries(call, time.time()):
                self._parts.audit(entry)

    def _money(self, call: Call, reservation: list[Reservation], request_class: str) -> None:
        """Tokens and their cost, of every attempt. What no engine answered costs nothing, nor does a cached answer."""
        metrics, prices = self._parts.metrics, call.snapshot.prices
        nano_usd = tokens = 0
        for tier, usage in call.usages:
            metrics.prompt_tokens.add(usage.prompt, request_class, tier)
            metrics.completion_tokens.add(usage.completion, request_class, tier)
            tokens += usage.prompt + usage.completion
            price = prices[tier]
            if price is not None:
                usd = budget.cost_usd(usage.prompt, usage.completion, price)
                metrics.cost_usd.add(usd, request_class, tier)
                nano_usd += budget.booked(usd)
        if call.usages:
            # All-large would have answered once, whatever it took here. It makes no embeddings, whose cost is the same.
            where, given = call.usages[-1]
            price = prices[EMBED if where == EMBED else Tier.LARGE]
            if price is not None:
                usd = budget.cost_usd(given.prompt, given.completion, price)
                metrics.cost_all_large_usd.add(usd, request_class)
        spent = call.spent = Spent(nano_usd, tokens) if tokens else budget.NOTHING
        if reservation:
            self._parts.ledger().settle(reservation[0], spent, time.time())
        if call.snapshot.policy.tenant_metrics and call.tenant and spent.tokens:
            tenant = metrics.tenant(call.tenant)
            metrics.tenant_cost_usd.add(spent.nano_usd / budget.NANO, tenant)
            metrics.tenant_tokens.add(spent.tokens, tenant)


def _refuse(call: Call, why: Refused | InvalidRequest | rulings.Denied | splice.Unspliceable | Turned) -> None:
    """Answers with the reason that the request gets no other answer."""
    match why:
        case Refused():
            call.ending, call.sentence = why.ending, why.sentence
            fail(call, why.status, why.sentence, why.headers, why.code)
        case InvalidRequest():
            call.ending, call.sentence, call.status = Ending.CLIENT_ERROR, why.message, why.status
            body = openai.error_body(why.message, why.kind, param=why.param, code=why.code)
            call.exchange.respond(why.status, call.headers(), body)
        case rulings.Denied():
            call.ending, call.sentence = Ending.DENIED, str(why)
            fail(call, rulings.DENIED_STATUS, call.sentence, code=rulings.DENIED_CODE)
        case splice.Unspliceable():
            call.ending, call.sentence = Ending.CLIENT_ERROR, str(why)
            fail(call, 400, f"the body cannot be forwarded: {why}")
        case Turned():
            call.ending, call.sentence = Ending.REJECTED, why.no_place.sentence
            fail(call, why.status, why.no_place.sentence, retry_after(why.no_place.retry_after_seconds))


_FREE: Final = budget.Price(0.0, 0.0)


def _model(request: Request, snapshot: Snapshot) -> ModelName:
    found = snapshot.models.get(request.model)
    if found is None:
        known = ", ".join(snapshot.models)
        raise InvalidRequest(
            f"the model {request.model[:128]!r} does not exist here: ask for one of {known}",
            status=404, kind="not_found_error", param="model", code="model_not_found",
        )  # fmt: skip
    return found


def _patience(queue: Queue, request_class: RequestClass) -> float:
    return queue.plan_deadline_seconds if request_class is RequestClass.PLAN else queue.act_deadline_seconds
