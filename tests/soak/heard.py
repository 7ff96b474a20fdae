"""What came of an ask, as its client saw it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from soak.asks import Ask


class How(StrEnum):
    """How the exchange ended on the wire."""

    WHOLE = "whole"
    LEFT = "left"  # the client went, as it was to
    BROKEN = "broken"  # the connection ended before the answer did
    SILENT = "silent"  # no end came in the client's time
    NO_ROUTER = "no router"  # none was ready to be asked


@dataclass
class Heard:
    """`life` names the router process that was asked; times are the loop's."""

    ask: Ask
    life: str
    began: float
    how: How = How.WHOLE
    ended: float = 0.0
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    detail: str = ""
    refused_connections: int = 0
    reused: bool = False
    """Whether its connection had carried another ask before."""

    def header(self, name: str) -> str:
        """One of the router's own headers, empty where it is not there."""
        return self.headers.get(f"x-heterofleet-{name}", "")
