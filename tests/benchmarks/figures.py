"""Figures of a benchmark: kept with their targets, printed as a table, written as JSON."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Figure:
    """One figure; `target` None where there is none. `runs` are its minimum, median and maximum.

    `invalid` says why it does not count, where what it was made of did not pass the benchmark's own checks.
    """

    name: str
    value: float
    unit: str
    target: float | None
    better: Better = "lower"
    runs: tuple[float, float, float] | None = None
    invalid: str | None = None

    @property
    def met(self) -> bool:
        if self.invalid is not None:
            return False
        if self.target is None:
            return True
        return self.value <= self.target if self.better == "lower" else self.value >= self.target


@dataclass(frozen=True)
class Breakdown:
    """What figures were made of, as a table."""

    title: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]

    def table(self) -> Table:
        """For people; the first column names, the others hold numbers or reasons."""
        table = Table(title=self.title)
        for place, column in enumerate(self.columns):
            table.add_column(column, justify="right" if place else "left")
        for line in self.lines:
            table.add_row(*line)
        return table


@dataclass
class Report:
    """The figures of one benchmark, in the order in which they were taken."""

    name: str
    commands: list[str]
    notes: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    breakdowns: list[Breakdown] = field(default_factory=list)

    def add(
        self, name: str, value: float, unit: str, target: float | None, samples: Sequence[float] = (),
        better: Better = "lower", invalid: str | None = None,
    ) -> None:  # fmt: skip
        runs = (min(samples), statistics.median(samples), max(samples)) if samples else None
        self.figures.append(Figure(name, value, unit, target, better, runs, invalid))

    def write(self, folder: Path) -> Path:
        """Write the JSON and print the table; gives the file."""
        path = folder / f"{self.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self._document(), indent=2) + "\n")
        self._print()
        return path

    def _document(self) -> dict[str, Any]:
        return {
            "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
            "commands": self.commands,
            "notes": self.notes,
            "figures": {
                figure.name: {
                    "value": round(figure.value, 4),
                    "unit": figure.unit,
                    "target": figure.target,
                    "better": figure.better,
                    "met": figure.met,
                    "runs": [round(v, 4) for v in figure.runs] if figure.runs else None,
                    **({"invalid": figure.invalid} if figure.invalid is not None else {}),
                }
                for figure in self.figures
            },
            "breakdowns": {
                breakdown.title: [dict(zip(breakdown.columns, line, strict=True)) for line in breakdown.lines]
                for breakdown in self.breakdowns
            },
        }

    def _print(self) -> None:
        table = Table(title=f"bench {self.name}")
        for column in ("figure", "value", "target", "met", "min", "median", "max"):
            table.add_column(column, justify="left" if column == "figure" else "right")
        for figure in self.figures:
            spread = [f"{value:.3g}" for value in figure.runs] if figure.runs else ["", "", ""]
            target = "" if figure.target is None else f"{figure.target:g}"
            met = "yes" if figure.met else "NO" if figure.invalid is None else "INVALID"
            table.add_row(figure.name, f"{figure.value:.4g} {figure.unit}", target, met, *spread)
        console = Console(width=110)
        for breakdown in self.breakdowns:
            console.print(breakdown.table())
        console.print(table)
        for note in self.notes:
            console.print(f" {note}", markup=False)


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` of all do not exceed (nearest rank)."""
    ordered = sorted(samples)
    rank = max(1, -(-int(len(ordered) * share * 1000) // 1000))
    return ordered[min(len(ordered), rank) - 1]
