"""Rows of a trace as a file has them -> minutes of both classes, or a sentence that says what to write instead.

The columns are those of public traces:

    time       `minute` or `t_sec` (counted from the trace's begin), or `timestamp` (ISO 8601, or seconds since 1970)
    tokens     `input_tokens`, `output_tokens`
    requests   how many; a row without this column is one request
    class      `class` or `model`, mapped to plan and act; without one, requests are dealt out by a share

Counted rows (with `requests`) stand at a fixed step of whole minutes; a step that has no row is not known. Of single
requests every minute between the first and the last is known; these two, which may be parts, are left out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from heterofleet.api.routing import RequestClass
from heterofleet.simulate.trace import DAY_MINUTES, EPOCH, MINUTE_SECONDS, Floats, InvalidTrace, Span, Trace, Traffic

TIMES: Final = ("timestamp", "t_sec", "minute")
CLASSES: Final = ("class", "model")
_COUNTS: Final = ("input_tokens", "output_tokens")

LONGEST_DAYS: Final = 100
"""Of a trace; what is longer is more likely a wrong unit of time."""

_FEW_MINUTES: Final = 10
"""Of which none is left out."""

_NAMED: Final = {"large": RequestClass.PLAN, "small": RequestClass.ACT}
"""Pools of public traces are called m-large and m-small."""

_EPOCH_1970: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of text. `first_line` is where the first row stands in its file, for sentences."""

    columns: Mapping[str, Sequence[str]]
    first_line: int = 2

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def at(self, row: int) -> str:
        return f"line {row + self.first_line}"


@dataclass(frozen=True, slots=True)
class Reading:
    """How rows are to be read: classes by the names of the file, the share that plans where it names none."""

    classes: Mapping[str, RequestClass] = field(default_factory=dict)
    plan_share: float | None = None
    time_zone: str = "UTC"
    seed: int = 0


class _Rows(NamedTuple):
    """Rows by minute from `start`; `lengths` is how many minutes each row covers, 0 for a single request."""

    start: datetime
    minutes: NDArray[np.int64]
    length: int
    counts: Mapping[str, Floats]


