"""Who wrote what, from the API server's audit log: the proof of "no writes at rest" and of "never two writers"."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class Write:
    """One write that the API server answered; ``time`` is when it arrived, ``code`` the HTTP status."""

    time: datetime
    user: str
    verb: str
    resource: str  # with its subresource: deployments, deployments/scale
    group: str
    namespace: str
    name: str
    code: int
    agent: str


class AuditLog:
    """The audit log of a cluster started with ``audit``; reads on from where the last call stopped.

    The server renames a file that has grown to 100 MB and begins a new one: the former is read to its end first.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = 0
        self._read = 0

    def skip(self) -> None:
        """Forget what was written until now."""
        for _ in self._lines():
            pass

    def new(self, user: str | None = None) -> list[Write]:
        """The writes since the last call, of one user (``system:serviceaccount:NAMESPACE:NAME``) or of all."""
        writes = (_write(json.loads(line)) for line in self._lines())
        return [write for write in writes if user is None or write.user == user]

    def _lines(self) -> Iterator[bytes]:
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError:
            return  # Between two files there is none; the next call sees both.
        if self._inode not in (0, inode):
            former = [file for file in self._path.parent.glob("audit*") if file.stat().st_ino == self._inode]
            for file in former:
                yield from self._rest(file)
            self._read = 0
        self._inode = inode
        yield from self._rest(self._path)

    def _rest(self, file: Path) -> Iterator[bytes]:
        with file.open("rb") as log:
            log.seek(self._read)
            for line in log:
                if not line.endswith(b"\n"):  # The server is writing it: the next call sees it whole.
                    return
                self._read += len(line)
                yield line


def _write(event: dict[str, object]) -> Write:
    match event:
        case {"user": {"username": str(user)}, "verb": str(verb), "requestReceivedTimestamp": str(received)}:
            target = event.get("objectRef")
            reference = target if isinstance(target, dict) else {}
            status = event.get("responseStatus")
            return Write(
                time=datetime.fromisoformat(received),
                user=user,
                verb=verb,
                resource="/".join(filter(None, [reference.get("resource"), reference.get("subresource")])),
                group=reference.get("apiGroup", ""),
                namespace=reference.get("namespace", ""),
                name=reference.get("name", ""),
                code=status.get("code", 0) if isinstance(status, dict) else 0,
                agent=str(event.get("userAgent", "")),
            )
        case _:
            raise ValueError(f"not an audit event: {event}")
