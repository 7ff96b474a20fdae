"""What outlives a life: the message that the kubelet puts into the pod's status, and the history of former lives."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MESSAGE_BYTES = 4000
"""The kubelet keeps 4096 bytes of a termination message."""
CAUSE_BYTES = 1000


def message(cause: str, lines: Sequence[str]) -> str:
    """The cause, then as many of the last lines as the kubelet keeps."""
    first = cause.encode()[:CAUSE_BYTES].decode(errors="ignore")
    kept: list[str] = []
    room = MESSAGE_BYTES - len(first.encode())
    for line in reversed(lines):
        room -= len(line.encode()) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join([first, *reversed(kept)])


def write_message(path: Path, cause: str, lines: Sequence[str]) -> None:
    """Tells the kubelet why; a container without that file ends all the same."""
    with contextlib.suppress(OSError):
        path.write_text(message(cause, lines))


class History:
    """The former lives in this pod: /dev/shm outlives its containers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lives = 1
        self.last_exit: dict[str, Any] | None = None
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            former = json.loads(path.read_text())
            self.lives, self.last_exit = former["lives"] + 1, former["last_exit"]
        self._write()

    def end(self, code: int, cause: str) -> None:
        self.last_exit = {"code": code, "cause": cause}
        self._write()

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            self._path.write_text(json.dumps({"lives": self.lives, "last_exit": self.last_exit}))
