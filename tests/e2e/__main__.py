"""Runs the end-to-end tests N times: `python -m e2e --runs N`, each reported in build/e2e/run-<k>.json.

A run that has its report is not repeated, so that what was cut off goes on where it was; its number is its seed unless
SEED gives another. Exits with 1 when a run failed.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path("build") / "e2e"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e", description="End-to-end tests on real nodes.")
    parser.add_argument("--runs", type=int, default=1)
    given, more = parser.parse_known_args()
    failed = 0
    for number in range(1, given.runs + 1):
        report = FOLDER / f"run-{number}.json"
        # Asked for once it is done anew: only of many are those that are there taken for done.
        if given.runs == 1 or not report.exists():
            _run(number, report, more)
        failed += _tell(number, report)
    return int(failed > 0)


def _run(number: int, report: Path, more: list[str]) -> None:
    unfinished = report.with_suffix(".unfinished")
    environment = {**os.environ, "SEED": os.environ.get("SEED") or str(number), "E2E_REPORT": str(unfinished)}
    command = [sys.executable, "-m", "pytest", "-q", "tests/e2e", *more]
    if subprocess.run(command, env=environment, check=False).returncode in (0, 1):
        unfinished.rename(report)


def _tell(number: int, report: Path) -> bool:
    if not report.exists():
        print(f"run {number}: it was cut off")
        return True
    told = json.loads(report.read_text())
    outcomes = [test.get("outcome") for test in told["tests"].values()]
    counts = ", ".join(f"{outcomes.count(kind)} {kind}" for kind in ("passed", "failed", "skipped"))
    print(f"run {number}, seed {told['seed']}: {counts}; {told['failures_by_kind'] or 'no failure'}")
    return not told["passed"]


if __name__ == "__main__":
    sys.exit(main())
