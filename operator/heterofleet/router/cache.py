"""Which answers are given again: the exact cache of the small tier, and the memory that holds its answers.

Stands between classify and budget: a request whose key is known is answered without an engine. The key is

    sha256([tenant, operation, tier, fields that shape the answer]), as JSON with sorted keys

so that a tenant never sees another's answer, and `model` counts as the tier that it was resolved to. SHA-256 and not
the faster xxh3: clients choose what is digested, and one who finds two requests with the same key could have another
answer given to people who share the tenant. It costs 1 microsecond for a body of 1 KB.

What is kept is one whole answer; `replay` gives it as a stream where a stream is asked for.
"""

import hashlib
import sys
from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, NamedTuple, Self

import orjson

from heterofleet.api.caching import CacheUse, ExactCache
from heterofleet.api.labels import Tier
from heterofleet.router import question
from heterofleet.router.openai import Operation, Request

NOT_SHAPING: Final = frozenset({"model", "user", "stream", "stream_options", "metadata"})
"""Fields that leave the answer's text as it is; an unknown field counts, since an engine may heed it."""

_WITH_TOOLS: Final = ("tools", "functions")
_TIME_BYTES: Final = 8
_MICROSECONDS: Final = 1_000_000
# A slot of the dict and a node of the list by which OrderedDict keeps its order; tests hold it against tracemalloc.
_SLOT_BYTES: Final = 240


class Wish(Enum):
    """What a client says of the cache for one request."""

    UNSAID = "unsaid"
    ALLOW = "allow"
    NO = "no"


def wish(header: str | None, cache_control: str | None) -> Wish:
    """The wish in `x-heterofleet-cache` and `Cache-Control`; a no in either is a no."""
    if cache_control is not None and ("no-store" in (said := cache_control.lower()) or "no-cache" in said):
        return Wish.NO
    match header.strip().lower() if header is not None else None:
        case "allow":
            return Wish.ALLOW
        case "no":
            return Wish.NO
        case _:
            return Wish.UNSAID


def may_repeat(request: Request, said: Wish) -> bool:
    """Whether an answer to such a request may be given twice at all.

    Never with tools: a tool call is an order to act with an id of its own, and giving it again acts twice. Never
    several answers, which are asked for to differ. Never embeddings, which belong to neither tier.
    """
    if said is Wish.NO or request.operation is Operation.EMBEDDINGS:
        return False
    fields = request.fields
    return not any(fields.get(name) for name in _WITH_TOOLS) and _is_number(fields.get("n", 1), 1)


def may_cache(request: Request, said: Wish, policy: ExactCache) -> bool:
    """Whether the answer may come from the exact cache, and be kept in it."""
    if policy.use is CacheUse.OFF or not may_repeat(request, said):
        return False
    if policy.use is CacheUse.ALLOWED and said is Wish.ALLOW:
        return True
    return _is_number(request.fields.get("temperature", 1), 0)


def _is_number(value: object, wanted: int) -> bool:
    """Null stands for the default, 1, as it does at the engines; true is no number."""
    return not isinstance(value, bool) and (1 if value is None else value) == wanted


def key(request: Request, *, tenant: str, tier: Tier, normalised: bool = False) -> bytes | None:
    """The 32 bytes by which an answer is known, or None where a body is nested too deep to be written again."""
    fields = {name: value for name, value in request.fields.items() if name not in NOT_SHAPING}
    if normalised:
        fields.update(question.replaced(request, lambda text: " ".join(text.split()).casefold()))
    return digest(tenant, request.operation, tier, fields)


def digest(tenant: str, operation: Operation, tier: Tier, fields: Mapping[str, Any]) -> bytes | None:
    """SHA-256 over all four; as one JSON array, so that no part can be mistaken for the beginning of the next."""
    try:
        canonical = orjson.dumps([tenant, operation, tier, fields], option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return None
    return hashlib.sha256(canonical).digest()


class Answer(NamedTuple):
    """A whole answer as JSON, and the wall time at which it was given."""

    body: bytes
    at: float

    def pack(self) -> bytes:
        """For a store: the time in microseconds, then the body as it is."""
        return int(self.at * _MICROSECONDS).to_bytes(_TIME_BYTES, "big") + self.body

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        return cls(packed[_TIME_BYTES:], int.from_bytes(packed[:_TIME_BYTES], "big") / _MICROSECONDS)


class EmbeddedCache:
    """Answers in this process, at most `max_bytes` of them; the least recently used goes first.

    An answer older than `ttl_seconds` is found only by those who ask for a stale one (the fallback ladder, when no
    tier works); being asked for so does not make it recently used, and it stays no longer than there is room.
    """

    __slots__ = ("_answers", "held_bytes", "max_bytes", "ttl_seconds")

    def __init__(self, max_bytes: int, ttl_seconds: float) -> None:
        self.max_bytes = max_bytes
        self.ttl_seconds = ttl_seconds
        self.held_bytes = 0
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: bytes, now: float, *, stale: bool = False) -> Answer | None:
        answer = self._answers.get(key)
        if answer is None:
            return None
        if now - answer.at < self.ttl_seconds:
            self._answers.move_to_end(key)
            return answer
        return answer if stale else None

    def put(self, key: bytes, answer: Answer) -> None:
        """Keeps an answer in place of an older one; one that is larger than all the room is not kept."""
        self.remove(key)
        size = _size(key, answer)
        if size > self.max_bytes:
            return
        self._answers[key] = answer
        self.held_bytes += size
        while self.held_bytes > self.max_bytes:
            self.held_bytes -= _size(*self._answers.popitem(last=False))

    def remove(self, key: bytes) -> None:
        answer = self._answers.pop(key, None)
        if answer is not None:
            self.held_bytes -= _size(key, answer)


def _size(key: bytes, answer: Answer) -> int:
    """Bytes of memory that an entry takes, its objects' headers included."""
    held = sys.getsizeof(key) + sys.getsizeof(answer) + sys.getsizeof(answer.body) + sys.getsizeof(answer.at)
    return held + _SLOT_BYTES
