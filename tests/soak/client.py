"""Asks, and hears what comes: over connections that are kept or made anew, and that clients may leave early.

An ask goes to the other router only where its connection was refused, so that nothing was sent; whatever happens after
that is the answer, and is judged.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from typing import Final, Protocol

from router import wire
from router.wire import Wire
from soak.asks import Ask
from soak.heard import Heard, How

PATIENCE_SECONDS: Final = 90.0
CONNECT_SECONDS: Final = 5.0
NO_ROUTER_SECONDS: Final = 20.0
_MOST_KEPT: Final = 12
_LONGEST_HEAD: Final = 2**20


class Named(Protocol):
    """A process of a router."""

    name: str


class Door(Protocol):
    """Where a router takes requests."""

    name: str
    host: str
    port: int

    @property
    def life(self) -> Named:
        """The process that listens there now."""
        ...


class Service(Protocol):
    """Chooses where a new connection goes."""

    def pick(self, refused: Collection[str]) -> Door | None:
        """A router that is ready and did not refuse just now; None where there is none."""
        ...


class Client:
    """All clients of the soak; the connections that they keep are shared among them."""

    def __init__(self, service: Service, now: Callable[[], float]) -> None:
        self._service, self._now = service, now
        self._kept: deque[tuple[str, Wire]] = deque()

    async def send(self, ask: Ask) -> Heard:
        """Asks once."""
        heard = Heard(ask, "", self._now())
        connected = await self._connected(ask, heard)
        if connected is None:
            heard.how = How.NO_ROUTER
        else:
            await self._exchange(ask, connected, heard)
        heard.ended = self._now()
        return heard

    def close(self) -> None:
        """Closes the connections that are kept."""
        while self._kept:
            _, kept = self._kept.pop()
            kept.writer.transport.abort()

    async def _connected(self, ask: Ask, heard: Heard) -> Wire | None:
        while ask.keeps and self._kept:
            life, kept = self._kept.pop()
            if not kept.reader.at_eof() and not kept.writer.transport.is_closing():
                heard.life, heard.reused = life, True
                return kept
            kept.writer.transport.abort()
        refused: set[str] = set()
        gives_up = self._now() + NO_ROUTER_SECONDS
        while self._now() < gives_up:
            router = self._service.pick(refused)
            if router is None:
                refused.clear()
                await asyncio.sleep(0.05)
                continue
            try:
                return await self._open(router, heard)
            except (OSError, TimeoutError):
                heard.refused_connections += 1
                refused.add(router.name)
        return None

    async def _open(self, router: Door, heard: Heard) -> Wire:
        heard.life = router.life.name
        async with asyncio.timeout(CONNECT_SECONDS):
            return Wire(*await asyncio.open_connection(router.host, router.port, limit=_LONGEST_HEAD))

    async def _exchange(self, ask: Ask, connected: Wire, heard: Heard) -> None:
        leaving = ask.leaving.seconds if ask.leaving is not None else None
        heard.how = How.BROKEN
        try:
            async with asyncio.timeout(PATIENCE_SECONDS if leaving is None else leaving):
                connected.send(_request(ask))
                await _hear(ask, connected, heard)
        except TimeoutError:
            heard.how = How.SILENT if leaving is None else How.LEFT
        except asyncio.IncompleteReadError as exc:
            heard.detail = f"the connection was closed after {len(heard.body)} bytes and {exc.partial[:80]!r}"
        except OSError as exc:
            heard.detail = f"{type(exc).__name__}: {exc}"
        closes = heard.headers.get("connection", "").lower() == "close"
        if heard.how is How.WHOLE and ask.keeps and not closes and len(self._kept) < _MOST_KEPT:
            self._kept.append((heard.life, connected))
        else:
            connected.writer.transport.abort()


def _request(ask: Ask) -> bytes:
    headers = [f"authorization: Bearer {ask.key}", f"x-request-id: {ask.id}", "content-type: application/json"]
    if not ask.keeps:
        headers.append("connection: close")
    return wire.post(ask.body, *headers, path=ask.path)


async def _hear(ask: Ask, connected: Wire, heard: Heard) -> None:
    heard.status, headers = await connected.head()
    heard.headers = {name.lower(): value for name, value in headers.items()}
    if heard.headers.get("transfer-encoding") != "chunked":
        heard.body = await connected.reader.readexactly(int(heard.headers.get("content-length", "0")))
        heard.how = How.WHOLE
        return
    pieces = 0
    while piece := await connected.piece():
        heard.body += piece
        pieces += 1
        if ask.leaving is not None and ask.leaving.pieces is not None and pieces >= ask.leaving.pieces:
            heard.how = How.LEFT
            return
    heard.how = How.WHOLE
