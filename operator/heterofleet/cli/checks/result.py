"""What a check says: how good things are, in a sentence, and what to do where they are not."""

from collections.abc import Awaitable, Callable, Iterable
from enum import StrEnum
from typing import NamedTuple

from heterofleet.cli.access import Api


class Verdict(StrEnum):
    """A failure keeps fleets from running; a warning takes something away from them."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Result(NamedTuple):
    subject: str
    verdict: Verdict
    finding: str
    advice: str = ""


class Question(NamedTuple):
    """What every check is given."""

    api: Api
    namespace: str


Check = Callable[[Question], Awaitable[Iterable[Result]]]
