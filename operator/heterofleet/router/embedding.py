"""Asks the configured endpoint what a question means: a vector, or nothing in time.

The edge of `semantic`. A request waits for it, so it has 300 ms and no second try; an endpoint that does not answer is
left alone for a second, and costs only those requests time that asked just then. It is spoken to by aiohttp's client,
whose cost matters little beside the time that an embedding takes.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import aiohttp

from heterofleet.router import semantic
from heterofleet.router.semantic import InvalidEmbedding

_log = logging.getLogger(__name__)

BUDGET_SECONDS: Final = 0.3
PAUSE_SECONDS: Final = 1.0
_HEADERS: Final = {"content-type": "application/json"}


class _Failed(Exception):
    """The endpoint answered with an error."""


class Embedder:
    """One endpoint; its session is opened when it is first asked. `now` is monotonic."""

    def __init__(
        self, url: str, model: str, now: Callable[[], float], *, budget_seconds: float = BUDGET_SECONDS
    ) -> None:
        self._url, self._model, self._now = url, model, now
        self._budget_seconds = budget_seconds
        self._session: aiohttp.ClientSession | None = None
        self._again_at = 0.0
        self._away = False

    async def vector(self, text: str) -> list[float] | None:
        """What the text means; None where that is not known in time."""
        if self._now() < self._again_at:
            return None
        try:
            async with asyncio.timeout(self._budget_seconds):
                body = await self._ask(semantic.embedding_request(text, self._model))
            found = semantic.parse_embedding(body)
        except (aiohttp.ClientError, OSError, TimeoutError, _Failed, InvalidEmbedding) as exc:
            self._again_at = self._now() + PAUSE_SECONDS
            if not self._away:
                _log.warning("no answer is found by its meaning for now: %s", str(exc) or "no embedding in time")
            self._away = True
            return None
        self._away = False
        return found

    async def _ask(self, body: bytes) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        async with self._session.post(self._url, data=body, headers=_HEADERS) as response:
            if response.status != 200:
                raise _Failed(f"the embedding endpoint answers {response.status}")
            return await response.read()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
