"""What a soak found, as JSON and as a table; `violations` are the sentences for which it has failed."""

import dataclasses
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from soak import memory, records
from soak.judging import NAMED, Kind
from soak.records import Record
from soak.routers import Life
from soak.sampling import Sample
from soak.schedule import Schedule

MOST_NAMED_SHARE: Final = 0.1
"""Of a soak in which more asks fail, however well that is named, nothing is learned."""

MOST_VIOLATIONS: Final = 200


@dataclass
class Report:
    """One soak."""

    seed: int
    seconds: float
    rate: float
    schedule: Schedule
    records: Sequence[Record] = ()
    held_back: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    lives: Sequence[Life] = ()
    samples: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    @property
    def unnamed(self) -> int:
        """Failures that no policy names."""
        return sum(record.kind is Kind.WRONG for record in self.records)

    @property
    def named(self) -> int:
        return sum(record.kind in NAMED for record in self.records)

    def judge_as_a_whole(self) -> None:
        """Adds what is wrong with the soak beyond its single asks."""
        self.violations += [f"{one.id} at {one.life}: {one.sentence}" for one in self.records if one.kind is Kind.WRONG]
        if self.named > MOST_NAMED_SHARE * max(1, len(self.records)):
            self.violations.append(f"{self.named} of {len(self.records)} asks failed, as policy names it")
        for life, growth in self.growths().items():
            if growth > memory.MOST_MB:
                self.violations.append(f"{life} grew by {growth:.1f} MB after its warm-up")
        self.violations += [f"{life.name} ended with {life.process.returncode}" for life in self.lives if life.died]

    def growths(self) -> dict[str, float]:
        """Growth of each process that lived long enough to tell, in megabytes."""
        found = {life: memory.growth_mb(samples) for life, samples in self.samples.items()}
        return {life: growth for life, growth in found.items() if growth is not None}

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self._document(), indent=1) + "\n")

    def _document(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "seconds": self.seconds,
            "asks_per_second": self.rate,
            "machine": {"system": platform.platform(), "python": platform.python_version()},
            "passed": not self.violations,
            "violations": self.violations[:MOST_VIOLATIONS],
            "asks": len(self.records),
            "held_back": self.held_back,
            "kinds": records.by_kind(self.records),
            "unnamed_failures": self.unnamed,
            "named_failures": self.named,
            "failures": records.failures(self.records),
            "refused_connections": sum(record.refused_connections for record in self.records),
            "faults": dict(self.faults),
            "memory": {
                "rule": f"median of the last {memory.LAST} samples - median of the first {memory.LAST} after warm-up"
                f" <= {memory.MOST_MB} MB",
                "growth_mb": {life: round(growth, 2) for life, growth in self.growths().items()},
            },
            "routers": [_life(life) for life in self.lives],
            "schedule": dataclasses.asdict(self.schedule),
            "samples": {life: _columns(samples) for life, samples in self.samples.items()},
        }

    def print(self) -> None:
        table = Table("what", "count", title=f"soak of the router: seed {self.seed}, {self.seconds:.0f} s")
        table.add_row("asks", str(len(self.records)))
        for kind, count in records.by_kind(self.records).items():
            table.add_row(f"  {kind}", str(count))
        table.add_row("named failures", str(self.named))
        table.add_row("unnamed failures", str(self.unnamed))
        for kind, count in sorted(self.faults.items()):
            table.add_row(f"fault: {kind}", str(count))
        for life, growth in list(self.growths().items())[-4:]:
            table.add_row(f"growth of {life}, MB", f"{growth:.1f}")
        Console(width=100).print(table)
        for violation in self.violations[:20]:
            print(f"violated: {violation}")


def _life(life: Life) -> dict[str, Any]:
    return {
        "name": life.name,
        "began": round(life.began, 2),
        "terminated_at": life.leaving_at and round(life.leaving_at, 2),
        "killed_at": life.killed_at and round(life.killed_at, 2),
        "exit_code": life.process.returncode,
    }


def _columns(samples: Sequence[Sample]) -> dict[str, list[Any]]:
    """A curve a column, which is a quarter as long as a row a sample."""
    rows = [dataclasses.asdict(sample) for sample in samples]
    return {name: [row[name] for row in rows] for name in rows[0]}
