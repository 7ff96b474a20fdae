"""Runs many walks, several at a time, and writes what came of them.

    PYTHONPATH=operator:tests python -m randomwalk --seeds 0-199 --steps 50 --parallel 4
    PYTHONPATH=operator:tests python -m randomwalk --seeds 17 --steps 50          a failing seed again
    PYTHONPATH=operator:tests python -m randomwalk --seeds 1003 --steps 25 --server-stays      one of `make random`

The report is build/random/walks.json: counts, and each failing walk with its steps and what was violated. The
operators' logs lie beside it, by seed. The exit status is 1 when any rule was broken.
"""

import argparse
import concurrent.futures
import json
import shutil
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from randomwalk import stage
from randomwalk.operators import REPOSITORY
from randomwalk.stage import Stage

FOLDER = REPOSITORY / "build" / "random"


def main() -> int:
    """Read the arguments, walk, report."""
    options = _options()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = _passed(folder) if options.resume else {}
    seeds = [seed for seed in _seeds(options.seeds) if seed not in outcomes]
    with (
        stage.own_cluster() as cluster,
        stage.opened(cluster, folder) as place,
        concurrent.futures.ThreadPoolExecutor(options.parallel) as pool,
    ):
        waiting = {pool.submit(_walk, place, seed, options) for seed in seeds}
        for number, done in enumerate(concurrent.futures.as_completed(waiting), 1):
            outcome = done.result()
            outcomes[outcome["seed"]] = outcome
            _tell(outcome, number, len(seeds))
            _report(folder, options.steps, list(outcomes.values()))
    return 1 if any(map(_failed, outcomes.values())) else 0


def _passed(folder: Path) -> dict[int, dict[str, Any]]:
    """What an earlier run has walked without a violation."""
    try:
        report = json.loads((folder / "walks.json").read_text())
    except FileNotFoundError:
        return {}
    return {outcome["seed"]: outcome for outcome in report["passes"]}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="randomwalk", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", default="0-5", help="as in 0-199 or 3,17")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--parallel", type=int, default=3, help="walks at a time")
    parser.add_argument("--resume", action="store_true", help="leave out the seeds that the last report has as passed")
    parser.add_argument("--server-stays", action="store_true", help="never restart the API server, as in `make test`")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where report and logs go")
    return parser.parse_args()


def _seeds(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _walk(place: Stage, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """One walk; an error of the walk itself is reported like a broken rule, and the others go on."""
    logs = place.folder / f"seed-{seed}"
    shutil.rmtree(logs, ignore_errors=True)
    try:
        outcome = place.walk(seed, options.steps, restarts_server=not options.server_stays).to_json()
    except Exception:  # noqa: BLE001  whatever it is, it belongs into the report of that seed
        return {"seed": seed, "violations": [], "error": traceback.format_exc()}
    outcome["actions"] = Counter(step["kind"] for step in outcome["steps"])
    if not outcome["violations"]:
        shutil.rmtree(logs, ignore_errors=True)
        del outcome["steps"]
    return outcome


def _failed(outcome: dict[str, Any]) -> bool:
    return bool(outcome["violations"] or "error" in outcome)


def _tell(outcome: dict[str, Any], number: int, total: int) -> None:
    words = "ok" if not _failed(outcome) else "FAILED"
    print(f"[{number}/{total}] seed {outcome['seed']}: {words} {outcome.get('seconds', '')}", flush=True)
    for violation in outcome["violations"]:
        print(f"    {violation['name']}: {violation['sentence']}", flush=True)
    if "error" in outcome:
        print("    " + outcome["error"].replace("\n", "\n    "), flush=True)


def _report(folder: Path, steps: int, outcomes: list[dict[str, Any]]) -> None:
    actions, seen = Counter[str](), Counter[str]()
    for outcome in outcomes:
        actions.update(outcome.get("actions", {}))
        seen.update(outcome.get("seen", {}))
    report = {
        "seeds": sorted(outcome["seed"] for outcome in outcomes),
        "steps": steps,
        "walks": len(outcomes),
        "failing": sorted(outcome["seed"] for outcome in outcomes if _failed(outcome)),
        "actions": dict(actions.most_common()),
        "seen": dict(sorted(seen.items())),
        "failures": [outcome for outcome in outcomes if _failed(outcome)],
        "passes": [outcome for outcome in outcomes if not _failed(outcome)],
    }
    (folder / "walks.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    sys.exit(main())
