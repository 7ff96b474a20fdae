"""Keeps what a Prometheus may do to the operator within bounds: the size of an answer, and the time for all of it.

`requests` bounds only the wait for the next bytes, so that a server that sends one of them each second would hold a
thread for ever; and it reads whatever comes into memory. This stands below prometheus-api-client, as the adapter of
its session.

    AnswerError(requests.RequestException)
    ├── TooLargeError    more bytes than may be, unpacked
    ├── TooLateError     not whole in time
    └── StatusError      an answer, but not 200

    SecretError(ValueError)    a file that should hold a token or a password holds something else
"""

import base64
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth

from heterofleet.metrics.source import Source

_CHUNK: Final = 65_536
_LONGEST_EXCERPT: Final = 300


class AnswerError(requests.RequestException):
    """The answer cannot be used."""


class TooLargeError(AnswerError):
    """More bytes than may be."""


class TooLateError(AnswerError):
    """Not whole in time."""


class StatusError(AnswerError):
    """An answer that says no; `excerpt` is the beginning of what it says."""

    def __init__(self, status: int, excerpt: str) -> None:
        super().__init__(f"{status}: {excerpt}")
        self.status, self.excerpt = status, excerpt


class SecretError(ValueError):
    """The content of a file cannot be sent; its text is in no message."""


class BoundedAdapter(HTTPAdapter):
    """Reads answers whole, within bounds, before anybody sees them."""

    def __init__(self, source: Source, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(pool_connections=1, pool_maxsize=source.threads)
        self._source, self._clock = source, clock

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        deadline = self._clock() + self._source.timeout_seconds
        response = super().send(request, *args, **{**kwargs, "stream": True, "timeout": self._source.timeout_seconds})
        try:
            body = self._read(response, deadline)
        except BaseException:
            response.close()
            raise
        if response.status_code != 200:
            raise StatusError(response.status_code, _excerpt(body, request))
        response.raw = io.BytesIO(body)
        return response

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        body = bytearray()
        # read1 gives what has come; read would wait until a whole chunk is there, however slowly.
        while piece := response.raw.read1(_CHUNK, decode_content=True):
            body += piece
            if len(body) > self._source.largest_answer_bytes:
                raise TooLargeError(f"more than {self._source.largest_answer_bytes} bytes")
            if self._clock() > deadline:
                raise TooLateError(f"not whole within {self._source.timeout_seconds:g} s")
        return bytes(body)


def _excerpt(body: bytes, request: requests.PreparedRequest) -> str:
    """The beginning of a refusal, for status and log, without the credentials: some proxies repeat what they got."""
    text = body.decode(errors="replace")
    for word in filter(None, _sent(str(request.headers.get("Authorization", "")))):
        text = text.replace(word, "…")
    return text[:_LONGEST_EXCERPT]


def _sent(authorization: str) -> Iterator[str]:
    """What must not be told of such a header: the token, or the pair and the password in it."""
    scheme, _, told = authorization.partition(" ")
    if scheme == "Basic":
        yield base64.b64decode(told).decode("latin-1").partition(":")[2]
    yield told


def session(source: Source) -> requests.Session:
    """A session that trusts what the source says, and nothing of the process's environment."""
    made = requests.Session()
    made.trust_env = False
    made.verify = not source.insecure_skip_verify if source.ca_file is None else str(source.ca_file)
    made.auth = credentials(source)
    return made


def credentials(source: Source) -> AuthBase | None:
    """What a question carries; None where it carries nothing."""
    if source.token_file is not None:
        return Bearer(source.token_file)
    if source.password_file is not None:
        return Basic(source.username, source.password_file)
    return None


class Bearer(AuthBase):
    """A token in a file, which whoever mounts it may exchange at any time."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {_secret(self._file)}"
        return request


class Basic(AuthBase):
    """A name, and its password in a file."""

    def __init__(self, username: str, file: Path) -> None:
        self._username, self._file = username, file

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        HTTPBasicAuth(self._username, _secret(self._file))(request)
        return request


def _secret(file: Path) -> str:
    """What a file holds, without the line's end that editors put there."""
    content = file.read_bytes().strip()
    if not content.isascii() or not content.decode("ascii").isprintable():
        raise SecretError(f"{file} does not hold one line of printable characters")
    return content.decode("ascii")
