"""How /v1/embeddings is answered: at once, since a played embedding takes no time worth a queue."""

import base64
import struct
from collections.abc import Mapping
from typing import Any

from heterofleet.simulate import embedding, text
from heterofleet.simulate.question import Refusal, texts
from heterofleet.simulate.shapes import Identity

_MOST_DIMENSIONS = 4096


def answer(fields: Mapping[str, Any], identity: Identity) -> dict[str, Any]:
    """One vector for each text of the input. Raises Refusal."""
    given = texts(fields.get("input"), "input")
    dimensions = fields.get("dimensions") or embedding.DIMENSIONS
    if not isinstance(dimensions, int) or not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise Refusal(f"dimensions must be between 1 and {_MOST_DIMENSIONS}, got {dimensions}.", param="dimensions")
    written = _base64 if fields.get("encoding_format") == "base64" else list
    data = [
        {"index": index, "object": "embedding", "embedding": written(embedding.vector(one, dimensions))}
        for index, one in enumerate(given)
    ]
    tokens = sum(map(text.count, given))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0, "prompt_tokens_details": None}
    head = {"id": identity.id, "object": "list", "created": identity.created, "model": identity.model}
    return {**head, "data": data, "usage": usage}


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
