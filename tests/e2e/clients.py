"""Clients of the fleet's address: so many at once, and what became of everything that they asked, by kind.

A client whose connection is not made has sent nothing and tries again, as every client of a Service must; whatever
happens after that is the outcome. Connections are kept where the router keeps them.
"""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import aiohttp

CLIENTS: Final = 6
PAUSE_SECONDS: Final = 0.25
MOST: Final = 20_000
"""Requests of one load."""
_CONNECT_SECONDS: Final = 2.0
_UNREACHED_SECONDS: Final = 30.0
_PATIENCE_SECONDS: Final = 60.0
_MODELS: Final = ("plan", "act", "auto")


class Kind(StrEnum):
    """What a request came to. All but the first are failures that a client sees."""

    ANSWERED = "answered"
    UNREACHED = "no connection was made"
    BROKEN = "the connection ended before the answer did"
    SILENT = "no answer came in the client's time"
    REFUSED = "an error with its sentence"
    CUT_OFF = "a stream that ended with an error"
    NOT_WHOLE = "an answer that is not whole"


@dataclass(frozen=True)
class Outcome:
    """One request. Times are of the clock on the wall; `sentence` is what a failure said."""

    id: str
    model: str
    stream: bool
    began: float
    ended: float
    kind: Kind
    tier: str = ""
    degraded: bool = False
    refused_connections: int = 0
    sentence: str = ""

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "kind": self.kind.name, "began": round(self.began, 2), "ended": round(self.ended, 2)}


@dataclass
class Load:
    """What was asked so far."""

    outcomes: list[Outcome] = field(default_factory=list)

    def failures(self, named: Collection[Kind] = ()) -> list[dict[str, Any]]:
        """Those that are none of the kinds that policy names."""
        return [one.to_json() for one in self.outcomes if one.kind is not Kind.ANSWERED and one.kind not in named]

    def summary(self) -> dict[str, Any]:
        seconds = sorted(one.ended - one.began for one in self.outcomes)
        named = [one.to_json() for one in self.outcomes if one.kind is not Kind.ANSWERED]
        return {
            "requests": len(self.outcomes),
            "by_kind": Counter(one.kind.name for one in self.outcomes),
            "answered_by": Counter(one.tier for one in self.outcomes if one.kind is Kind.ANSWERED),
            "degraded": sum(one.degraded for one in self.outcomes),
            "refused_connections": sum(one.refused_connections for one in self.outcomes),
            "longest_seconds": round(seconds[-1], 2) if seconds else 0,
            "p99_seconds": round(seconds[int(len(seconds) * 0.99)], 2) if seconds else 0,
            "failures": named[:20],
        }


@contextlib.asynccontextmanager
async def asking(url: str) -> AsyncIterator[Load]:
    """Clients that ask for the duration of a block; at its end they finish what is under way."""
    load, over = Load(), asyncio.Event()
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_PATIENCE_SECONDS)
    async with aiohttp.ClientSession(url, timeout=timeout) as session, asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(_client(session, number, load, over), name=f"client {number}")
        try:
            yield load
        finally:
            over.set()


async def _client(session: aiohttp.ClientSession, number: int, load: Load, over: asyncio.Event) -> None:
    for turn in range(MOST // CLIENTS):
        load.outcomes.append(
            await _ask(session, f"c{number}-{turn}", _MODELS[turn % 3], stream=(turn + number) % 2 == 0)
        )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), PAUSE_SECONDS)
        if over.is_set():
            return


async def _ask(session: aiohttp.ClientSession, id_: str, model: str, *, stream: bool) -> Outcome:
    messages = [{"role": "user", "content": f"Count the {number_of(id_)} steps. [[tokens=24]]"}]
    asked = {"model": model, "messages": messages, "stream": stream}
    began, refused, head = time.time(), 0, {}
    while True:
        try:
            async with session.post("/v1/chat/completions", json=asked, headers={"x-request-id": id_}) as answer:
                head = dict(answer.headers)
                kind, sentence = judged(answer.status, await answer.read(), stream=stream)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as exc:
            refused += 1
            if time.time() - began < _UNREACHED_SECONDS:
                await asyncio.sleep(0.1)
                continue
            kind, sentence = Kind.UNREACHED, repr(exc)
        except TimeoutError as exc:
            kind, sentence = Kind.SILENT, repr(exc)
        except aiohttp.ClientError as exc:
            kind, sentence = Kind.BROKEN, repr(exc)
        tier, degraded = head.get("x-heterofleet-tier", ""), "x-heterofleet-degraded" in head
        return Outcome(id_, model, stream, began, time.time(), kind, tier, degraded, refused, sentence[:300])


def number_of(id_: str) -> int:
    """So that questions differ and no cache answers."""
    return int(id_.rpartition("-")[2])


def judged(status: int, body: bytes, *, stream: bool) -> tuple[Kind, str]:
    """The kind of an answer, and what it says where it is none."""
    text = body.decode(errors="replace")
    if status != 200:
        return Kind.REFUSED, f"{status} {text}"
    if not stream:
        return (Kind.ANSWERED, "") if _finished(json.loads(text)) else (Kind.NOT_WHOLE, text[-200:])
    events = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    if events and events[-1].startswith('{"error"'):
        return Kind.CUT_OFF, events[-1]
    whole = events[-1:] == ["[DONE]"] and any(_finished(json.loads(event)) for event in events[:-1])
    return (Kind.ANSWERED, "") if whole else (Kind.NOT_WHOLE, text[-200:])


def _finished(said: dict[str, Any]) -> bool:
    return any(choice.get("finish_reason") for choice in said["choices"])
