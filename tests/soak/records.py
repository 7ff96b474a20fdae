"""What is kept of each ask once it was judged."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from heterofleet.api.labels import Tier
from soak import expected
from soak.heard import Heard, How
from soak.judging import NAMED, Kind, Verdict

MOST_SAMPLES: Final = 20


@dataclass(frozen=True)
class Record:
    """One ask and what came of it. `completion_tokens` is what the right answer has, None where none was given."""

    id: str
    life: str
    began: float
    ended: float
    how: How
    status: int
    attempts: int
    kind: Kind
    sentence: str
    refused_connections: int
    reused: bool
    completion_tokens: int | None
    endpoint: str = ""
    """The engine that answered, where one did."""

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id, "router": self.life, "began": round(self.began, 3), "ended": round(self.ended, 3),
            "status": self.status, "attempts": self.attempts, "reused": self.reused, "sentence": self.sentence,
        }  # fmt: skip


def record(heard: Heard, verdict: Verdict, tiers: Mapping[str, Tier]) -> Record:
    """Leaves the answer itself behind."""
    tier = tiers.get(heard.header("endpoint"))
    given = verdict.kind in (Kind.RIGHT, Kind.BAD_STREAM, Kind.FLAWED) and tier is not None
    return Record(
        id=heard.ask.id,
        life=heard.life,
        began=heard.began,
        ended=heard.ended,
        how=heard.how,
        status=heard.status,
        attempts=int(heard.header("attempts") or 0),
        kind=verdict.kind,
        sentence=verdict.sentence,
        refused_connections=heard.refused_connections,
        reused=heard.reused,
        completion_tokens=expected.answer(heard.ask, tier).completion_tokens if given and tier else None,
        endpoint=heard.header("endpoint"),
    )


def by_kind(records: Sequence[Record]) -> dict[str, int]:
    counts = Counter(found.kind for found in records)
    return {kind.value: counts[kind] for kind in Kind if counts[kind]}


def failures(records: Sequence[Record]) -> dict[str, Any]:
    """Every kind of failure: how many, what was said how often, and some of them whole."""
    found: dict[str, Any] = {}
    for kind in (*sorted(NAMED), Kind.WRONG):
        own = [one for one in records if one.kind is kind]
        if own:
            found[kind.value] = {
                "count": len(own),
                "sentences": dict(Counter(one.sentence for one in own).most_common(MOST_SAMPLES)),
                "samples": [one.to_json() for one in own[:MOST_SAMPLES]],
            }
    return found
