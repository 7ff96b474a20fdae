"""Open-loop latency: requests leave at moments drawn beforehand, whether or not earlier ones have been answered.

A request's time runs from the moment it was meant to leave, so that whatever holds later ones back counts for them (a
closed loop would leave them out). The gaps are exponential: a Poisson process of a fixed seed, the same for every
system. One thread writes and reads raw sockets; what it and the engines need itself is in the direct way's latency.
"""

import collections
import ctypes
import gc
import random
import select
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

CONNECTIONS: Final = 256
_READ: Final = 65_536
_SET_TIMER_SLACK: Final = 29
_LAST_ANSWERS_SECONDS: Final = 5.0


class Latencies(NamedTuple):
    """Seconds from when a request was meant to leave to the last byte of its answer; answers that were wrong."""

    seconds: list[float]
    errors: int


def measure(port: int, bodies: Sequence[str], rate: float, seconds: float, seed: int = 3) -> Latencies:
    """Send `rate` requests a second in the mean. Raises TimeoutError when answers stay away."""
    client = _Client(port, [request_of(body) for body in bodies])
    _sleep_exactly()
    gc.collect()
    gc.disable()
    try:
        return client.run(list(departures(rate, seconds, seed)))
    finally:
        gc.enable()
        client.close()


def departures(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """When requests are to leave, in seconds from the start."""
    chance = random.Random(seed)
    at = chance.expovariate(rate)
    while at < seconds:
        yield at
        at += chance.expovariate(rate)


def request_of(body: str) -> bytes:
    """The bytes of one request on a connection that is kept."""
    data = body.encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: router\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def missing(answer: bytes) -> int:
    """Bytes of an answer that have not come yet; 0 when it is whole. Raises ValueError for one without a length."""
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return 1
    fields = answer[:head].lower()
    at = fields.find(b"\r\ncontent-length:")
    if at < 0:
        raise ValueError("an answer without Content-Length")
    length = int(fields[at + 17 :].split(b"\r\n", 1)[0])
    return max(0, head + 4 + length - len(answer))


class _Client:
    """Connections, those that are free first in the order in which they became so."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self._requests = requests
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._meant: dict[int, float] = {}
        self._answers: dict[int, bytes] = {}
        self._free: collections.deque[int] = collections.deque()
        for _ in range(CONNECTIONS):
            connected = socket.create_connection(("127.0.0.1", port))
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.setblocking(False)
            self._epoll.register(connected, select.EPOLLIN)
            self._sockets[connected.fileno()] = connected
            self._free.append(connected.fileno())

    def run(self, meant: list[float]) -> Latencies:
        found = Latencies([], 0)
        errors, sent, now = 0, 0, time.perf_counter
        began = now()
        ends = began + meant[-1] + _LAST_ANSWERS_SECONDS
        while sent < len(meant) or self._meant:
            at = now()
            while sent < len(meant) and began + meant[sent] <= at and self._free:
                self._send(self._free.popleft(), self._requests[sent % len(self._requests)], began + meant[sent])
                sent += 1
            if at > ends:
                raise TimeoutError(f"{len(self._meant)} answers have not come")
            due = began + meant[sent] if sent < len(meant) and self._free else at + 0.1
            # An epoll of its own can only wait whole milliseconds; select can wait for it, and to the microsecond.
            select.select([self._epoll], [], [], max(0.0, due - now()))
            for descriptor, _ in self._epoll.poll(0):
                errors += self._read(descriptor, found.seconds)
        return found._replace(errors=errors)

    def _send(self, descriptor: int, request: bytes, meant: float) -> None:
        self._meant[descriptor], self._answers[descriptor] = meant, b""
        if self._sockets[descriptor].send(request) != len(request):
            raise RuntimeError("a request did not fit into an empty socket")

    def _read(self, descriptor: int, seconds: list[float]) -> bool:
        data = self._sockets[descriptor].recv(_READ)
        if not data:
            raise ConnectionError("a connection was closed under way")
        answer = self._answers[descriptor] + data
        self._answers[descriptor] = answer
        if missing(answer):
            return False
        seconds.append(time.perf_counter() - self._meant.pop(descriptor))
        self._free.append(descriptor)
        return not answer.startswith(b"HTTP/1.1 200 ")

    def close(self) -> None:
        for connected in self._sockets.values():
            connected.close()
        self._epoll.close()


def _sleep_exactly() -> None:
    """Let this thread's timers end when they are due, not up to 50 microseconds later as Linux does unless told."""
    ctypes.CDLL(None).prctl(_SET_TIMER_SLACK, 1, 0, 0, 0)
