"""What a run saw, as JSON under build/e2e: its seed, and of each test how it ended and what it measured."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Report:
    """One run; `see` notes a measure of the test that is running."""

    seed: int
    tests: dict[str, dict[str, Any]] = field(default_factory=dict)
    running: str = ""

    def see(self, **seen: Any) -> None:
        self.tests.setdefault(self.running, {}).setdefault("seen", {}).update(seen)

    def begin(self, test: str) -> None:
        self.running = test
        self.tests.setdefault(test, {})

    def end(self, told: pytest.TestReport) -> None:
        """Note how a phase of a test ended; only what went wrong is noted of setup and teardown."""
        if told.when == "call" or told.outcome != "passed":
            noted = self.tests.setdefault(told.nodeid, {})
            noted |= {"outcome": told.outcome, "seconds": round(told.duration, 1)}
            if told.failed:
                noted["failure"] = _last_line(told)
            elif told.skipped:
                noted["reason"] = str(told.longrepr)

    def write(self, path: Path) -> None:
        failures: dict[str, int] = {}
        for noted in self.tests.values():
            if "failure" in noted:
                failures[noted["failure"]] = failures.get(noted["failure"], 0) + 1
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {"seed": self.seed, "passed": not failures, "failures_by_kind": failures, "tests": self.tests}
        path.write_text(json.dumps(document, indent=1, default=str) + "\n")


def _last_line(told: pytest.TestReport) -> str:
    crash = getattr(told.longrepr, "reprcrash", None)
    return str(crash.message if crash is not None else told.longrepr).splitlines()[0][:300]
