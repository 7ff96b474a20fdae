"""Requests a second: every system in turn, round after round, each checked against what it says itself."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.routerbench import sampled, wrk
from benchmarks.routerbench.ours import Counted, Ours
from benchmarks.routerbench.rows import Row
from benchmarks.routerbench.systems import Running
from benchmarks.routerbench.wrk import Load, Taken


class Entrant(NamedTuple):
    """A system with what it is sent. `ours`: what can be asked of it beside, where it is a router of ours."""

    name: str
    running: Running
    load: Load
    sample: Sequence[str]
    ours: Ours | None = None
    sample_requests: int = sampled.REQUESTS


def compete(program: Path, entrants: Sequence[Entrant], rounds: int, say: Callable[[str], None]) -> dict[str, Row]:
    """The rows by name. Entrants run in turn within a round, so that what comes and goes meets all of them alike."""
    runs: dict[str, list[Taken]] = {entrant.name: [] for entrant in entrants}
    faults: dict[str, list[str]] = {entrant.name: _sample_faults(entrant) for entrant in entrants}
    for number in range(rounds):
        for entrant in entrants:
            before = _counted(entrant)
            taken = wrk.drive(program, entrant.running.port, entrant.load, entrant.running.cpu_seconds)
            runs[entrant.name].append(taken)
            faults[entrant.name] += count_faults(before, _counted(entrant), taken.sent)
            say(f"round {number + 1}: {entrant.name} {taken.per_second:,.0f}/s, {taken.cpu_us:.1f} us CPU a request")
    return {name: Row(name, tuple(taken), tuple(faults[name])) for name, taken in runs.items()}


def count_faults(before: Counted | None, after: Counted | None, sent: int) -> list[str]:
    """Where a router's own counts are not what was sent to it."""
    if before is None or after is None:
        return []
    found = after.since(before)
    faults = []
    if found.offered != sent:
        faults.append(f"{sent} requests were sent and {found.offered} counted as offered")
    if found.good != sent or found.others:
        faults.append(f"of {sent} requests {found.good} ended well, others {dict(found.others)}")
    return faults


def _sample_faults(entrant: Entrant) -> list[str]:
    before = _counted(entrant)
    found = sampled.ask(entrant.running.port, entrant.sample, entrant.sample_requests)
    faults = count_faults(before, _counted(entrant), found.asked)
    if found.right != found.asked:
        faults.append(f"{found.asked - found.right} of {found.asked} answers were not the engines'")
    if entrant.ours is not None and found.untouched != found.asked:
        faults.append(f"{found.asked - found.untouched} of {found.asked} answers were not passed on byte by byte")
    return faults


def _counted(entrant: Entrant) -> Counted | None:
    return None if entrant.ours is None else entrant.ours.counted()
