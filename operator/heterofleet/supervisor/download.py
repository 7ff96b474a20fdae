"""Brings one model into the cache, once a node or volume, however many pods ask for it.

Shipped beside supervisor.py and run by it before the ranks start, inside the unmodified engine image: the standard
library, Python >= 3.9, and whatever the image holds for the source (huggingface_hub, boto3).

    download.py SOURCE REVISION CACHE OWNER

Each line of its output is a JSON object with a `state`: waiting, downloading, done or failed. The exit status is 0
when the model is there, 1 when another start may bring it, 2 when only a person can help.

A finished model carries a marker, so that a restart costs a look at one file. An unfinished one is continued.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib
import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .turn import Clock, Turn

MARKER = ".heterofleet-complete"
IGNORED = ("original/*", "onnx/*", "metal/*", "*.onnx")
"""Second copies of the weights, in formats that vLLM does not load."""
ATTEMPTS = 5


class DownloadError(Exception):
    """What stands between the pod and its model, as one sentence."""


class FinalError(DownloadError):
    """Trying again changes nothing: a person has to act."""


class Model(NamedTuple):
    """Where a model lies, and which state of it."""

    path: str
    revision: str


def say(state: str, **facts: Any) -> None:
    """Tells the supervisor where we are."""
    sys.stdout.write(json.dumps({"state": state, **facts}) + "\n")
    sys.stdout.flush()


def folder_of(cache: Path, source: str, revision: str) -> Path:
    """Names the folder of a model; sources that differ only in punctuation do not share one."""
    name = re.sub(r"[^A-Za-z0-9.]+", "-", source.partition("://")[2]).strip("-.")[-80:]
    digest = hashlib.sha256(f"{source}@{revision}".encode()).hexdigest()[:8]
    return cache / "models" / f"{name}-{digest}"


def finished(folder: Path) -> Model | None:
    """Reads the marker of a complete model; None where there is none or where it is torn."""
    try:
        return Model(str(folder), str(json.loads((folder / MARKER).read_text())["revision"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def finish(folder: Path, revision: str) -> Model:
    """Marks a model complete, after its bytes are on the disk: a marker that outlives them would be believed."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as written:
                os.fsync(written.fileno())
    draft = folder / (MARKER + ".draft")
    draft.write_text(json.dumps({"revision": revision}))
    draft.replace(folder / MARKER)
    return Model(str(folder), revision)


def bytes_in(folder: Path) -> int:
    """Sums the files below a folder, unfinished ones included; files may vanish while it looks."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118 - a walk yields strings
    return total


@contextlib.contextmanager
def progress(folder: Path, total: int) -> Iterator[None]:
    """Reports the bytes that have arrived, every two seconds."""
    stop = threading.Event()

    def measure() -> None:
        while True:
            say("downloading", bytes=bytes_in(folder), total=total)
            if stop.wait(2.0):
                return

    thread = threading.Thread(target=measure, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def check_room(folder: Path, total: int) -> None:
    """Refuses before the first byte what cannot end: a disk that fills takes its neighbours with it."""
    missing, free = total - bytes_in(folder), shutil.disk_usage(folder).free
    if missing > free:
        raise FinalError(
            f"no room for the model in {folder.parent}: "
            f"{missing / 1e9:.1f} GB are missing and {free / 1e9:.1f} GB are free"
        )


def library(name: str, scheme: str) -> Any:
    """Imports what the image brings for a source."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise FinalError(f"this image cannot read {scheme}://: it has no Python package {name}") from error


def fetch_hf(repository: str, revision: str, folder: Path) -> str:
    """Brings a repository of the Hugging Face Hub; a branch is resolved once, so that a download is of one commit."""
    hub = library("huggingface_hub", "hf")
    info = hub.HfApi().model_info(repository, revision=revision, files_metadata=True)
    total = sum(file.size or 0 for file in info.siblings if not any(Path(file.rfilename).match(p) for p in IGNORED))
    check_room(folder, total)
    with progress(folder, total):
        hub.snapshot_download(repository, revision=info.sha, local_dir=str(folder), ignore_patterns=list(IGNORED))
    return str(info.sha)


