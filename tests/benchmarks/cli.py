"""`make bench-cli`: how long a person waits for the command line, each figure by processes of its own.

A thousand fleets with the statuses of a running operator lie on a real API server; no operator runs, since what is
measured is reading. Figures are medians; BENCH_FLEETS (1000) and BENCH_RUNS (7) shrink it for a quick look.
"""

import importlib
import importlib.util
import os
import random
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks import crowd
from benchmarks.crowd import FLEETS, NAMESPACE, in_parallel, wait
from benchmarks.figures import Report
from testbed.api import Api, ApiError
from testbed.controlplane import Cluster
from testbed.namespaces import create_namespace

ROOT: Final = Path(__file__).resolve().parents[2]
OUT: Final = Path("build", "bench")
PROGRAM: Final = Path(sys.executable).with_name("heterofleet")
AT_ONCE_SECONDS: Final = 0.3
THOUSAND_SECONDS: Final = 2.0
SEED: Final = 7
SAMPLE: Final = ROOT / "manifests" / "samples" / "medium-qwen3.yaml"
RECOMMENDING: Final = "benchmarks.recommending"
"""Its `figures(report)` adds the figures of `heterofleet recommend`."""


def main() -> int:
    fleets = int(os.environ.get("BENCH_FLEETS", "1000"))
    report = Report(
        "cli",
        ["make bench-cli"],
        [
            f"{fleets} fleets with ten decisions each, on a kube-apiserver of the same machine; medians",
            "each run is a process of its own, from its start to its end; its output goes to a pipe",
        ],
    )
    _timed(report, "help_seconds", AT_ONCE_SECONDS, ["--help"])
    _timed(report, "validate_seconds", AT_ONCE_SECONDS, ["validate", str(SAMPLE)])
    with Cluster.start() as cluster:
        _fill(cluster, fleets)
        environment = {"KUBECONFIG": str(cluster.kubeconfig)}
        _timed(report, "status_1000_seconds", THOUSAND_SECONDS, ["status", "-A"], fleets, environment)
        _timed(report, "top_1000_seconds", THOUSAND_SECONDS, ["top", "-A", "--once"], fleets, environment)
        name = crowd.name(0)
        _timed(report, "explain_seconds", None, ["explain", name, "-n", NAMESPACE], 0, environment)
    if importlib.util.find_spec(RECOMMENDING) is not None:
        importlib.import_module(RECOMMENDING).figures(report)
    report.write(OUT)
    return 0


def runs() -> int:
    return int(os.environ.get("BENCH_RUNS", "7"))


def _timed(
    report: Report,
    name: str,
    target: float | None,
    arguments: list[str],
    lines: int = 0,
    environment: dict[str, str] | None = None,
) -> None:
    """Add the median of some runs; one whose output has fewer than `lines` lines does not count."""
    _say(f"{name}: heterofleet {' '.join(arguments)}")
    samples, shortest = [], sys.maxsize
    for _ in range(runs()):
        began = time.monotonic()
        done = subprocess.run(
            [str(PROGRAM), *arguments],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **(environment or {})},
        )
        samples.append(time.monotonic() - began)
        shortest = min(shortest, len(done.stdout.splitlines()))
    invalid = f"{shortest} lines for {lines} fleets" if shortest <= lines else None
    report.add(name, statistics.median(samples), "s", target, samples, invalid=invalid)


def _fill(cluster: Cluster, count: int) -> None:
    """So many fleets, each with a status as large as an operator's."""
    create_namespace(cluster.api, NAMESPACE)
    cluster.kubectl("apply", "-f", str(ROOT / "crds"))
    wait("the CRDs are served", lambda: _is_served(cluster.api), 30, 0.2)
    _say(f"creating {count} fleets")
    chance = random.Random(SEED)
    statuses = [status(index, chance, datetime.now(UTC)) for index in range(count)]
    in_parallel(lambda index: cluster.api.create(FLEETS, crowd.manifest(index)), range(count))
    in_parallel(
        lambda index: cluster.api.merge(f"{FLEETS}/{crowd.name(index)}/status", {"status": statuses[index]}),
        range(count),
    )


def _is_served(api: Api) -> bool:
    try:
        return api.find(FLEETS) is not None
    except ApiError as exc:
        if exc.status != 429:  # The storage of a new resource is made ready on first use.
            raise
        return False


def status(index: int, chance: random.Random, now: datetime) -> dict[str, Any]:
    """What an operator writes of a fleet after some days: all conditions, a plan, and as many decisions as are kept."""
    ready = chance.random() > 0.05
    since = _time(now - timedelta(hours=chance.randint(1, 200)))
    message = "at most 13000 work tokens/s are forecast within 160 s: 12 at 1200 each; instances.max is 24"
    kinds = ("Accepted", "LargeTierReady", "SmallTierReady", "RouterReady", "MetricsAvailable", "PairMatched")
    conditions = [_condition("Ready", ready, "AllReady" if ready else "GroupRestarting", since)]
    conditions += [_condition(kind, True, "AllReady", since) for kind in kinds]
    conditions += [_condition(kind, False, "Settled", since) for kind in ("Degraded", "Stalled", "Reconciling")]
    instance = {"index": 0, "revision": "3f2a1c0d", "state": "Ready", "readyRanks": 4, "ranks": 4, "since": since}
    planned = {"instances": 4, "need": 4, "bound": "Forecast", "message": message}
    decision = {
        "tier": "small", "before": 4, "after": 5, "bound": "Forecast", "message": message, "waitingTokens": 100,
        "forecastTokensPerSecond": 13000, "capacityTokensPerSecond": 1200, "ready": 4, "usdPerHour": "+2.20",
    }  # fmt: skip
    return {
        "observedGeneration": 1,
        "conditions": conditions,
        "large": {"summary": "1/1", "desired": 1, "ready": int(ready), "gpus": 32, "instances": [instance]},
        "small": {"summary": "4/4", "desired": 4, "ready": 4, "gpus": 4, "capacityTokensPerSecond": 1200},
        "ratio": "4",
        "endpoint": f"http://{crowd.name(index)}-router.{NAMESPACE}.svc:8080/v1",
        "cost": {"usdPerHour": f"{chance.uniform(10, 900):.2f}", "savingsRatio": "0.62"},
        "plan": {"large": planned | {"instances": 1, "need": 1}, "small": planned, "usdPerHour": "79.20"},
        "decisions": [{**decision, "at": _time(now - timedelta(minutes=7 * place))} for place in range(10)],
        "learned": {"promptWeight": 0.1, "escalationRate": round(chance.uniform(0, 0.2), 3)},
    }


def _condition(kind: str, holds: bool, reason: str, since: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": str(holds),
        "reason": reason,
        "message": "1 large and 4 small instances serve behind 2 routers",
        "observedGeneration": 1,
        "lastTransitionTime": since,
    }


def _time(moment: datetime) -> str:
    return moment.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def _say(what: str) -> None:
    print(f"bench cli: {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
