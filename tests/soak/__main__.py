"""`make soak-router`: soaks two routers, prints a table, writes build/soak/router.json; 1 where anything was violated.

PYTHONPATH=operator:tests python -m soak --minutes 10                a seed of its own, which is printed
PYTHONPATH=operator:tests python -m soak --minutes 10 --seed 17      the same faults and asks again
"""

import argparse
import secrets
import sys
from pathlib import Path
from typing import Final

import soak.run

FOLDER: Final = Path(__file__).resolve().parents[2] / "build" / "soak"


def main() -> int:
    """Read the arguments, soak, report."""
    parser = argparse.ArgumentParser(
        prog="soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10_000))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=40.0, help="asks a second in the mean")
    parser.add_argument("--report", type=Path, default=FOLDER / "router.json")
    options = parser.parse_args()
    print(f"soak of the router: seed {options.seed}, {options.minutes:g} minutes", flush=True)
    logs = options.report.with_name(f"{options.report.stem}-logs")
    report = soak.run.run(options.seed, options.minutes * 60, options.rate, logs)
    report.write(options.report)
    report.print()
    print(f"report: {options.report}; logs of the routers: {logs}")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
