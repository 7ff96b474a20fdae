"""Stands in for the Hugging Face library, which the engine image brings and the test environment does not.

The folder FAKE_HUB is the hub: `files/` holds the repository, `log` gets a line a download. A download brings one
file at a time and waits before each further one until `go` exists; `error` holds the status of a refusal, `full`
makes the disk full.
"""

import errno
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SHA = "0123abcd"


class RepositoryNotFoundError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"{status} Client Error. Repository Not Found")
        self.response = SimpleNamespace(status_code=status)


def _hub() -> Path:
    return Path(os.environ["FAKE_HUB"])


def _files() -> list[Path]:
    return sorted(path for path in (_hub() / "files").rglob("*") if path.is_file())


class HfApi:
    def model_info(self, _repository: str, *, revision: str, files_metadata: bool) -> Any:
        assert files_metadata, "sizes come only with the metadata"
        assert revision == "main"
        if (_hub() / "error").exists():
            raise RepositoryNotFoundError(int((_hub() / "error").read_text()))
        root = _hub() / "files"
        names = [SimpleNamespace(rfilename=str(p.relative_to(root)), size=p.stat().st_size) for p in _files()]
        return SimpleNamespace(sha=SHA, siblings=names)


def snapshot_download(_repository: str, *, revision: str, local_dir: str, ignore_patterns: list[str]) -> None:
    assert revision == SHA, "the branch may move during a download"
    with (_hub() / "log").open("a") as log:
        log.write("download\n")
    if (_hub() / "full").exists():
        raise OSError(errno.ENOSPC, "No space left on device", local_dir)
    root = _hub() / "files"
    for path in _files():
        name = path.relative_to(root)
        if any(name.match(pattern) for pattern in ignore_patterns) or (Path(local_dir) / name).exists():
            continue
        (Path(local_dir) / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, Path(local_dir) / name)
        while not (_hub() / "go").exists():
            time.sleep(0.02)
