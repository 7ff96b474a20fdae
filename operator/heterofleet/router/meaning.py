"""The semantic cache as a call meets it: its question's meaning, the answer to one that means the same, and the proof.

Stands in `recall` for the large tier. A share of the hits is answered anew all the same, and what was kept is compared
with the fresh answer: that is the only way to know how many hits were false.
"""

import logging
from collections.abc import Callable
from typing import Final, NamedTuple

from heterofleet.api.caching import SemanticCache
from heterofleet.api.labels import Tier
from heterofleet.router import answer, consistency, question, semantic
from heterofleet.router.answer import AnswerError
from heterofleet.router.cache import Answer
from heterofleet.router.call import Call, Sought
from heterofleet.router.embedding import Embedder
from heterofleet.router.metrics import Metrics
from heterofleet.router.semantic import SemanticIndex, Verification

_log = logging.getLogger(__name__)

SEMANTIC: Final = "semantic"
LONGEST_QUESTION: Final = 8192
"""Characters beyond which a question is not looked up: embedding models read little more, and would compare a part."""


class Clocks(NamedTuple):
    """`now` is monotonic; `wall` tells the Unix time."""

    now: Callable[[], float]
    wall: Callable[[], float]


class Meaning:
    """One router's semantic cache."""

    def __init__(self, endpoint: str, policy: SemanticCache, metrics: Metrics, clocks: Clocks) -> None:
        self._metrics, self._wall = metrics, clocks.wall
        self._embedder = Embedder(endpoint, policy.model, clocks.now)
        self._verification = Verification(policy.verify_share)
        self._index = SemanticIndex(
            threshold=policy.threshold, ttl_seconds=policy.ttl_seconds, max_bytes=policy.max_bytes
        )

    async def find(self, call: Call) -> bytes | None:
        """A whole answer to a question that means the same; else what is needed to keep the one to come is noted."""
        scope = semantic.scope(call.asked, tenant=call.tenant, tier=Tier.LARGE)
        asked = question.text(call.asked)
        if scope is None or len(asked) > LONGEST_QUESTION:
            return None
        vector = await self._embedder.vector(asked)
        if vector is None:
            return None
        near = self._index.nearest(scope, vector, self._wall())
        if near is not None and not self._verification.due():
            return near.answer.body
        call.sought = Sought(scope, vector, near.answer.body if near is not None else None)
        return None

    def keep(self, call: Call, sought: Sought, fresh: bytes) -> None:
        """Keeps a good answer, unless it says the same as the one that is kept."""
        if sought.kept is not None and self._says_the_same(call, sought.kept, fresh):
            return
        self._index.put(sought.scope, sought.vector, Answer(fresh, self._wall()))

    def _says_the_same(self, call: Call, kept: bytes, fresh: bytes) -> bool:
        try:
            texts = [answer.from_body(call.operation, body).text for body in (kept, fresh)]
        except AnswerError:
            return False
        threshold = call.snapshot.policy.consistency.threshold
        false = self._verification.note(texts[0], texts[1], consistency.similarity, threshold)
        self._metrics.cache_checks.add(1, SEMANTIC, "false" if false else "right")
        return not false

    async def close(self) -> None:
        await self._embedder.close()
