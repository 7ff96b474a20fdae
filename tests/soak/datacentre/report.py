"""What a soak of the data centre found, as JSON and as a table."""

import dataclasses
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from soak import records
from soak.datacentre.faults import Plan
from soak.datacentre.invariants import Violation
from soak.datacentre.site import Away, Done
from soak.datacentre.watching import Sample
from soak.judging import NAMED, Kind
from soak.records import Record

MOST_VIOLATIONS: Final = 200


@dataclass
class Report:
    """One soak."""

    seed: int
    seconds: float
    rate: float
    plan: Plan
    records: Sequence[Record] = ()
    held_back: int = 0
    done: Sequence[Done] = ()
    away: Sequence[Away] = ()
    samples: Sequence[Sample] = ()
    missed: int = 0
    counts: Sequence[Mapping[str, Any]] = ()
    healed_seconds: float | None = None
    violations: list[Violation] = field(default_factory=list)

    @property
    def named(self) -> int:
        """Failures that policy names."""
        return sum(record.kind in NAMED for record in self.records)

    @property
    def unnamed(self) -> int:
        return sum(record.kind is Kind.WRONG for record in self.records)

    @property
    def faults(self) -> dict[str, int]:
        kinds = [done.kind.value for done in self.done]
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self._document(), indent=1, default=str) + "\n")

    def _document(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "seconds": self.seconds,
            "asks_per_second": self.rate,
            "machine": {"system": platform.platform(), "python": platform.python_version()},
            "passed": not self.violations,
            "violations": [one._asdict() for one in self.violations[:MOST_VIOLATIONS]],
            "asks": len(self.records),
            "held_back": self.held_back,
            "kinds": records.by_kind(self.records),
            "unnamed_failures": self.unnamed,
            "named_failures": self.named,
            "failures": records.failures(self.records),
            "faults": self.faults,
            "done": [one._asdict() for one in self.done],
            "away": [one._asdict() for one in self.away],
            "healed_seconds": self.healed_seconds,
            "plan": dataclasses.asdict(self.plan),
            "counts": list(self.counts),
            "looks": len(self.samples),
            "looks_missed": self.missed,
            "samples": [_row(sample) for sample in self.samples],
        }

    def print(self) -> None:
        table = Table("what", "count", title=f"soak of the data centre: seed {self.seed}, {self.seconds:.0f} s")
        table.add_row("asks", str(len(self.records)))
        for kind, count in records.by_kind(self.records).items():
            table.add_row(f"  {kind}", str(count))
        table.add_row("named failures", str(self.named))
        table.add_row("unnamed failures", str(self.unnamed))
        for kind, count in self.faults.items():
            table.add_row(f"fault: {kind}", str(count))
        table.add_row("looks (missed)", f"{len(self.samples)} ({self.missed})")
        table.add_row("most GPUs", str(max((sample.gpus for sample in self.samples), default=0)))
        table.add_row("changes of the plan", str(max(0, len(self.counts) - 1)))
        table.add_row("violations", str(len(self.violations)))
        Console(width=100).print(table)
        for violation in self.violations[:20]:
            print(f"violated: {violation.invariant}: {violation.sentence}")


def _row(sample: Sample) -> dict[str, Any]:
    """Facts, and what status told only where it differs."""
    different = {name: sample.told.get(name) for name, value in sample.is_.items() if sample.told.get(name) != value}
    return {
        "at": round(sample.at, 2),
        "took": round(sample.took, 2),
        "waited": sample.waited and round(sample.waited, 2),
        "is": dict(sample.is_),
        "told": different,
        "orphans": sorted(sample.orphans),
    }
