"""Whether a question was asked before in other words: the semantic cache of the large tier.

Two requests are compared by meaning only where all else is equal: tenant, operation, tier and every field but the text
of the last user message make up the *scope*, by digest. Within a scope the unit vectors of the questions stand as the
rows of one matrix, and the nearest is

    argmax(matrix @ vector), a hit where that cosine similarity reaches the threshold

Similar questions may want different answers ("in 2023", "in 2024"), so a share of the hits is answered anew all the
same and compared: `Verification` tells how many were false. The embedding of a question is the caller's exchange with
the configured endpoint. numpy is imported with the first index, since most routers have none and it takes 12 MB.
"""

import math
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from heterofleet.api.labels import Tier
from heterofleet.router import cache, question
from heterofleet.router.cache import Answer
from heterofleet.router.openai import Request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

ROWS_PER_SCOPE: Final = 4096
"""Questions compared at once: with 1,024 dimensions 16 MB are read, in some 1.5 ms of the event loop."""

_FIRST_ROWS: Final = 8
# Lengths whose squares are neither zero nor infinite.
_SHORTEST, _LONGEST = 1e-100, 1e100
# The entry, its node in the order of use, and its place in the scope's list.
_ENTRY_BYTES: Final = 400
_SCOPE_BYTES: Final = 700


class InvalidEmbedding(ValueError):
    """What the endpoint answered is no embedding."""


def embedding_request(text: str, model: str) -> bytes:
    """The body for /v1/embeddings."""
    return orjson.dumps({"model": model, "input": text, "encoding_format": "float"})


def parse_embedding(body: bytes) -> list[float]:
    """The vector in the answer of /v1/embeddings. Raises InvalidEmbedding."""
    try:
        vector = orjson.loads(body)["data"][0]["embedding"]
        values = [float(value) for value in vector]
    except (ValueError, KeyError, IndexError, TypeError) as exc:
        raise InvalidEmbedding("the embedding endpoint's answer holds no data[0].embedding of numbers") from exc
    if not _SHORTEST < math.hypot(*values) < _LONGEST:
        raise InvalidEmbedding("the embedding endpoint's answer has no direction: it is empty, zero or not finite")
    return values


def scope(request: Request, *, tenant: str, tier: Tier) -> bytes | None:
    """The digest of all but the question; None where there is no question, or the body cannot be digested."""
    if not question.text(request).strip():
        return None
    fields = {name: value for name, value in request.fields.items() if name not in cache.NOT_SHAPING}
    fields.update(question.replaced(request, lambda _: ""))
    return cache.digest(tenant, request.operation, tier, fields)


class Near(NamedTuple):
    """A question that was asked before: how similar it is (cosine), and what was answered."""

    similarity: float
    answer: Answer


class _Entry:
    """One question: a row of its scope's matrix, and the answer."""

    __slots__ = ("answer", "row", "scope", "size")

    def __init__(self, scope: "_Scope", row: int, answer: Answer) -> None:
        self.scope, self.row, self.answer = scope, row, answer
        self.size = _ENTRY_BYTES + sys.getsizeof(answer.body)


