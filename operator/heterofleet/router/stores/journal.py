"""An append-only file of records: each is on the disk when `append` returns, and read back in order.

A line holds the records of one `append`, so that they are there together or not at all: the CRC-32 of its JSON in hex,
a space, the JSON. A process that is killed while it writes leaves a torn last line, which was never acknowledged and is
cut off when the file is opened again; a bad line before the last one is damage by others, and is refused. All calls
block, and are made from one thread at a time.
"""

import base64
import contextlib
import fcntl
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Self

import orjson

from heterofleet.router.budget import Spent
from heterofleet.router.stores import Batch, Held, InUse, Spend, StoreError
from heterofleet.router.stores.state import Put, Record, Remove, Settle

_CRC_CHARACTERS: Final = 8


class Damaged(StoreError):
    """The journal holds what was not written by this program, or the disk has lost a part of it."""


class Journal:
    """The file at `path`, held by this process alone as long as it is open."""

    def __init__(self, path: Path, descriptor: int, lock: int, size: int) -> None:
        self._path, self._descriptor, self._lock = path, descriptor, lock
        self.size = size

    @classmethod
    def open(cls, path: Path, apply: Callable[[Record], None]) -> Self:
        """Opens or makes the file and applies all of its records. Raises InUse, Damaged and OSError."""
        # The lock is a file beside it, since compaction puts another file in the journal's place.
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = _read(path, apply)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.ftruncate(descriptor, size)
            _sync_folder(path)
        except BlockingIOError as exc:
            os.close(lock)
            raise InUse(f"{path} is in use by another router: give each router a volume of its own") from exc
        except BaseException:
            os.close(lock)
            raise
        return cls(path, descriptor, lock, size)

    def append(self, records: Sequence[Record]) -> None:
        """Writes records through to the disk. After an OSError none of them is there."""
        line = _line(records)
        try:
            _write(self._descriptor, line, self.size)
            os.fdatasync(self._descriptor)
        except OSError:
            # A full disk takes a part of a line; what comes next must begin at a line of its own.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(line)

    def replace(self, records: Iterable[Record]) -> None:
        """Puts a file with these records in the place of the present one; a crash leaves one or the other, whole."""
        successor = Path(f"{self._path}.new")
        lines = b"".join(_line([record]) for record in records)
        descriptor = os.open(successor, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write(descriptor, lines, 0)
            os.fsync(descriptor)
            successor.rename(self._path)
        except OSError:
            os.close(descriptor)
            raise
        os.close(self._descriptor)
        self._descriptor, self.size = descriptor, len(lines)
        _sync_folder(self._path)

    def close(self) -> None:
        os.close(self._descriptor)
        os.close(self._lock)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _sync_folder(path: Path) -> None:
    """A new or renamed file is there after a power cut only when its folder is on the disk too."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path, apply: Callable[[Record], None]) -> int:
    """Applies all records; returns how many bytes of the file are good."""
    size = 0
    try:
        *lines, torn = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return size
    for number, line in enumerate(lines, start=1):
        text = line[_CRC_CHARACTERS + 1 :]
        if line[:_CRC_CHARACTERS] != b"%08x" % zlib.crc32(text):
            if number < len(lines) or torn:
                raise Damaged(f"{path} is damaged in line {number}: restore it, or move it away to begin anew")
            break
        for kind, *values in orjson.loads(text):
            apply(_READERS[kind](values))
        size += len(line) + 1
    return size


def _line(records: Sequence[Record]) -> bytes:
    text = orjson.dumps([_told(record) for record in records])
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _told(record: Record) -> Sequence[object]:
    match record:
        case Batch(router, number, oldest, spends):
            return ("spend", router, number, oldest, [(t, b, s.nano_usd, s.tokens) for t, b, s in spends])
        case Put(held, deadline):
            outcome = None if held.outcome is None else _text(held.outcome)
            return ("put", held.id, _text(held.summary), _text(held.detail), outcome, deadline)
        case Settle(id, outcome):
            return ("settle", id, _text(outcome))
        case Remove(id):
            return ("remove", id)


def _batch(values: Sequence[Any]) -> Batch:
    router, number, oldest, spends = values
    return Batch(
        router, number, oldest, tuple(Spend(t, b, Spent(nano_usd, tokens)) for t, b, nano_usd, tokens in spends)
    )


def _put(values: Sequence[Any]) -> Put:
    id, summary, detail, outcome, deadline = values
    held = Held(id, _bytes(summary), _bytes(detail), None if outcome is None else _bytes(outcome))
    return Put(held, deadline)


_READERS: Final[dict[str, Callable[[Sequence[Any]], Record]]] = {
    "spend": _batch,
    "put": _put,
    "settle": lambda values: Settle(values[0], _bytes(values[1])),
    "remove": lambda values: Remove(values[0]),
}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
