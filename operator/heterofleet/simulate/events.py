"""What goes into the model of an engine and what comes out of it.

Times are seconds on the engine's own clock, whatever that is. A request is named by its caller.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Arrival:
    """One sequence to generate.

    `blocks` are the chained hashes of the full blocks of prompt and answer, first the prompt's: with them the prompt
    can be found in the prefix cache, and what was computed is kept there. `watched`: its caller wants every token at
    its time; of others only the first and the last are reported, which is much cheaper. A smaller `priority` goes
    first where the engine heeds priorities.
    """

    request: Hashable
    prompt_tokens: int
    output_tokens: int
    blocks: tuple[int, ...] = ()
    priority: int = 0
    watched: bool = False


class Started(NamedTuple):
    """Its prefill begins, for the first time or again, with this many of its prompt's tokens found in the cache."""

    request: Hashable
    at: float
    cached_tokens: int


class FirstToken(NamedTuple):
    """Its prefill is done and gave a token."""

    request: Hashable
    at: float


class Tokens(NamedTuple):
    """`number` more tokens of a watched sequence since the last report, the last of them at this time."""

    request: Hashable
    at: float
    number: int


class Preempted(NamedTuple):
    """Its KV blocks were taken for others; it waits again and will be computed anew."""

    request: Hashable
    at: float


class Finished(NamedTuple):
    """All its tokens are there, or it was aborted."""

    request: Hashable
    at: float
    aborted: bool = False


Event = Started | FirstToken | Tokens | Preempted | Finished


@dataclass(frozen=True, slots=True)
class Load:
    """What an engine holds at a moment, as vLLM's gauges say it; `kept_tokens` are prefixes that nobody uses now."""

    running: int
    waiting: int
    kv_tokens: int
    kept_tokens: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What an engine has done since it was made, as vLLM's counters say it. All but `preemptions` are tokens.

    `prompt` counts a prompt once, when its prefill is done; `prefilled` is what was computed for it, which is less
    by what the cache held and more by what was computed anew.
    """

    prompt: int
    prefilled: int
    generated: int
    cache_queries: int
    cache_hits: int
    preemptions: int
