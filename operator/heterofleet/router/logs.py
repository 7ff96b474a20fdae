"""Where a router's two logs go: the access log, a line a request, and the audit log, a line a decision of a rule.

Both through one writer unless the audit log is given a file of its own. Whoever switches the access log off keeps the
audit log, on standard output: rules whose decisions leave no trace prove nothing.
"""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Final

from heterofleet.router.accesslog import AccessLog, Put

STANDARD_OUTPUT: Final = "-"
NONE: Final = "none"


class Logs:
    """Opens what the arguments name: a file, STANDARD_OUTPUT, or NONE of the access log."""

    def __init__(self, access: str, audit: str | None, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._files = contextlib.ExitStack()
        self._access = None if access == NONE else self._opened(access)
        fallback = STANDARD_OUTPUT if self._access is None else access
        same = self._access if audit in (None, access) else None
        self._audit = same or self._opened(audit or fallback)

    @property
    def access(self) -> Put | None:
        return None if self._access is None else self._access.put

    @property
    def audit(self) -> Put:
        return self._audit.put

    def close(self) -> None:
        """Writes what is left."""
        if self._access is not None:
            self._access.close()
        if self._audit is not self._access:
            self._audit.close()
        self._files.close()

    def _opened(self, where: str) -> AccessLog:
        if where == STANDARD_OUTPUT:
            return AccessLog(sys.stdout.buffer, self._loop)
        file = Path(where).open("ab")  # noqa: SIM115  `_files` closes it, when the log has written its last line
        return AccessLog(self._files.enter_context(file), self._loop)