class _Scope:
    """The questions of one scope: row i of the matrix is entries[i]; rows beyond are room to grow into."""

    __slots__ = ("entries", "key", "matrix", "oldest")

    def __init__(self, key: tuple[bytes, int], matrix: "Matrix") -> None:
        self.key, self.matrix = key, matrix
        self.oldest = math.inf
        self.entries: list[_Entry] = []

    @property
    def size(self) -> int:
        return _SCOPE_BYTES + self.matrix.nbytes

    def append(self, vector: "Matrix", answer: Answer) -> _Entry:
        row = len(self.entries)
        if row == len(self.matrix):
            self._resize(2 * row)
        self.matrix[row] = vector
        entry = _Entry(self, row, answer)
        self.entries.append(entry)
        self.oldest = min(self.oldest, answer.at)
        return entry

    def older_than(self, time: float) -> list[_Entry]:
        """The entries that were answered at `time` or before."""
        if self.oldest > time:
            return []
        self.oldest = min((entry.answer.at for entry in self.entries if entry.answer.at > time), default=math.inf)
        return [entry for entry in self.entries if entry.answer.at <= time]

    def remove(self, entry: _Entry) -> None:
        """The last row takes the place of the removed one, so that rows stay dense."""
        last = self.entries.pop()
        if last is not entry:
            self.matrix[entry.row] = self.matrix[last.row]
            last.row = entry.row
            self.entries[entry.row] = last
        if len(self.matrix) > _FIRST_ROWS and len(self.entries) <= len(self.matrix) // 4:
            self._resize(max(_FIRST_ROWS, len(self.matrix) // 2))

    def _resize(self, rows: int) -> None:
        # In place; no view of the matrix outlives a call.
        self.matrix.resize((rows, self.matrix.shape[1]), refcheck=False)


class SemanticIndex:
    """Questions and answers in this process, `max_bytes` at most; the least recently used goes first.

    Vectors of one embedding model only: whoever changes the model makes a new index.
    """

    def __init__(self, *, threshold: float, ttl_seconds: float, max_bytes: int) -> None:
        import numpy  # noqa: PLC0415  loaded only where a semantic cache is configured

        self.threshold, self.ttl_seconds, self.max_bytes = threshold, ttl_seconds, max_bytes
        self.held_bytes = 0
        self._numpy = numpy
        self._scopes: dict[tuple[bytes, int], _Scope] = {}
        self._used: OrderedDict[_Entry, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used)

    def nearest(self, scope: bytes, vector: Sequence[float], now: float) -> Near | None:
        """The most similar question of the scope, where it is similar enough and its answer young enough."""
        found = self._scopes.get((scope, len(vector)))
        if found is None:
            return None
        for entry in found.older_than(now - self.ttl_seconds):
            self._remove(entry)
        if not found.entries:
            return None
        similarities = found.matrix[: len(found.entries)] @ self._unit(vector)
        best = int(similarities.argmax())
        # Rounding takes two equal vectors a little beyond 1.
        similarity = min(1.0, float(similarities[best]))
        if similarity < self.threshold:
            return None
        entry = found.entries[best]
        self._used.move_to_end(entry)
        return Near(similarity, entry.answer)

    def put(self, scope: bytes, vector: Sequence[float], answer: Answer) -> None:
        """Keeps an answer for questions near the vector; what is larger than all the room is not kept."""
        key = (scope, len(vector))
        unit = self._unit(vector)
        found = self._scopes.get(key)
        if found is None:
            found = _Scope(key, self._numpy.empty((_FIRST_ROWS, len(vector)), dtype=self._numpy.float32))
            self._scopes[key] = found
            self.held_bytes += found.size
        elif len(found.entries) >= ROWS_PER_SCOPE:
            self._remove(min(found.entries, key=lambda entry: entry.answer.at))
        before = found.size
        entry = found.append(unit, answer)
        self.held_bytes += found.size - before + entry.size
        self._used[entry] = None
        while self.held_bytes > self.max_bytes:
            self._remove(next(iter(self._used)))

    def _remove(self, entry: _Entry) -> None:
        scope = entry.scope
        self.held_bytes -= entry.size + scope.size
        del self._used[entry]
        scope.remove(entry)
        if scope.entries:
            self.held_bytes += scope.size
        else:
            del self._scopes[scope.key]

    def _unit(self, vector: Sequence[float]) -> "Matrix":
        given = self._numpy.asarray(vector, dtype=self._numpy.float64)
        return (given / self._numpy.linalg.norm(given)).astype(self._numpy.float32)


class Verification:
    """Which hits are answered anew, and how many of those were false; every n-th and not by chance, so it is exact."""

    __slots__ = ("false", "hits", "share", "verified")

    def __init__(self, share: float) -> None:
        self.share = share
        self.hits = self.verified = self.false = 0

    def due(self) -> bool:
        """Counts a hit; whether it is one of the share that is answered anew."""
        before = math.floor(self.hits * self.share)
        self.hits += 1
        return math.floor(self.hits * self.share) > before

    def note(self, kept: str, fresh: str, similarity: Callable[[str, str], float], threshold: float) -> bool:
        """Compares a kept answer with the fresh one; whether the hit was false."""
        false = similarity(kept, fresh) < threshold
        self.verified += 1
        self.false += false
        return false
