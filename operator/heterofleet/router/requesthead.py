"""The bytes that are sent to an engine: a head of our own, and the client's body as it came.

Only what an engine needs is passed on of the client's headers: its key stays here, hop-by-hop headers end here, and a
header that an engine does not know cannot smuggle anything.
"""

from collections.abc import Mapping
from typing import Final

from heterofleet.router import splice
from heterofleet.router.openai import Operation, Request

PASSED_ON: Final = (b"traceparent", b"tracestate", b"user-agent", b"accept")
_PATHS: Final = {
    Operation.CHAT: b"/v1/chat/completions",
    Operation.COMPLETIONS: b"/v1/completions",
    Operation.RESPONSES: b"/v1/responses",
    Operation.EMBEDDINGS: b"/v1/embeddings",
}
_STREAMED: Final = (Operation.CHAT, Operation.COMPLETIONS)
_USAGE: Final = b'"stream_options":{"include_usage":true}'


def head_tail(headers: Mapping[bytes, bytes], request_id: bytes, engine_key: bytes | None) -> bytes:
    """The lines of the head that are the same for every attempt of a request."""
    lines = [b"content-type: application/json\r\nx-request-id: ", request_id, b"\r\n"]
    for name in PASSED_ON:
        value = headers.get(name)
        if value is not None:
            lines += (name, b": ", value, b"\r\n")
    if engine_key is not None:
        lines += (b"authorization: Bearer ", engine_key, b"\r\n")
    return b"".join(lines)


def whole(operation: Operation, endpoint_head: bytes, tail: bytes, body: bytes) -> bytes:
    """Head and body. `endpoint_head` is the Host line of `endpoints.Endpoint.head`."""
    return b"POST %b HTTP/1.1%b%bcontent-length: %d\r\n\r\n%b" % (
        _PATHS[operation],
        endpoint_head,
        tail,
        len(body),
        body,
    )


def with_usage(request: Request, body: bytes) -> bytes:
    """The body with a stream's usage asked for, since money is counted in tokens."""
    if not request.stream or request.wants_usage or request.operation not in _STREAMED:
        return body
    options = request.fields.get("stream_options")
    if options is None and "stream_options" not in request.fields:
        start = body.index(b"{") + 1
        comma = b"," if request.fields else b""
        return b"%b%b%b%b" % (body[:start], _USAGE, comma, body[start:])
    kept = options if isinstance(options, Mapping) else {}
    return splice.put(body, request.fields, {"stream_options": {**kept, "include_usage": True}})
