"""Whether answers are right: a client that asks one after the other and looks at every byte that comes."""

import http.client
import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from benchmarks.routerbench import bodies

REQUESTS: Final = 1000
_PATH: Final = "/v1/chat/completions"


class Sample(NamedTuple):
    """How many were asked, how many answers said what the engines say, and how many were the engines' very bytes."""

    asked: int
    right: int
    untouched: int


def ask(port: int, sent: Sequence[str], requests: int = REQUESTS) -> Sample:
    """Send so many requests over one connection."""
    right = untouched = 0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        for number in range(requests):
            connection.request("POST", _PATH, sent[number % len(sent)].encode(), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
            right += answer.status == 200 and is_right(body)
            untouched += body == bodies.ANSWER.encode()
    finally:
        connection.close()
    return Sample(requests, right, untouched)


def is_right(body: bytes) -> bool:
    """Whether an answer says what the engines say; peers write it anew and may add fields."""
    try:
        fields: Any = json.loads(body)
        choice, usage = fields["choices"][0], fields["usage"]
        said = (choice["message"]["content"], choice["finish_reason"], {name: usage[name] for name in bodies.USAGE})
    except (ValueError, LookupError, TypeError):
        return False
    return said == (bodies.ANSWER_TEXT, "stop", bodies.USAGE)
