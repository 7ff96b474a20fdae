"""Who holds how much of the KV cache.

Stands between the engine's scheduling and the prefix cache. Every running sequence has a `Holding`: tokens that it
holds alone, and blocks that it shares. What nobody uses fills the rest, and goes when the room is needed:

    alone + block x pinned + block x idle <= capacity
"""

from collections.abc import Sequence

from heterofleet.simulate.prefixcache import PrefixCache
from heterofleet.simulate.profile import Profile


class Holding:
    """What one sequence holds: `alone` tokens when its prefill was done, and the shared blocks `pinned`."""

    __slots__ = ("alone", "pinned")

    def __init__(self) -> None:
        self.alone = 0
        self.pinned: tuple[int, ...] = ()


class KvCache:
    """The cache of one engine, in tokens. `queries` and `hits` count tokens of prompts looked up and found."""

    __slots__ = ("_block", "_caching", "_capacity", "_prefixes", "alone", "hits", "queries")

    def __init__(self, profile: Profile) -> None:
        self._capacity, self._block, self._caching = profile.kv_tokens, profile.block_tokens, profile.prefix_caching
        self._prefixes = PrefixCache()
        self.alone = 0
        self.queries = 0
        self.hits = 0

    @property
    def held(self) -> int:
        """Tokens that running sequences hold."""
        return self.alone + self._prefixes.pinned * self._block

    @property
    def spare(self) -> int:
        """Tokens that no running sequence holds."""
        return self._capacity - self.held

    @property
    def kept(self) -> int:
        """Tokens of prefixes that nobody uses now."""
        return self._prefixes.idle * self._block

    def take(self, holding: Holding, chain: tuple[int, ...], length: int, reserve: int) -> int | None:
        """Give a prefill of `length` tokens its cache, beside `reserve` tokens for others; None if it does not fit.

        Returns how many tokens are there already. The last one is always computed: it gives the answer's first.
        """
        found = chain[: self._prefixes.match(chain, (length - 1) // self._block)] if self._caching and chain else ()
        cached = len(found) * self._block
        if length - cached + self._prefixes.newly_pinned(found) * self._block + reserve > self.spare:
            return None
        self._prefixes.pin(found)
        holding.pinned, holding.alone = found, length - cached
        self.alone += holding.alone
        if self._caching:
            self.queries += length
            self.hits += cached
        self.shrink()
        return cached

    def share(self, holding: Holding, chain: tuple[int, ...], length: int) -> None:
        """Give the full blocks of a prefill to all: those that others computed meanwhile are held once."""
        full = min(length // self._block, len(chain))
        if not self._caching or full <= len(holding.pinned):
            return
        fresh = chain[len(holding.pinned) : full]
        self._prefixes.pin(fresh)
        holding.pinned = chain[:full]
        holding.alone -= len(fresh) * self._block
        self.alone -= len(fresh) * self._block

    def give_back(self, holding: Holding, decoded: int, answer: Sequence[int] = ()) -> None:
        """Let go of all that a sequence holds, `decoded` tokens since its prefill included.

        Its shared blocks stay as long as there is room, and so do those of the answer that is named.
        """
        self.alone -= holding.alone + decoded
        if self._caching:
            self._prefixes.keep(answer)
        self._prefixes.release(holding.pinned)
        holding.alone, holding.pinned = 0, ()

    def shrink(self) -> None:
        """Let go of the oldest of what nobody uses, until the cache is within its capacity."""
        if self._prefixes.idle:
            self._prefixes.shrink(max(0, self.spare // self._block))

    def forget(self) -> None:
        """Let go of all that nobody uses."""
        self._prefixes.clear()
