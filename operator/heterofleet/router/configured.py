"""The configuration in force: takes what `kube` or `files` bring, keeps the last one that can be used, and says which.

The operator reads `report` at GET /config: the digest in force, and the one that was refused with the sentence why.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from heterofleet.api import routing
from heterofleet.router import snapshot
from heterofleet.router.classify import Weights
from heterofleet.router.snapshot import Rejected, Snapshot

_log = logging.getLogger(__name__)


class Configured:
    """`current` is None until there is a first configuration. `changed` is called before a change is in force.

    It raises Rejected for what cannot be done here and now; such a configuration is worth `try_again`.
    """

    def __init__(self, weights: Weights, changed: Callable[[Snapshot], None], rejected: Callable[[], None]) -> None:
        self.current: Snapshot | None = None
        self.heard = asyncio.Event()
        """Set once a configuration has come, whether it could be used or not."""
        self.rejected = ""
        self.error = ""
        self._weights = weights
        self._changed = changed
        self._on_rejection = rejected
        self._untimely: str | None = None
        self._plan = routing.Plan()
        self._plan_digest = ""

    def take_config(self, text: str) -> None:
        """Puts a configuration in force, or keeps the former one and says why."""
        digest = _digest(text)
        if self.current is not None and digest == self.current.digest:
            self.rejected, self.error, self._untimely = "", "", None
        elif digest != self.rejected:
            self._take(text, digest)
        self.heard.set()

    def try_again(self) -> None:
        """Takes what was refused for want of something outside of it, which may be there by now."""
        if self._untimely is not None:
            self._take(self._untimely, self.rejected)

    def _take(self, text: str, digest: str) -> None:
        try:
            made = replace(snapshot.compile_config(text, self._weights), plan=self._plan, plan_digest=self._plan_digest)
        except Rejected as exc:
            self._refuse(digest, str(exc), None)
            return
        try:
            self._changed(made)
        except Rejected as exc:
            self._refuse(digest, str(exc), text)
            return
        self.current = made
        self.rejected, self.error, self._untimely = "", "", None
        for path in made.unknown:
            _log.warning("the configuration says %s, which this version does not know: it is ignored", path)

    def refuse(self, text: str, sentence: str) -> None:
        """Refuses what is no configuration at all."""
        digest = _digest(text)
        if digest != self.rejected:
            self._refuse(digest, sentence, None)
        self.heard.set()

    def _refuse(self, digest: str, sentence: str, untimely: str | None) -> None:
        known = (digest, sentence) == (self.rejected, self.error)
        self.rejected, self.error, self._untimely = digest, sentence, untimely
        if not known:
            self._on_rejection()
            _log.error("the new configuration is refused and the former one stays: %s", sentence)

    def take_plan(self, text: str) -> None:
        """Puts a plan in force; one that cannot be read leaves the former one."""
        digest = _digest(text)
        if digest == self._plan_digest:
            return
        try:
            self._plan, _ = routing.read_plan(text)
        except routing.Unreadable as exc:
            _log.error("the new plan cannot be read and the former one stays: %s", exc)
            return
        self._plan_digest = digest
        if self.current is not None:
            self.current = replace(self.current, plan=self._plan, plan_digest=digest)

    def report(self) -> dict[str, Any]:
        """The body of GET /config."""
        return {
            "digest": self.current.digest if self.current is not None else "",
            "rejected": self.rejected,
            "error": self.error,
            "versions": list(routing.VERSIONS),
            "plan": self._plan_digest,
        }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