def fetch_s3(address: str, _revision: str, folder: Path) -> str:
    """Brings all objects below a prefix; those already here in full are kept."""
    bucket, _, prefix = address.partition("/")
    prefix = prefix.rstrip("/") + "/" if prefix else ""
    client = library("boto3", "s3").client("s3")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    objects = [item for page in pages for item in page.get("Contents", ()) if not item["Key"].endswith("/")]
    if not objects:
        raise FinalError(f"s3://{address} holds no objects")
    total = sum(item["Size"] for item in objects)
    check_room(folder, total)
    with progress(folder, total):
        for item in objects:
            target = (folder / item["Key"][len(prefix) :]).resolve()
            if folder.resolve() not in target.parents:
                raise FinalError(f"s3://{bucket}/{item['Key']} would be written outside of the cache")
            if target.exists() and target.stat().st_size == item["Size"]:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(target.name + ".part")
            client.download_file(bucket, item["Key"], str(part))
            part.replace(target)
    listing = json.dumps(sorted((item["Key"], item["ETag"]) for item in objects))
    return hashlib.sha256(listing.encode()).hexdigest()


def explain(error: Exception, source: str) -> DownloadError:
    """Turns a library's exception into a sentence, and says whether another attempt makes sense."""
    if isinstance(error, DownloadError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FinalError(f"the cache is full: {error}")
    status = getattr(getattr(error, "response", None), "status_code", None)
    kind = type(error).__name__
    if status in (401, 403, 404) or kind in ("NoCredentialsError", "NoSuchBucket"):
        hint = "is the name right, and has the token access to it?"
        return FinalError(f"{source} was refused ({kind}{f' {status}' if status else ''}): {hint}")
    return DownloadError(f"{source}: {kind}: {' '.join(str(error).split())[:500]}")


def local(path: str) -> Model:
    """A model that is mounted needs no download, but it must be there: vLLM's own words for that mislead."""
    if not Path(path).is_dir():
        raise FinalError(f"there is no folder {path} in the pod")
    if not any(Path(path).glob("*.json")) and not any(Path(path).glob("*.gguf")):
        raise FinalError(f"the folder {path} holds no model: neither *.json nor *.gguf")
    return Model(path, "")


def bring(source: str, revision: str, cache: Path, owner: str, clock: Clock = Clock()) -> Model:  # noqa: B008
    """Returns the model's folder, after this process or another one has filled it."""
    scheme, _, address = source.partition("://")
    if scheme == "file":
        return local(address)
    fetch = {"hf": fetch_hf, "s3": fetch_s3}.get(scheme)
    if fetch is None:
        raise FinalError(f"{source}: the scheme is none of hf, s3, file")
    folder = folder_of(cache, source, revision)
    with Turn(folder, owner, lambda holder: say("waiting", owner=holder), clock).taken(
        over=lambda: finished(folder) is not None
    ):
        model = finished(folder)
        if model is not None:
            return model
        folder.mkdir(parents=True, exist_ok=True)
        return finish(folder, attempt(lambda: fetch(address, revision, folder), source, clock))


def attempt(fetch: Callable[[], str], source: str, clock: Clock) -> str:
    """Repeats what a network broke; a container's restart would count against the instance."""
    for number in range(1, ATTEMPTS + 1):
        try:
            return fetch()
        except Exception as error:
            # The libraries raise anything, so everything is caught and sorted.
            reason = explain(error, source)
            if isinstance(reason, FinalError) or number == ATTEMPTS:
                raise reason from error
            sys.stderr.write(f"download: attempt {number} failed: {reason}\n")
            time.sleep(clock.pause * 2**number)
    raise AssertionError("unreachable")


def main(arguments: list[str]) -> int:
    source, revision, cache, owner = arguments
    try:
        model = bring(source, revision, Path(cache), owner)
    except OSError as error:
        say("failed", error=f"the cache {cache} cannot be used: {error}")
        return 2
    except DownloadError as error:
        say("failed", error=str(error))
        return 2 if isinstance(error, FinalError) else 1
    say("done", path=model.path, revision=model.revision)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
