"""`make soak`: soaks the data centre, prints a table, writes build/soak/datacentre.json; 1 where anything was violated.

PYTHONPATH=operator:tests python -m soak.datacentre --minutes 20              a seed of its own, which is printed
PYTHONPATH=operator:tests python -m soak.datacentre --minutes 20 --seed 17    the same faults and asks again
"""

import argparse
import secrets
import sys
from pathlib import Path
from typing import Final

import soak.datacentre.run

FOLDER: Final = Path(__file__).resolve().parents[3] / "build" / "soak"


def main() -> int:
    """Read the arguments, soak, report."""
    parser = argparse.ArgumentParser(
        prog="soak.datacentre", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10_000))
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=25.0, help="asks a second in the trace's mean")
    parser.add_argument("--report", type=Path, default=FOLDER / "datacentre.json")
    options = parser.parse_args()
    print(f"soak of the data centre: seed {options.seed}, {options.minutes:g} minutes", flush=True)
    logs = options.report.with_name(f"{options.report.stem}-logs")
    report = soak.datacentre.run.run(options.seed, options.minutes * 60, options.rate, logs)
    report.write(options.report)
    report.print()
    print(f"report: {options.report}; logs of operator, routers and Prometheus: {logs}")
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
