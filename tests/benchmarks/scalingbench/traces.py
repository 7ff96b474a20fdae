"""Traces as work by minutes: output tokens + 0.1 x prompt tokens (scaling.md, "Definitions").

A minute without a single request among minutes of hundreds is a gap of the log, which policies do not see as a zero.
"""

import csv
import gzip
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heterofleet.planning.series import DAY
from heterofleet.simulate.fluid import Floats

FOLDER: Final = Path(__file__).parents[2] / "data" / "traces"
MINUTES: Final = FOLDER / "servegen_1min_reconstructed.csv.gz"
TEN_MINUTES: Final = FOLDER / "servegen_10min.csv.gz"
AZURE: Final = FOLDER / "azure2023_conv.csv.gz"

_PROMPT_WEIGHT: Final = 0.1
_BUSY: Final = 100
STARTUP_MINUTES: Final = {"large": 5, "small": 1}


@dataclass(frozen=True)
class Trace:
    """The work of one pool, one value a minute; `seen` is False in gaps of the log."""

    name: str
    work: Floats
    seen: NDArray[np.bool_]
    startup_minutes: int

    @property
    def small(self) -> bool:
        return self.startup_minutes == STARTUP_MINUTES["small"]

    def first(self, days: int) -> "Trace":
        return replace(self, work=self.work[: days * DAY], seen=self.seen[: days * DAY])

    def variants(self) -> tuple["Trace", ...]:
        """The same days backwards, and in another order: what is tuned to a trace does worse on them."""
        days = len(self.work) // DAY
        order = np.random.default_rng(1).permutation(days)
        minutes = (order[:, None] * DAY + np.arange(DAY)).ravel()
        return (
            replace(self, name=f"{self.name}, reversed", work=self.work[::-1].copy(), seen=self.seen[::-1].copy()),
            replace(self, name=f"{self.name}, days shuffled", work=self.work[minutes], seen=self.seen[minutes]),
        )


def minutes(path: Path = MINUTES) -> tuple[Trace, ...]:
    """The pools of a file with the columns model, minute, requests, input_tokens, output_tokens."""
    return tuple(_trace(name, rows, 1) for name, rows in _by_model(path).items())


def ten_minutes(path: Path = TEN_MINUTES) -> tuple[Trace, ...]:
    """The real totals of ten minutes each, as a line through their middles."""
    return tuple(_trace(f"{name}, ten minutes", rows, 10) for name, rows in _by_model(path).items())


def azure(path: Path = AZURE) -> Trace:
    """58 minutes of single requests, by minutes: enough to see that a run works, and no more."""
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    times = np.array([row["timestamp"][:19] for row in rows], dtype="datetime64[s]")
    minute = ((times - times[0]) // np.timedelta64(60, "s")).astype(np.int64)
    tokens = np.array([_tokens(row) for row in rows])
    work = np.bincount(minute, weights=tokens)
    return Trace("azure", work, np.ones(len(work), dtype=np.bool_), STARTUP_MINUTES["large"])


def _by_model(path: Path) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        for row in csv.DictReader(file):
            found.setdefault(row["model"], []).append(row)
    return found


def _trace(name: str, rows: list[dict[str, str]], step: int) -> Trace:
    requests = np.array([float(row["requests"]) for row in rows]) / step
    totals = np.array([_tokens(row) for row in rows]) / step
    middle = float(np.median(requests))
    seen = np.repeat((requests > 0) | (middle < _BUSY), step)
    work = totals
    if step > 1:
        middles = np.arange(len(totals)) * step + step / 2
        work = np.interp(np.arange(len(totals) * step), middles, totals)
    return Trace(name, work, seen, STARTUP_MINUTES["small" if "small" in name else "large"])


def _tokens(row: dict[str, str]) -> float:
    return float(row["output_tokens"]) + _PROMPT_WEIGHT * float(row["input_tokens"])
