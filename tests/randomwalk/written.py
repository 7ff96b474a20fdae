"""What the operators of one walk wrote, from the API server's audit log."""

import json
from datetime import datetime
from pathlib import Path
from typing import NamedTuple


class Write(NamedTuple):
    """One answered write; `at` is the wall clock when the request arrived, `slot` which operator sent it."""

    at: float
    slot: str
    verb: str
    resource: str
    name: str
    code: int

    @property
    def succeeded(self) -> bool:
        return 200 <= self.code < 300

    @property
    def of_lease(self) -> bool:
        return self.resource == "leases"


class Written:
    """The part of an audit log that one walk's operators wrote, from now on."""

    def __init__(self, log: Path, namespace: str, users: dict[str, str]) -> None:
        self._log = log
        self._users = users
        self._needle = f"system:serviceaccount:{namespace}:".encode()
        self._read = log.stat().st_size
        self._writes: list[Write] = []

    def all(self) -> list[Write]:
        """Every write until now, in the order of arrival."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                if self._needle in line:
                    self._note(json.loads(line))
        self._writes.sort(key=lambda write: write.at)
        return self._writes

    def _note(self, event: dict[str, object]) -> None:
        match event:
            case {
                "user": {"username": str(user)},
                "verb": str(verb),
                "requestReceivedTimestamp": str(received),
                "objectRef": dict(target),
            } if user in self._users:
                status = event.get("responseStatus")
                code = status.get("code", 0) if isinstance(status, dict) else 0
                resource = "/".join(filter(None, [target.get("resource"), target.get("subresource")]))
                at = datetime.fromisoformat(received).timestamp()
                self._writes.append(Write(at, self._users[user], verb, resource, target.get("name", ""), code))
            case _:
                return
