"""What was done to engines and when, so that a failure can be held to what policy says of it."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Trouble(StrEnum):
    """What can be wrong with an engine."""

    KILLED = "killed"
    REFUSES = "refuses"
    MUTE = "mute"
    SLOW = "slow"
    ERROR = "error"
    BUSY = "busy"
    CLOSE = "close"
    CUT = "cut"
    STALL = "stall"
    GARBAGE = "garbage"
    BAD_SSE = "bad_sse"


BREAKS_STREAMS: Final = frozenset(
    {Trouble.KILLED, Trouble.SLOW, Trouble.CUT, Trouble.STALL, Trouble.GARBAGE, Trouble.BAD_SSE}
)
"""What can end a stream that has begun; a slow engine does where its pieces come further apart than a stall."""


@dataclass
class Episode:
    """One trouble of one engine; `until` is infinite while it lasts."""

    engine: str
    trouble: Trouble
    since: float
    until: float = math.inf


class History:
    """All episodes of a soak."""

    def __init__(self) -> None:
        self.episodes: list[Episode] = []

    def begin(self, engine: str, trouble: Trouble, now: float) -> Episode:
        episode = Episode(engine, trouble, now)
        self.episodes.append(episode)
        return episode

    def troubled(self, engines: Collection[str], since: float, until: float) -> set[Trouble]:
        """What any of these engines went through between the two times."""
        return {
            episode.trouble
            for episode in self.episodes
            if episode.engine in engines and episode.since <= until and episode.until >= since
        }
