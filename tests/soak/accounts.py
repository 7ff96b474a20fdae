"""Holds what routers say they did to what their clients saw: every ask once, with the ending that it had.

Each ask has an id of its own, which stands in the access log of the process that answered it. What a process counts in
its metrics must be what its log holds, and what its log holds must be what clients heard. A client that left may have
been heard or not; a process that was killed may have lost what it had not written for a moment.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from soak.exposition import Exposition
from soak.judging import Kind
from soak.records import Record

UNWRITTEN_SECONDS: Final = 1.0
"""How old a line may be that a killed process took along."""

_ENDINGS: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.RIGHT: frozenset({"ok"}),
    Kind.CACHED: frozenset({"cached"}),
    Kind.REFUSED: frozenset({"client_error", "unauthorised"}),
    Kind.BAD_STREAM: frozenset({"ok", "flawed"}),
    Kind.FLAWED: frozenset({"flawed"}),
    Kind.NO_PLACE: frozenset({"rejected"}),
    Kind.NO_ANSWER: frozenset({"failed"}),
    Kind.CUT_OFF: frozenset({"cut_off"}),
}
"""How a router calls what its client saw; of the other kinds it cannot know."""


class Life(Protocol):
    """One process of a router."""

    name: str
    access_log: Path
    killed_at: float | None


Lines = Mapping[str, Sequence[Mapping[str, Any]]]


def read_log(life: Life) -> list[dict[str, Any]]:
    """The lines of a process's access log; the last of one that was killed may be cut off."""
    lines = life.access_log.read_bytes().split(b"\n")
    whole = lines[:-1] if life.killed_at is not None else [line for line in lines if line]
    return [json.loads(line) for line in whole]


def differences(
    records: Sequence[Record], lives: Sequence[Life], logs: Mapping[str, list[dict[str, Any]]]
) -> list[str]:
    """Every ask of which clients and logs do not say the same, as sentences."""
    by_life: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_life[record.life].append(record)
    found: list[str] = []
    for life in lives:
        lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for line in logs[life.name]:
            lines[line["id"]].append(line)
        found += _of_life(life, by_life[life.name], lines)
    return found


def _of_life(life: Life, records: Sequence[Record], lines: Lines) -> Iterator[str]:
    known = {record.id for record in records}
    yield from (f"{life.name} logs {id_}, which asked elsewhere" for id_ in lines if id_ not in known)
    for record in records:
        logged = lines.get(record.id, ())
        if not logged and not _may_lack(record, life):
            yield f"{life.name} does not log {record.id}, which was {record.kind}"
        elif len(logged) > 1:
            yield f"{life.name} logs {record.id} {len(logged)} times"
        elif logged:
            yield from _of_line(life, record, logged[0])


def _may_lack(record: Record, life: Life) -> bool:
    if record.kind in (Kind.LEFT, Kind.ROUTER_KILLED):
        return True
    return life.killed_at is not None and record.ended >= life.killed_at - UNWRITTEN_SECONDS


def _of_line(life: Life, record: Record, line: Mapping[str, Any]) -> Iterator[str]:
    endings = _ENDINGS.get(record.kind)
    if endings is not None and line["outcome"] not in endings:
        yield f"{life.name} logs {record.id} as {line['outcome']}, its client saw: {record.kind}"
    counted, wanted = line.get("completionTokens"), record.completion_tokens
    if wanted is not None and record.attempts == 1 and counted != wanted:
        yield f"{life.name} counts {counted} tokens for {record.id}, its answer has {wanted}"


def miscounted(life: Life, said: Exposition, log: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where a process's metrics are not what its log holds."""
    requests: Counter[str] = Counter()
    for (_class, outcome, _tier), value in said.of("requests_total").items():
        requests[outcome] += int(value)
    logged = Counter(str(line["outcome"]) for line in log)
    found = [] if requests == logged else [f"{life.name} counts {dict(requests)} and logs {dict(logged)}"]
    for metric, key in (("prompt_tokens_total", "promptTokens"), ("completion_tokens_total", "completionTokens")):
        counted, written = said.sum(metric), sum(line.get(key, 0) for line in log)
        if counted != written:
            found.append(f"{life.name} counts {counted:.0f} in {metric} and logs {written}")
    if said.sum("defects_total"):
        found.append(f"{life.name} counts {said.sum('defects_total'):.0f} defects of its own")
    return found
