"""What may go wrong with a played engine, and for which request.

A share of the requests that generate meets each fault, drawn by a seeded die; the rest is answered. Beside them stand
the faults of the whole engine: slow, mute, unreachable, starting again.
"""

import random
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Fault(StrEnum):
    """What one request meets."""

    ERROR = "error"  # 500 in OpenAI's envelope
    BUSY = "busy"  # 429 with Retry-After
    CLOSE = "close"  # the connection closes before the first byte
    CUT = "cut"  # it closes half-way through the answer
    STALL = "stall"  # the answer stops half-way and the connection stays open
    GARBAGE = "garbage"  # what comes is not JSON
    BAD_SSE = "bad_sse"  # a stream whose events are not framed as such; without a stream, garbage
    HUGE = "huge"  # an answer of `huge_bytes`


class Faults(BaseModel):
    """What POST /sim/faults takes; what is left out is healthy.

    `slow` makes every step so many times longer. `mute` is an engine whose ranks are dead: /health says 200, and who
    wants to generate gets 500. For `refuse_seconds` nothing listens. `load_seconds` makes it load anew.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    shares: Mapping[Fault, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    slow: float = Field(default=1.0, gt=0)
    mute: bool = False
    refuse_seconds: float = Field(default=0.0, ge=0, le=3600)
    load_seconds: float = Field(default=0.0, ge=0, le=86_400)
    stall_seconds: float = Field(default=3600.0, ge=0)
    huge_bytes: int = Field(default=8 * 2**20, ge=0, le=2**30)
    seed: int = 0

    @model_validator(mode="after")
    def _shares_are_parts(self) -> Self:
        if sum(self.shares.values()) > 1 + 1e-9:
            raise ValueError("shares: their sum is above 1")
        return self


class Die:
    """Draws the fault of each request, the same ones for the same seed."""

    def __init__(self, faults: Faults) -> None:
        self._shares = tuple((fault, share) for fault, share in faults.shares.items() if share)
        self._random = random.Random(faults.seed)  # noqa: S311  it draws faults, it guards nothing

    def throw(self) -> Fault | None:
        """What the next request meets; None is an answer."""
        if not self._shares:
            return None
        drawn = self._random.random()
        for fault, share in self._shares:
            if drawn < share:
                return fault
            drawn -= share
        return None
