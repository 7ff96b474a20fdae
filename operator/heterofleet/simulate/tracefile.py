"""Reads the rows of a trace from a file: CSV, CSV.gz, or Parquet where pyarrow is installed.

The edge of `tracerows`: what the cells mean is decided there.
"""

import csv
import gzip
import io
import zlib
from pathlib import Path
from typing import Final

from heterofleet.simulate.trace import InvalidTrace
from heterofleet.simulate.tracerows import Table

ENDINGS: Final = (".csv", ".csv.gz", ".parquet")

_MOST_BYTES: Final = 1 << 30
"""Of a file when it is unpacked: a row a minute over 100 days has 10 MB."""


class MissingReader(Exception):
    """What reads this kind of file is not installed."""


def read(path: Path) -> Table:
    """The rows of a file. Raises InvalidTrace, MissingReader, and OSError where it cannot be opened."""
    name = path.name.lower()
    if name.endswith(".parquet"):
        return _parquet(path)
    if not name.endswith((".csv", ".csv.gz")):
        raise InvalidTrace(f"the name must end with {', '.join(ENDINGS)}")
    return _csv(_text(path, packed=name.endswith(".gz")))


def _text(path: Path, *, packed: bool) -> str:
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as exc:
        raise InvalidTrace(
            f"not a whole gzip file ({exc}): pack it again, or name it .csv if it is not packed"
        ) from exc
    if len(content) > _MOST_BYTES:
        raise InvalidTrace("more than 1 GiB: write a row a minute instead of a row a request, or fewer days")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise InvalidTrace(f"not text in UTF-8 ({exc.reason} at byte {exc.start}): save it as UTF-8") from exc


def _csv(text: str) -> Table:
    reader = csv.reader(io.StringIO(text))
    try:
        header = [name.strip() for name in next(reader, [])]
        rows = [row for row in reader if row]
    except csv.Error as exc:
        raise InvalidTrace(f"line {reader.line_num}: {exc}") from exc
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise InvalidTrace("the columns are not separated by commas: write commas between them")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InvalidTrace(f"column {twice[0]} is there twice: keep one of them")
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise InvalidTrace(f"line {line}: {len(row)} cells under {len(header)} column names: write one for each")
    columns = zip(*rows, strict=True) if rows else ([] for _ in header)
    return Table(dict(zip(header, columns, strict=True)))


def _parquet(path: Path) -> Table:
    try:
        from pyarrow import ArrowInvalid, parquet  # noqa: PLC0415  an extra, and slow to load
    except ImportError as exc:
        raise MissingReader("pyarrow is not installed: pip install 'heterofleet[parquet]'") from exc
    try:
        table = parquet.ParquetFile(path).read()
    except ArrowInvalid as exc:
        raise InvalidTrace(f"not a Parquet file ({str(exc).splitlines()[0]})") from exc
    names = table.column_names
    return Table({name: [_cell(cell) for cell in table[name].to_pylist()] for name in names}, first_line=1)


def _cell(value: object) -> str:
    return "" if value is None else str(value)
