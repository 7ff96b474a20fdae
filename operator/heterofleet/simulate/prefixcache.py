"""Which blocks of KV cache are shared and kept: vLLM's automatic prefix caching.

Stands inside the engine, which counts the tokens that sequences hold alone. A block is named by the hash of all tokens
up to its end, so a chain of blocks that are all known is a prefix that was computed before. A block that running
sequences use is pinned; one that nobody uses is kept until its room is needed, the least recently used first and
of one sequence its end first, since a prefix is of use without its end and an end is not without its prefix.

Source: vLLM, docs/design/prefix_caching.md.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence


class PrefixCache:
    """Pinned blocks with the number of their users, and idle ones by age."""

    __slots__ = ("_idle", "_users")

    def __init__(self) -> None:
        self._users: dict[int, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()

    @property
    def pinned(self) -> int:
        """Blocks that running sequences share."""
        return len(self._users)

    @property
    def idle(self) -> int:
        """Blocks that are kept and may be taken at any time."""
        return len(self._idle)

    def match(self, chain: Sequence[int], limit: int) -> int:
        """How many of the first `limit` blocks of a chain are known, up to the first that is not."""
        users, idle = self._users, self._idle
        known = 0
        for block in chain[:limit]:
            if block not in users and block not in idle:
                break
            known += 1
        return known

    def newly_pinned(self, blocks: Iterable[int]) -> int:
        """How many of these known blocks are idle: pinning them takes that much room from others."""
        return sum(block not in self._users for block in blocks)

    def pin(self, blocks: Iterable[int]) -> None:
        """One more sequence uses these blocks, known ones or new ones."""
        users = self._users
        for block in blocks:
            if block in users:
                users[block] += 1
            else:
                self._idle.pop(block, None)
                users[block] = 1

    def release(self, blocks: Sequence[int]) -> None:
        """One sequence less uses these blocks; those without users stay as idle ones."""
        for block in reversed(blocks):
            if self._users[block] > 1:
                self._users[block] -= 1
            else:
                del self._users[block]
                self._idle[block] = None

    def keep(self, blocks: Sequence[int]) -> None:
        """These blocks were computed and have no user any more."""
        for block in reversed(blocks):
            if block not in self._users:
                self._idle[block] = None
                self._idle.move_to_end(block)

    def shrink(self, most: int) -> None:
        """Let idle blocks go until at most `most` are left."""
        for _ in range(len(self._idle) - most):
            self._idle.popitem(last=False)

    def clear(self) -> None:
        """Forget every idle block, as POST /reset_prefix_cache does."""
        self._idle.clear()
