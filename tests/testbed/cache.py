"""Where what the test bed builds lies: one folder a product in the user's cache, made once, by one process.

A product is made in a folder beside its final place and renamed, so that a folder which exists is complete.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def root() -> Path:
    """The test bed's folder in the user's cache; it need not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "heterofleet" / "testbed"


def say(text: str) -> None:
    """Show one line of progress on standard error, where it does not mix with a command's output."""
    print(f"testbed: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Announce a step that may take long, then say how long it took."""
    say(f"{text} ...")
    began = time.monotonic()
    yield
    say(f"{text}: {time.monotonic() - began:.0f} s")


def product(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of a product, made by ``make(folder)`` unless an earlier run made it.

    Two runs that want the same product at once wait for one another; one that dies leaves nothing behind
    that a later run takes for complete.
    """
    folder = root() / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f"{folder.name}.lock")):
        if folder.is_dir():
            return folder
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        make(unfinished)
        unfinished.rename(folder)
    return folder


def digest(*files: Path) -> str:
    """What stands for the contents of files in a product's name."""
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:12]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; the kernel releases it when the process ends, however it ends."""
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another run is making {path.stem}; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
