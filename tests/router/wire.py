"""Speaks HTTP byte by byte, as well-behaved clients never would."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple

from heterofleet.api.policy import Limits
from heterofleet.router import openai
from heterofleet.router.inbound import Front, Handler, RefusedInput


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """One connection to a server on loopback."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> Answer:
        """The next whole answer."""
        status, headers = await self.head()
        if headers.get("transfer-encoding") == "chunked":
            pieces = []
            while piece := await self.piece():
                pieces.append(piece)
            return Answer(status, headers, b"".join(pieces))
        length = int(headers.get("content-length", "0"))
        return Answer(status, headers, await self.reader.readexactly(length))

    async def head(self) -> tuple[int, dict[str, str]]:
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = text.removesuffix("\r\n\r\n").split("\r\n")
        return int(first.split()[1]), dict(line.split(": ", 1) for line in lines)

    async def piece(self) -> bytes:
        """The next piece of a chunked answer; empty at its end."""
        size = int((await self.reader.readuntil(b"\r\n")).strip(), 16)
        return (await self.reader.readexactly(size + 2))[:size]

    async def closed(self) -> bytes:
        """What still came before the server closed."""
        with contextlib.suppress(ConnectionError):
            return await self.reader.read()
        return b""

    async def leave(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    wire = Wire(reader, writer)
    try:
        yield wire
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def front(handler: Handler, limits: Limits | None = None) -> AsyncIterator[tuple[Front, int]]:
    """A listening front with `handler`; what goes wrong inside fails the test."""
    defects: list[BaseException] = []
    made = Front(handler, limits or Limits(), _refusal, defects.append)
    port = await made.listen("127.0.0.1", 0)
    try:
        yield made, port
    finally:
        await made.drain(0)
    assert defects == []


def _refusal(refused: RefusedInput) -> bytes:
    return openai.error_body(refused.sentence, "invalid_request_error")


def post(body: bytes, *headers: str, path: str = "/v1/chat/completions") -> bytes:
    """A request as a sound client sends it."""
    lines = [f"POST {path} HTTP/1.1", "host: router", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
