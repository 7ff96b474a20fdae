"""Serves the probes and the peers, from memory, with a bound on threads and on each request's time."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

THREADS = 64
"""A leader of the largest group is asked by each worker once a second."""


class Answer(NamedTuple):
    status: int
    body: Mapping[str, Any]


Respond = Callable[[str, Mapping[str, str]], Answer]
"""From a path and its query to the answer; it must not wait."""


class Server(socketserver.ThreadingTCPServer):
    """Beyond its bound it hangs up, which the kubelet and the peers take for a failure and ask again."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], respond: Respond) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.respond = respond
        self._slots = threading.BoundedSemaphore(THREADS)
        super().__init__(address, Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class Handler(BaseHTTPRequestHandler):
    timeout = 5
    server: Server

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        answer = self.server.respond(target.path, dict(parse_qsl(target.query)))
        content = json.dumps(answer.body).encode() + b"\n"
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Probes would fill the engine's log."""
