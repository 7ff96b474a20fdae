"""The configuration in force: takes what `kube` or `files` bring, keeps the last that can be used, and says which it is.

The operator reads `report` at GET /config: the digest in force, and the one that was refused with the sentence why.
"""

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
    """`current` is None until there is a first configuration. `changed` is called after each change."""

    def __init__(self, weights: Weights, changed: Callable[[Snapshot], None], rejected: Callable[[], None]) -> None:
        self.current: Snapshot | None = None
        self.rejected = ""
        self.error = ""
        self._weights = weights
        self._changed = changed
        self._on_rejection = rejected
        self._plan = routing.Plan()
        self._plan_digest = ""

    def take_config(self, text: str) -> None:
        """Puts a configuration in force, or keeps the former one and says why."""
        digest = _digest(text)
        if self.current is not None and digest == self.current.digest:
            self.rejected = self.error = ""
            return
        if digest == self.rejected:
            return
        try:
            made = snapshot.compile_config(text, self._weights)
            self._changed(replace(made, plan=self._plan, plan_digest=self._plan_digest))
        except Rejected as exc:
            self.rejected, self.error = digest, str(exc)
            self._on_rejection()
            _log.error("the new configuration is refused and the former one stays: %s", exc)
            return
        self.current = replace(made, plan=self._plan, plan_digest=self._plan_digest)
        self.rejected = self.error = ""
        for path in made.unknown:
            _log.warning("the configuration says %s, which this version does not know: it is ignored", path)

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
            self._changed(self.current)

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
