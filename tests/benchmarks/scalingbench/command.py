"""How long `heterofleet simulate` takes for ten days at one-minute steps, all policies side by side, on one core."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.figures import Report
from benchmarks.scalingbench import traces

_ROOT: Final = Path(__file__).parents[3]
_FLEET: Final = _ROOT / "manifests" / "samples" / "medium-qwen3.yaml"
_ARGUMENTS: Final = ("simulate", str(_FLEET), str(traces.MINUTES), "--class", "m-large=plan", "--class", "m-small=act")
_TARGET_SECONDS: Final = 20.0
_RUNS: Final = 3
_LIMIT_SECONDS: Final = 300.0


def add(report: Report) -> None:
    """Add the figure; where the command fails the report says why, and the figure does not count."""
    taken = []
    for _ in range(_RUNS):
        began = time.monotonic()
        ended = subprocess.run(
            [*_one_core(), str(Path(sys.executable).with_name("heterofleet")), *_ARGUMENTS],
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False,
        )  # fmt: skip
        if ended.returncode != 0 or "planned" not in ended.stdout:
            said = ended.stderr.strip().splitlines()[-1:] or ["nothing"]
            report.add("simulate_10_days_seconds", -1.0, "s", _TARGET_SECONDS, invalid=f"the command said: {said[0]}")
            return
        taken.append(time.monotonic() - began)
    report.add("simulate_10_days_seconds", statistics.median(taken), "s", _TARGET_SECONDS, taken)
    report.commands.append("heterofleet " + " ".join(_ARGUMENTS).replace(f"{_ROOT}/", ""))


def _one_core() -> list[str]:
    return ["taskset", "-c", "0"] if shutil.which("taskset") else []
