"""Engines that do exactly what a test says, byte by byte, and remember what they were sent."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from router.until import until

Write = Callable[[bytes], None]


@dataclass
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value


Script = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Engine:
    """Listens on loopback; `script` answers each request. `gone` counts clients that left while it was answering."""

    script: Script
    port: int = 0
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    gone: int = 0
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def key(self) -> str:
        return f"127.0.0.1:{self.port}"

    def drop(self) -> None:
        """Closes every connection at once."""
        for writer in list(self.open):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.add(writer)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    received = await _read(reader)
                    self.received.append(received)
                    await self._answer(received, reader, writer)
        finally:
            self.open.discard(writer)
            writer.transport.abort()

    async def _answer(self, received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering = asyncio.ensure_future(self.script(received, writer))
        leaving = asyncio.ensure_future(_left(reader))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                self.gone += 1
        finally:
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
        if answering.done() and not answering.cancelled():
            answering.result()
        if reader.at_eof() or writer.transport.is_closing():
            raise ConnectionError


async def _left(reader: asyncio.StreamReader) -> None:
    """Ends when the client has gone; nothing is read, since it sends nothing before its answer."""
    await until(lambda: reader.at_eof() or reader.exception() is not None)


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().removesuffix("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(first.split()[1], headers, body)


@contextlib.asynccontextmanager
async def engine(script: Script) -> AsyncIterator[Engine]:
    made = Engine(script)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        made.drop()
        await until(lambda: not made.open)
        await server.wait_closed()


def whole(status: int, body: bytes, *headers: str, content_type: str = "application/json") -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status} Status", f"content-type: {content_type}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"


def piece(data: bytes) -> bytes:
    """A piece of a chunked answer."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST = b"0\r\n\r\n"


def event(fields: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"


def delta(text: str, finish: str | None = None) -> bytes:
    """One event of a chat stream."""
    return event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                  "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})  # fmt: skip


def usage(prompt: int, completion: int) -> bytes:
    """The event that ends a stream whose usage was asked for."""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
                  "usage": counts})  # fmt: skip


DONE = b"data: [DONE]\n\n"


def chat(text: str, *, prompt: int = 7, completion: int = 3, finish: str = "stop") -> bytes:
    """The body of a whole chat answer."""
    return json.dumps({
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
    }).encode()  # fmt: skip


def says(text: str, **more: Any) -> Script:
    """An engine that gives this answer, whole or streamed as asked."""

    async def script(received: Received, writer: asyncio.StreamWriter) -> None:
        fields = received.fields if received.body else {}
        if not fields.get("stream"):
            writer.write(whole(200, chat(text, **more)))
            return
        writer.write(STREAM_HEAD)
        for word in text.split(" "):
            writer.write(piece(delta(word)))
        writer.write(piece(delta("", "stop")))
        if (fields.get("stream_options") or {}).get("include_usage"):
            writer.write(piece(usage(7, 3)))
        writer.write(piece(DONE) + LAST)

    return script


def writes(*pieces: bytes, close: bool = False) -> Script:
    """An engine that writes just this, and closes or keeps the connection."""

    async def script(_received: Received, writer: asyncio.StreamWriter) -> None:
        for data in pieces:
            writer.write(data)
            await writer.drain()
        if close:
            writer.close()

    return script


def stalls(*pieces: bytes) -> Script:
    """An engine that writes this and then nothing more."""

    async def script(_received: Received, writer: asyncio.StreamWriter) -> None:
        for data in pieces:
            writer.write(data)
        await asyncio.Event().wait()

    return script
