"""The keys of clients and of engines as they are mounted now, read again from time to time.

Both are Secrets that people rotate while the router runs. What cannot be read leaves the former keys in force: a Secret
that is being changed must not lock everybody out. Of the engines' ring the entry `current` is used; engines accept the
next one too, so that the ring can turn before they have read it (contracts.md, "Operator -> router").
"""

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Final

from heterofleet.router.auth import InvalidKeys, Keys
from heterofleet.router.snapshot import Rejected

_log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 2.0
_CURRENT: Final = "current"


class Keyring:
    """`clients` is None where anyone may ask, `engine` where engines ask for no key."""

    def __init__(self, clients: Path, engines: Path) -> None:
        self._clients_folder, self._engines_folder = clients, engines
        self.clients: Keys | None = None
        self.engine: bytes | None = None
        self._complained = ""

    def first_clients(self) -> Keys:
        """The clients' keys where there are none yet. Raises Rejected."""
        try:
            return Keys.parse(_texts(self._clients_folder))
        except (OSError, UnicodeDecodeError, InvalidKeys) as exc:
            raise Rejected(f"auth.keysSecret: the keys in {self._clients_folder} cannot be read: {_why(exc)}") from exc

    async def follow(self) -> None:
        """Reads what is mounted at once and again for ever."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Takes what is mounted now."""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            self.engine = _ring(_texts(self._engines_folder)) or self.engine
        if self.clients is None:
            return
        try:
            self.clients = Keys.parse(_texts(self._clients_folder))
            self._complained = ""
        except (OSError, UnicodeDecodeError, InvalidKeys) as exc:
            self._complain(_why(exc))

    def _complain(self, why: str) -> None:
        if why != self._complained:
            self._complained = why
            _log.warning("the clients' keys cannot be read, the former ones stay: %s", why)


def _texts(folder: Path) -> dict[str, str]:
    """The entries of a mounted Secret; what begins with dots is Kubernetes' own."""
    return {
        path.name: path.read_text() for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()
    }


def _ring(texts: dict[str, str]) -> bytes | None:
    """The key to ask engines with: `current`, else the first by name."""
    names = sorted(texts, key=lambda name: (name != _CURRENT, name))
    return next((key.encode() for name in names if (key := texts[name].strip())), None)


def _why(exc: Exception) -> str:
    return exc.strerror or str(exc) if isinstance(exc, OSError) else str(exc)
