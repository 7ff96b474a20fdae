"""`make bench-router`: the router beside its peers, each alone on core 0; load and engines share core 1.

BENCH_SECONDS (3) is the length of one run and BENCH_ROUNDS (5) their number; smaller ones are for a quick look, and the
targets stay as they are. What a router decides about conversations is measured in virtual time (`conversations`).
"""

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Report
from benchmarks.routerbench import (
    cores,
    curve,
    field,
    latency,
    ours,
    resting,
    soakreport,
    streaming,
    throughput,
    verdicts,
)
from benchmarks.routerbench.field import Site, Texts
from benchmarks.routerbench.verdicts import Rows
from heterofleet.api.policy import Profile
from testbed import ports

OUT = Path("build", "bench")


def main() -> int:
    seconds = float(os.environ.get("BENCH_SECONDS", "3"))
    rounds = int(os.environ.get("BENCH_ROUNDS", "5"))
    began = time.monotonic()
    # Ended from outside it ends what it has started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    cores.keep_to_load()
    report = Report("router", ["make bench-router"], _notes(seconds, rounds))
    try:
        with tempfile.TemporaryDirectory(prefix="heterofleet-bench-") as folder:
            site = Site.prepare(Path(folder), seconds)
            texts = Texts.make(site.folder)
            _rest(report, site, texts, rounds)
            _race(report, site, texts, rounds)
            verdicts.add_streams(report, streaming.compare(site, rounds, _say))
        verdicts.add_curve(report, curve.points(_say))
        verdicts.add_soak(report, soakreport.unnamed_failures())
    finally:
        report.notes.append(f"all of it took {time.monotonic() - began:.0f} s")
        report.write(OUT)
    return 0


def _notes(seconds: float, rounds: int) -> list[str]:
    return [
        f"{rounds} rounds of {seconds:g} s a system, in turn; the system alone on core {cores.ROUTER}, load and engines"
        f" on core {cores.LOAD}",
        f"default configuration, digest {ours.policy_digest(Profile.DEFAULT)}: access log to a pipe, answers judged,"
        " all metrics",
        f"profile Lean, digest {ours.policy_digest(Profile.LEAN)}: {ours.what_lean_leaves_out()}",
    ]


def _rest(report: Report, site: Site, texts: Texts, rounds: int) -> None:
    """Start and rest, with engines that answer but nobody who asks."""
    _say("starting the router by itself")
    with field.engines_only(site) as (large, small):
        own = ports.free(2)
        wanted = ours.system("alone", ours.configuration(large, small, Profile.DEFAULT), own, texts.auto[0])
        verdicts.add_rest(report, resting.starts(wanted, own[1], site.folder, rounds))


def _race(report: Report, site: Site, texts: Texts, rounds: int) -> None:
    """Requests a second, and what is added at half of that."""
    with field.open_field(site, texts) as running:
        small = throughput.compete(site.wrk, running.entrants(site.seconds), rounds, _say)
        affine = throughput.compete(site.wrk, running.affine_entrants(site.seconds), rounds, _say)
        rate = small[field.DEFAULT].per_second / 2
        added = latency.added(running.default.running, running.direct, texts.auto, rate, site.seconds, rounds, _say)
    log_faults = verdicts.log_faults(running.default)
    verdicts.add_rows(report, Rows(small, log_faults), Rows(affine, log_faults))
    verdicts.add_latency(report, added, rate)


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
