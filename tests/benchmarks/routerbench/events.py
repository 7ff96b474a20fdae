"""The stream that every engine plays: pure, so that whoever reads it knows byte by byte what must come.

One event carries one token, as vLLM writes them; the usage comes last, and only for those who asked for it.
"""

import json
from typing import Any, Final

HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
DONE: Final = b"data: [DONE]\n\n"
LAST_CHUNK: Final = b"0\r\n\r\n"


def token(number: int) -> bytes:
    """The event of the `number`th token."""
    return _event({"choices": [{"index": 0, "delta": {"content": f" word{number}"}, "finish_reason": None}]})


def finish() -> bytes:
    """The event that says why the answer ends."""
    return _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})


def usage(tokens: int) -> bytes:
    """The event that says how many tokens there were."""
    counts = {"prompt_tokens": 220, "completion_tokens": tokens, "total_tokens": 220 + tokens}
    return _event({"choices": [], "usage": counts})


def whole(tokens: int) -> bytes:
    """What a client that does not ask for the usage must get."""
    return b"".join(map(token, range(tokens))) + finish() + DONE


def chunked(data: bytes) -> bytes:
    """One chunk of HTTP's transfer coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def unchunked(data: bytes) -> bytes | None:
    """What a whole body in chunks says; None when it is cut short."""
    parts: list[bytes] = []
    at = 0
    while (line := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(data[line + 2 : line + 2 + size])
        at = line + 2 + size + 2
    return None


def _event(fields: dict[str, Any]) -> bytes:
    told = {"id": "chatcmpl-7f3a", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "engine"}
    return b"data: " + json.dumps(told | fields, separators=(",", ":")).encode() + b"\n\n"
