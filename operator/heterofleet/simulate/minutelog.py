"""The log of a simulation: one row a minute, policy and tier, to be read by other programs.

Rates are work tokens a second, `waiting` work tokens at the end of the minute. Forecasts and reasons are the product's,
and empty for other policies; `offered` is empty where the trace does not know it.
"""

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from heterofleet.api.labels import Tier
from heterofleet.simulate import study
from heterofleet.simulate.study import Case, Outcome
from heterofleet.simulate.trace import MINUTE_SECONDS, Floats
from heterofleet.simulate.tracefile import MissingReader

COLUMNS: Final = (
    "time", "policy", "tier", "offered", "forecast_expected", "forecast_upper", "capacity", "served", "waiting",
    "delay_seconds", "violating", "ready", "booting", "draining", "gpus", "decided_by",
)  # fmt: skip


def write_csv(path: Path, case: Case, outcomes: Sequence[Outcome]) -> None:
    """Write the log as packed CSV."""
    # No name and no time in the header, so that the same seed gives the same bytes.
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
        file = io.TextIOWrapper(packed, encoding="utf-8", newline="")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for columns in _blocks(case, outcomes):
            writer.writerows(zip(*columns, strict=True))
        file.flush()
        file.detach()


def write_parquet(path: Path, case: Case, outcomes: Sequence[Outcome]) -> None:
    """Write the log as Parquet. Raises MissingReader without pyarrow."""
    try:
        import pyarrow  # noqa: PLC0415  an extra, and slow to load
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as exc:
        raise MissingReader("pyarrow is not installed: pip install 'heterofleet[parquet]'") from exc
    tables = [pyarrow.table(dict(zip(COLUMNS, columns, strict=True))) for columns in _blocks(case, outcomes)]
    parquet.write_table(pyarrow.concat_tables(tables, promote_options="permissive"), path)


def _blocks(case: Case, outcomes: Sequence[Outcome]) -> Iterator[list[list[Any]]]:
    """Columns of each policy and tier."""
    minutes = case.load.minutes
    times = [(case.trace.start + timedelta(minutes=minute)).isoformat() for minute in range(minutes)]
    for outcome in outcomes:
        for tier in case.pools:
            yield [times, [str(outcome.choice)] * minutes, [str(tier)] * minutes, *_series(case, outcome, tier)]


def _series(case: Case, outcome: Outcome, tier: Tier) -> Iterator[list[Any]]:
    track, pool, story = outcome.run.tracks[tier], case.pools[tier], outcome.story
    minutes = case.load.minutes
    offered = np.where(case.load.seen[tier], track.arrived, np.nan) / MINUTE_SECONDS
    nothing = np.full(minutes, np.nan)
    yield _known(offered)
    yield _known(nothing if story is None else story.foreseen[tier].expected)
    yield _known(nothing if story is None else story.foreseen[tier].upper)
    yield _known(track.ready * pool.capacity / MINUTE_SECONDS)
    yield _known(track.served / MINUTE_SECONDS)
    yield _known(track.waiting)
    yield _known(study.delay_seconds(outcome.run, tier))
    yield track.violating.astype(int).tolist()
    yield track.ready.tolist()
    yield track.booting.tolist()
    yield track.draining.tolist()
    yield (track.held * track.gpus).tolist()
    yield [None] * minutes if story is None else list(story.reasons[tier])


def _known(values: Floats) -> list[float | None]:
    rounded = np.round(values, 3)
    return [value if value == value else None for value in rounded.tolist()]  # noqa: PLR0124  NaN is not itself
