"""Asks other ranks and the engine over HTTP, each from a thread of its own that keeps the last answer.

Whoever reads an answer never waits: a name server, a peer or an engine that hangs delays its own thread alone.
"""

from __future__ import annotations

import http.client
import json
import math
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

from .group import Report, View
from .settings import Settings

PEER_SECONDS = 3.0
HEALTH_SECONDS = 5.0
HEALTH_POLLS = 5
"""A proven engine is asked every so many polls: each question is a line in its log."""
GENERATION_SECONDS = 300.0
"""The first generation may compile kernels."""
ANSWER_BYTES = 1 << 20
FAILURES = (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, AttributeError)
"""Every way in which an address does not give the answer that was asked for."""


def request(
    address: tuple[str, int], path: str, timeout: float, body: object | None = None, headers: Mapping[str, str] = {}
) -> Any:
    """GETs, or POSTs a JSON body, and returns the answer's JSON (None where it is empty); fails unless it is a 200."""
    connection = http.client.HTTPConnection(*address, timeout=timeout)
    try:
        connection.request(
            "GET" if body is None else "POST", path, None if body is None else json.dumps(body), dict(headers)
        )
        response = connection.getresponse()
        answer = response.read(ANSWER_BYTES)
        if response.status != 200:
            raise OSError(f"{path} answered {response.status} {answer[:200].decode(errors='replace')}".rstrip())
        return json.loads(answer or b"null")
    finally:
        connection.close()


class Peer:
    """Follows one other rank."""

    def __init__(self, settings: Settings, index: int) -> None:
        self._settings, self._index = settings, index
        self._report: Report | None = None
        self._heard = -math.inf
        self._silent_since: float | None = None
        self._address: str | None = None
        self.last_address = ""
        threading.Thread(target=self._follow, daemon=True).start()

    def view(self) -> View:
        now, silent_since = time.monotonic(), self._silent_since
        return View(self._report, now - self._heard, 0.0 if silent_since is None else now - silent_since)

    def _follow(self) -> None:
        while True:
            try:
                self._report = self._ask()
                self._heard, self._silent_since = time.monotonic(), None
            except FAILURES:
                self._address = None
                self._silent_since = self._silent_since or time.monotonic()
            time.sleep(self._settings.poll_seconds)

    def _ask(self) -> Report:
        """Keeps an address while it answers, so that a name server's hiccup does not make a living peer look lost."""
        host, port = self._settings.peers[self._index]
        if self._address is None:
            self._address = str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
        path = f"/epoch?from={self._settings.index}"
        # One question that hangs must not use up the patience with a peer.
        timeout = min(PEER_SECONDS, self._settings.limits.lost_seconds / 4)
        report = Report.from_json(request((self._address, port), path, timeout))
        if (report.group, report.index) != (self._settings.group, self._index):
            raise ValueError("another pod has this address now")
        self.last_address = self._address
        return report


class Engine:
    """Follows the leader's engine: is it healthy now, and has it generated since this start?

    /health alone lies after a rank has died and where kernels cannot be compiled; only a generation proves it, and
    once is enough: a probe behind real work would take a loaded engine out.
    """

    def __init__(self, settings: Settings, key: str | None) -> None:
        self._settings = settings
        self._headers = {"Content-Type": "application/json"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self.healthy = False
        self.proven = False
        self.sentence = "the engine has not been asked yet"
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        while True:
            try:
                request(self._settings.engine, "/health", HEALTH_SECONDS)
                self.healthy = True
                if not self.proven:
                    self._generate()
                self.proven, self.sentence = True, ""
            except FAILURES as error:
                self.healthy, self.sentence = False, f"the engine does not answer: {error}"
            rests = HEALTH_POLLS if self.healthy and self.proven else 1
            time.sleep(rests * self._settings.poll_seconds)

    def _generate(self) -> None:
        body = {"model": self._settings.served_model, "prompt": "1", "max_tokens": 1, "temperature": 0}
        answer = request(self._settings.engine, "/v1/completions", GENERATION_SECONDS, body, self._headers)
        if not answer["choices"]:
            raise ValueError("a generation has no choices")
