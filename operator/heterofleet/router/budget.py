"""What a tenant may still spend: nothing said, the small tier preferred, or no more (contracts.md, "Money").

Stands after the cache and before admission. Spend is taken over a rolling day, in buckets of an hour:

    spent(now) = sum of the 25 buckets up to the present one + what requests in flight are expected to cost
    Within  below soft_fraction x budget        Soft  from there on        Hard  from the budget on

With 25 buckets and not 24 a spend counts for at least 24 hours, and for 25 at most. A request is admitted while its
tenant is below Hard, so that a budget is overrun by the last admitted request at most, and by what requests in
flight then cost beyond what was expected of them.

Money is counted in whole billionths of a USD: sums of integers are the same in whatever order routers add them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from heterofleet.api.tenancy import TenantBudget, Tenants

BUCKET_SECONDS: Final = 3600
BUCKETS: Final = 25
NANO: Final = 1_000_000_000

ASSUMED_COMPLETION_TOKENS: Final = 512
"""What a request that names no max_tokens is expected to be answered with."""

CHARACTERS_PER_TOKEN: Final = 4
"""A common rule of thumb for English text with the tokenizers of present models; settled by the real usage."""

IN_FLIGHT_RETRY_SECONDS: Final = 5.0
"""When to come again where only requests in flight fill the budget: most of them end within seconds."""


class Standing(IntEnum):
    """How a tenant stands; a larger one allows less."""

    WITHIN = 0
    SOFT = 1
    HARD = 2


@dataclass(frozen=True, slots=True)
class Spent:
    """Money and tokens, prompts' and answers' together."""

    nano_usd: int = 0
    tokens: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.nano_usd + other.nano_usd, self.tokens + other.tokens)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.nano_usd - other.nano_usd, self.tokens - other.tokens)


NOTHING: Final = Spent()


class Price(NamedTuple):
    """A tier's posted price, in USD for a million tokens."""

    prompt_usd: float
    completion_usd: float


def cost_usd(prompt_tokens: int, completion_tokens: int, price: Price) -> float:
    """What an answer costs at the posted price."""
    return (prompt_tokens * price.prompt_usd + completion_tokens * price.completion_usd) / 1_000_000


def cost(prompt_tokens: int, completion_tokens: int, price: Price) -> Spent:
    """The same as it is booked."""
    return Spent(booked(cost_usd(prompt_tokens, completion_tokens, price)), prompt_tokens + completion_tokens)


def booked(usd: float) -> int:
    """An amount in the unit of all books."""
    return round(usd * NANO)


def prompt_tokens(prompt_characters: int) -> int:
    """What a prompt is taken for until its usage is known."""
    return 1 + prompt_characters // CHARACTERS_PER_TOKEN


def expected(prompt_characters: int, max_tokens: int | None, price: Price) -> Spent:
    """What a request is taken to cost until its usage is known; all of its max_tokens, so that few cost more."""
    completion = ASSUMED_COMPLETION_TOKENS if max_tokens is None else max_tokens
    return cost(prompt_tokens(prompt_characters), completion, price)


@dataclass(frozen=True, slots=True)
class Budget:
    """What one tenant may spend in a day, None where it is not bounded; `soft_` is where Soft begins."""

    nano_usd: int | None = None
    tokens: int | None = None
    soft_nano_usd: float = 0.0
    soft_tokens: float = 0.0

    @property
    def bounded(self) -> bool:
        return self.nano_usd is not None or self.tokens is not None

    def standing(self, spent: Spent) -> Standing:
        return max(
            _standing(spent.nano_usd, self.nano_usd, self.soft_nano_usd),
            _standing(spent.tokens, self.tokens, self.soft_tokens),
        )

    def share(self, shared: Spent, routers: int) -> "Budget":
        """The budget that is left to one of `routers` which cannot tell each other what they spend.

        Each may spend an equal part of what was left when `shared` was known, so that all together stay within.
        """
        return Budget(_share(self.nano_usd, shared.nano_usd, routers), _share(self.tokens, shared.tokens, routers))


def _standing(spent: int, budget: int | None, soft: float) -> Standing:
    if budget is None:
        return Standing.WITHIN
    if spent >= budget:
        return Standing.HARD
    return Standing.SOFT if spent >= soft else Standing.WITHIN


def _share(budget: int | None, shared: int, routers: int) -> int | None:
    return None if budget is None else min(budget, shared + max(0, budget - shared) // max(1, routers))


class Budgets:
    """The budgets of a policy, ready to be looked up; what a named tenant leaves open is as for each."""

    __slots__ = ("_each", "_named")

    def __init__(self, policy: Tenants) -> None:
        self._each = _budget(policy.each, policy.each, policy.soft_fraction)
        self._named = {tenant.name: _budget(tenant, policy.each, policy.soft_fraction) for tenant in policy.named}

    def of(self, tenant: str) -> Budget:
        return self._named.get(tenant, self._each)


def _budget(own: TenantBudget, each: TenantBudget, soft_fraction: float) -> Budget:
    usd = each.usd_per_day if own.usd_per_day is None else own.usd_per_day
    tokens = each.tokens_per_day if own.tokens_per_day is None else own.tokens_per_day
    nano_usd = None if usd is None else round(usd * NANO)
    return Budget(nano_usd, tokens, (nano_usd or 0) * soft_fraction, (tokens or 0) * soft_fraction)


class Refusal(NamedTuple):
    """What a tenant that is Hard is told; no time where none would help."""

    message: str
    retry_after_seconds: float | None


def bucket(now: float) -> int:
    """The bucket that a spend at wall time `now` belongs to."""
    return int(now // BUCKET_SECONDS)


def oldest(now: float) -> int:
    """The first bucket that still counts."""
    return bucket(now) - BUCKETS + 1


def refusal(budget: Budget, window: Mapping[int, Spent], in_flight: Spent, now: float) -> Refusal:
    """Why and until when a tenant that has spent `window` is refused."""
    spent = sum((spend for number, spend in window.items() if number >= oldest(now)), NOTHING)
    if budget.standing(spent) is not Standing.HARD:
        message = "the requests in flight are expected to use up the budget of 24 hours: wait for their answers"
        return Refusal(message, IN_FLIGHT_RETRY_SECONDS)
    message = f"the budget of 24 hours is used up: {_used(spent + in_flight, budget)}"
    return Refusal(message, _seconds_until_below(budget, window, spent, now))


def _used(spent: Spent, budget: Budget) -> str:
    parts = []
    if budget.nano_usd is not None:
        parts.append(f"{_usd(spent.nano_usd)} of {_usd(budget.nano_usd)} USD")
    if budget.tokens is not None:
        parts.append(f"{spent.tokens} of {budget.tokens} tokens")
    return ", ".join(parts)


def _usd(nano_usd: int) -> str:
    """Cents, and what is below one cent in full: a budget of 0.00 would tell nobody anything."""
    if nano_usd == 0 or nano_usd >= NANO // 100:
        return f"{nano_usd / NANO:.2f}"
    return f"{nano_usd / NANO:.9f}".rstrip("0")


def _seconds_until_below(budget: Budget, window: Mapping[int, Spent], spent: Spent, now: float) -> float | None:
    for number in sorted(number for number in window if number >= oldest(now)):
        spent = spent - window[number]
        if budget.standing(spent) is not Standing.HARD:
            return (number + BUCKETS) * BUCKET_SECONDS - now
    return None