def of(table: Table, reading: Reading) -> Trace:
    """The trace that the rows tell. Raises InvalidTrace."""
    _refuse_columns(table)
    counts = {name: _counts(table, name) for name in _COUNTS}
    single = "requests" not in table.columns
    counts["requests"] = np.ones(len(table)) if single else _counts(table, "requests")
    start, seconds, remarks = _times(table, reading)
    members = _members(table, reading, single=single)
    _refuse_order(table, seconds, members)
    step = 0 if single else _step(table, seconds, members)
    rows = _Rows(start, np.floor(seconds / MINUTE_SECONDS).astype(np.int64), step // MINUTE_SECONDS, counts)
    trace = _trace(rows, members, [*remarks, *_remarks(step, members)])
    # Nobody knows how much of the first and the last minute of a log of requests was recorded.
    return trace.part(Span(1, trace.minutes - 1)) if single and trace.minutes > _FEW_MINUTES else trace


def _refuse_columns(table: Table) -> None:
    names = list(table.columns)
    if not names or not len(table):
        raise InvalidTrace(f"there is no row: a trace has a line of column names ({', '.join(_wanted())}) and rows")
    missing = [name for name in _COUNTS if name not in names]
    if not any(name in names for name in TIMES):
        missing.insert(0, "timestamp (or minute, or t_sec)")
    if missing:
        raise InvalidTrace(
            f"no column {', '.join(missing)}; there are {', '.join(names)}: name the columns {', '.join(_wanted())}"
        )


def _wanted() -> tuple[str, ...]:
    return ("timestamp", *_COUNTS, "and requests and class where you have them")


def _counts(table: Table, name: str) -> Floats:
    """A column of numbers that are not below 0. Raises InvalidTrace with the first line that has another."""
    values = _numbers(table, name)
    if (values < 0).any():
        row = int((values < 0).argmax())
        raise InvalidTrace(
            f"{table.at(row)}: {name} is {table.columns[name][row].strip()}, and nobody asks for less than nothing;"
            " write what came in that time, not the difference to the row before"
        )
    return values


def _numbers(table: Table, name: str) -> Floats:
    """A column of numbers. Raises InvalidTrace with the first line that has none."""
    cells = table.columns[name]
    try:
        values = np.array(cells, dtype=np.str_).astype(np.float64)
    except ValueError:
        values = np.array([_number(cell) for cell in cells])
    wrong = ~np.isfinite(values)
    if wrong.any():
        row = int(wrong.argmax())
        raise InvalidTrace(
            f"{table.at(row)}: {name} is {cells[row].strip() or 'empty'}, not a number; leave the row out where it is"
            " not known: a minute without a row counts as not known"
        )
    return values


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _times(table: Table, reading: Reading) -> tuple[datetime, Floats, list[str]]:
    """When the trace begins, and the rows' seconds from there."""
    name = next(name for name in TIMES if name in table.columns)
    cells = table.columns[name]
    numeric = name != "timestamp" or not math.isnan(_number(cells[0]))
    if numeric:
        seconds = _numbers(table, name) * (MINUTE_SECONDS if name == "minute" else 1)
        remarks, begin = [], EPOCH
        if name == "timestamp":
            begin = _EPOCH_1970
        else:
            remarks = [f"{name} tells no date: the trace begins on {EPOCH:%A, %Y-%m-%d} at 00:00 UTC"]
    else:
        moments, remarks = _moments(table, cells, reading.time_zone)
        begin, seconds = _EPOCH_1970, moments
    first = math.floor(float(seconds.min()) / MINUTE_SECONDS) * MINUTE_SECONDS
    if float(seconds.max()) - first > LONGEST_DAYS * DAY_MINUTES * MINUTE_SECONDS:
        raise InvalidTrace(
            f"the rows span more than {LONGEST_DAYS} days: {name} is to be in"
            f" {'minutes' if name == 'minute' else 'seconds'}, and a trace is to be shorter"
        )
    try:
        return begin + timedelta(seconds=first), seconds - first, remarks
    except OverflowError as exc:
        raise InvalidTrace(f"{name} {cells[0]} is after the year 9999: write seconds since 1970") from exc


def _moments(table: Table, cells: Sequence[str], time_zone: str) -> tuple[Floats, list[str]]:
    """Seconds since 1970. All rows must have a zone, or none of them."""
    zone = ZoneInfo(time_zone)
    found = np.empty(len(cells))
    bare = 0
    for row, cell in enumerate(cells):
        try:
            moment = datetime.fromisoformat(cell.strip())
        except ValueError as exc:
            raise InvalidTrace(
                f"{table.at(row)}: timestamp {cell!r} is no time; write it as 2026-01-31T08:30:00+01:00 (ISO 8601), or"
                " as seconds since 1970"
            ) from exc
        if moment.tzinfo is None:
            bare += 1
            moment = moment.replace(tzinfo=zone)
        found[row] = moment.timestamp()
        if 0 < bare < row + 1:
            raise InvalidTrace(
                f"{table.at(row)}: some timestamps have a time zone and some have none; write all of them with one,"
                " such as 2026-01-31T08:30:00+01:00"
            )
    return found, [f"the timestamps have no time zone and are taken for {time_zone}"] if bare else []


Members = Mapping[RequestClass, Floats]
"""Which part of each row is of a class: 0 or 1, or the share that plans."""


def _members(table: Table, reading: Reading, *, single: bool) -> Members:
    name = next((name for name in CLASSES if name in table.columns), None)
    if name is None:
        return _dealt(len(table), reading, single=single)
    if reading.plan_share is not None:
        raise InvalidTrace(f"column {name} says who plans: leave --plan-share out, or take the column out")
    cells = np.array(table.columns[name], dtype=np.str_)
    asked = {label: _class(str(label), reading.classes, name) for label in np.unique(cells)}
    return {each: np.isin(cells, [label for label in asked if asked[label] is each]).astype(float)
            for each in RequestClass}  # fmt: skip


def _class(label: str, classes: Mapping[str, RequestClass], column: str) -> RequestClass:
    if label in classes:
        return classes[label]
    if label in tuple(RequestClass):
        return RequestClass(label)
    suffix = label.rpartition("-")[2]
    if suffix not in _NAMED:
        raise InvalidTrace(
            f"{column} {label or '(empty)'} is of no known class: say which with --class {label or 'NAME'}=plan"
            f" or --class {label or 'NAME'}=act"
        )
    return _NAMED[suffix]


def _dealt(rows: int, reading: Reading, *, single: bool) -> Members:
    """Requests of a trace without classes, drawn by chance; of counted rows the share itself."""
    if reading.plan_share is None:
        raise InvalidTrace(
            "no column class or model says which requests plan: add one, or say with --plan-share 0.2 which share does"
        )
    plan = np.full(rows, reading.plan_share)
    if single:
        plan = (np.random.default_rng(reading.seed).random(rows) < reading.plan_share).astype(float)
    return {RequestClass.PLAN: plan, RequestClass.ACT: 1.0 - plan}


def _refuse_order(table: Table, seconds: Floats, members: Members) -> None:
    for member in members.values():
        rows = np.flatnonzero(member)
        back = np.diff(seconds[rows]) < 0
        if back.any():
            row = int(rows[int(back.argmax()) + 1])
            raise InvalidTrace(
                f"{table.at(row)}: its time is before that of the row above; sort the rows of a class by time, and"
                " write times with their offset from UTC where clocks were changed"
            )


def _step(table: Table, seconds: Floats, members: Members) -> int:
    """Seconds that each counted row covers: a whole number of minutes, or a whole part of one."""
    steps: set[float] = set()
    for member in members.values():
        rows = np.flatnonzero(member)
        apart = np.diff(seconds[rows])
        if (apart == 0).any():
            row = int(rows[int((apart == 0).argmax()) + 1])
            raise InvalidTrace(f"{table.at(row)}: a second row of this class at the same time; write their sum in one")
        steps |= {float(each) for each in np.unique(apart)}
    if not steps:
        raise InvalidTrace("one row alone does not say how much time it covers: a trace has a row for each minute")
    step = min(steps)
    uneven = [each for each in steps if abs(each / step - round(each / step)) > 1e-6]
    whole = step % MINUTE_SECONDS == 0 if step >= MINUTE_SECONDS else MINUTE_SECONDS % step == 0
    if uneven or not whole:
        raise InvalidTrace(
            f"rows stand {step:g} s and {max(uneven or steps):g} s apart: write one row for each minute, or for each"
            " so many whole minutes"
        )
    return int(max(step, MINUTE_SECONDS))


def _remarks(step: int, members: Members) -> list[str]:
    said = [f"no row is of class {each}" for each, member in members.items() if not member.any()]
    if step > MINUTE_SECONDS:
        said.append(f"each row covers {step // MINUTE_SECONDS} minutes, which get equal parts of it")
    return said


def _trace(rows: _Rows, members: Members, remarks: list[str]) -> Trace:
    length = max(1, rows.length)
    classes = {}
    for each, member in members.items():
        known = np.zeros(int(rows.minutes.max()) + length, dtype=bool)
        for offset in range(length):
            known[rows.minutes[member > 0] + offset] = True
        if rows.length == 0 or not member.any():
            known[:] = True
        classes[each] = Traffic(*(_summed(rows, rows.counts[name] * member, known) for name in ("requests", *_COUNTS)))
    return Trace(rows.start, classes, tuple(remarks))


def _summed(rows: _Rows, values: Floats, known: NDArray[np.bool_]) -> Floats:
    length = max(1, rows.length)
    sums = np.zeros(len(known))
    for offset in range(length):
        np.add.at(sums, rows.minutes + offset, values / length)
    sums[~known] = np.nan
    return sums
