"""A plain HTTP client of the test cluster's API server: a few milliseconds a call, where kubectl needs a process.

Paths are the API's own (``/api/v1/namespaces/x/pods``), objects are plain dicts. Tests use it to look and to play
the people around a fleet; the product has its own client.
"""

import http.client
import json
import ssl
import threading
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Manifest = dict[str, Any]

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


class ApiError(Exception):
    """The API server refused; ``status`` is the HTTP status, the message is the server's own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


@dataclass
class Api:
    """Calls to one API server with a client certificate or a bearer token; one connection a thread."""

    host: str
    port: int
    authority: Path
    certificate: Path | None = None
    key: Path | None = None
    token: str | None = None
    _local: threading.local = field(default_factory=threading.local, repr=False)
    _opened: list[http.client.HTTPSConnection] = field(default_factory=list, repr=False)

    def as_bearer(self, token: str) -> "Api":
        """The same server, seen by whoever the token names; closed with this one."""
        return Api(host=self.host, port=self.port, authority=self.authority, token=token, _opened=self._opened)

    def get(self, path: str, **parameters: str) -> Manifest:
        """Read an object or a list; query parameters such as ``labelSelector`` by name."""
        return self.call("GET", path, parameters=parameters)

    def items(self, path: str, **parameters: str) -> list[Manifest]:
        """The objects of a list."""
        listed: list[Manifest] = self.get(path, **parameters)["items"]
        return listed

    def find(self, path: str) -> Manifest | None:
        """An object, or None where there is none."""
        try:
            return self.get(path)
        except ApiError as exc:
            if exc.status == http.HTTPStatus.NOT_FOUND:
                return None
            raise

    def create(self, path: str, body: Manifest, **parameters: str) -> Manifest:
        """Create an object in the collection ``path``."""
        return self.call("POST", path, body=body, parameters=parameters)

    def merge(self, path: str, body: Manifest, **parameters: str) -> Manifest:
        """Merge-patch an object: null removes a key, lists are replaced."""
        return self.call("PATCH", path, body=body, content_type=MERGE, parameters=parameters)

    def apply(self, path: str, body: Manifest, manager: str, *, force: bool = False) -> Manifest:
        """Server-side apply under a field manager's name."""
        parameters = {"fieldManager": manager, "force": str(force).lower()}
        return self.call("PATCH", path, body=body, content_type=APPLY, parameters=parameters)

    def delete(self, path: str, **parameters: str) -> None:
        """Delete an object; that it is gone already is no error."""
        try:
            self.call("DELETE", path, parameters=parameters)
        except ApiError as exc:
            if exc.status != http.HTTPStatus.NOT_FOUND:
                raise

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Manifest | list[Manifest] | None = None,
        content_type: str = "application/json",
        parameters: Mapping[str, str] | None = None,
    ) -> Manifest:
        """One request; ApiError for every status of 400 and above."""
        target = f"{path}?{urllib.parse.urlencode(parameters)}" if parameters else path
        status, text = self._exchange(method, target, json.dumps(body) if body is not None else None, content_type)
        if status >= http.HTTPStatus.BAD_REQUEST:
            raise ApiError(status, _message(text))
        answer: Manifest = json.loads(text) if text.startswith("{") else {"text": text}
        return answer

    def close(self) -> None:
        """Close every connection of every thread; a thread's opens again with its next call."""
        for connection in self._opened:
            connection.close()

    def _exchange(self, method: str, target: str, body: str | None, content_type: str) -> tuple[int, str]:
        connection = self._connection()
        kept = connection.sock is not None
        try:
            return self._once(method, target, body, content_type)
        except (http.client.HTTPException, OSError):
            # A kept connection that the server closed meanwhile (it was restarted, say) fails at the next use.
            if not kept:
                raise
            return self._once(method, target, body, content_type)

    def _once(self, method: str, target: str, body: str | None, content_type: str) -> tuple[int, str]:
        connection = self._connection()
        headers = {"Accept": "application/json", "Content-Type": content_type}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            connection.request(method, target, body=body, headers=headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (http.client.HTTPException, OSError):
            connection.close()  # A connection that failed half way refuses every later request.
            raise

    def _connection(self) -> http.client.HTTPSConnection:
        kept: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if kept is None:
            trust = ssl.create_default_context(cafile=str(self.authority))
            # kwokctl's authority lacks key identifiers, which Python >= 3.13 asks for by default.
            trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if self.certificate is not None:
                trust.load_cert_chain(self.certificate, self.key)
            kept = http.client.HTTPSConnection(self.host, self.port, timeout=30, context=trust)
            self._local.connection = kept
            self._opened.append(kept)
        return kept


def _message(text: str) -> str:
    try:
        parsed = json.loads(text)
    except ValueError:
        return text
    return str(parsed.get("message", text)) if isinstance(parsed, dict) else text
