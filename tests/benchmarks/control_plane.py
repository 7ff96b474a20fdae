"""`make bench-control-plane`: the operator among a thousand fleets, on a real API server.

Fleet = 1 group of 4 pods x 8 GPUs, 4 to 8 small pods, 2 routers and all child objects. Each has a constant load that a
Prometheus tells of (`flow`), and a plan. Played nodes claim 512 GPUs and renew their leases every 10 minutes.
BENCH_FLEETS (10,100,1000), BENCH_REST_SECONDS (600), BENCH_EDITS (300) and BENCH_STRANGERS (10000) shrink it for a
quick look; targets stay as they are.
"""

import os
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import crowd
from benchmarks.crowd import FLEETS, NAMESPACE, Crowd, changed, wait
from benchmarks.figures import Report, percentile
from benchmarks.flow import Flow
from testbed.api import Api, ApiError
from testbed.audit import AuditLog, Write
from testbed.controlplane import Cluster
from testbed.namespaces import create_namespace
from testbed.operatorprocess import OperatorProcess

SYSTEM = "heterofleet-system"
ACCOUNTS = ("first", "second")
"""Two ServiceAccounts with the same rights, so that the audit log tells two operators apart."""
LEASE_SECONDS = 15
PLANNING_SECONDS = 75.0
"""Within these each fleet is planned for once: an interval and its jitter, and the time it takes."""
SERVER = {"max-requests-inflight": "1000", "service-cluster-ip-range": "10.0.0.0/16"}
"""The default range has 254 addresses, and a fleet takes two."""
OUT = Path("build", "bench")
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Bench:
    cluster: Cluster
    crowd: Crowd
    audit: AuditLog
    report: Report
    folder: Path
    operators: dict[str, OperatorProcess]

    def operator(self, account: str) -> OperatorProcess:
        return self.operators[account]

    def writes(self, account: str | None = None) -> list[Write]:
        """Writes of one operator, or of both, since the last call, without Leases and Events."""
        users = {_user(a) for a in ((account,) if account else ACCOUNTS)}
        return [w for w in self.audit.new() if w.user in users and w.resource not in ("leases", "events")]

    def settled(self, seconds: float = 3.0, within: float = 900) -> None:
        """Wait until the operators have written nothing for a while."""
        quiet_since = time.monotonic()
        ends = time.monotonic() + within
        while time.monotonic() - quiet_since < seconds:
            if self.writes():
                quiet_since = time.monotonic()
            if time.monotonic() > ends:
                raise TimeoutError(f"the operator still writes after {within:.0f} s")
            time.sleep(0.5)


def main() -> int:
    sizes = [int(size) for size in os.environ.get("BENCH_FLEETS", "10,100,1000").split(",")]
    strangers = int(os.environ.get("BENCH_STRANGERS", "10000"))
    report = Report(
        "control-plane",
        ["make bench-control-plane"],
        [
            f"{sizes[-1]} fleets, at least {sizes[-1] * crowd.PODS_A_FLEET} pods,"
            f" {strangers} foreign pods and ConfigMaps each",
            "each fleet has a constant load of its own and a plan in force",
            "played nodes claim 512 GPUs and renew their leases every 10 minutes; everything shares one machine",
        ],
    )
    with tempfile.TemporaryDirectory(prefix="heterofleet-bench-") as folder:
        cluster = Cluster.start(loopback_pods=True, audit=True, slow_leases=True, apiserver=SERVER)
        fleets, names = Crowd(cluster, seed=7), [crowd.name(index) for index in range(sizes[-1])]
        with cluster, Flow(Path(folder, "prometheus"), NAMESPACE, names) as flow:
            bench = _set_up(cluster, fleets, report, Path(folder), flow.url)
            try:
                for size in sizes:
                    _at_size(bench, size, last=size == sizes[-1], strangers=strangers)
            finally:
                for operator in bench.operators.values():
                    operator.stop()
                report.write(OUT)
    return 0


def _set_up(cluster: Cluster, fleets: Crowd, report: Report, folder: Path, prometheus: str) -> Bench:
    for namespace in (NAMESPACE, crowd.STRANGERS, SYSTEM):
        create_namespace(cluster.api, namespace)
    cluster.kubectl("apply", "-f", str(ROOT / "crds"))
    operators = {}
    for account in ACCOUNTS:
        cluster.kubectl("-n", SYSTEM, "create", "serviceaccount", account)
        cluster.kubectl(
            "create",
            "clusterrolebinding",
            account,
            "--clusterrole=cluster-admin",
            f"--serviceaccount={SYSTEM}:{account}",
        )
        kubeconfig = cluster.service_account_kubeconfig(SYSTEM, account, folder / f"{account}.kubeconfig")
        settings = {
            "HETEROFLEET_LEASE_DURATION_SECONDS": str(LEASE_SECONDS),
            "HETEROFLEET_LEASE_RENEW_DEADLINE_SECONDS": "10",
            "HETEROFLEET_LEASE_RETRY_PERIOD_SECONDS": "2",
            "HETEROFLEET_PROMETHEUS_URL": prometheus,
        }
        operators[account] = OperatorProcess(
            kubeconfig, lease_namespace=SYSTEM, environment=settings, folder=folder / account
        )
    wait("the CRDs are served", lambda: _is_served(cluster.api), 30, 0.2)
    operators["first"].start()
    return Bench(cluster, fleets, AuditLog(cluster.audit_log), report, folder, operators)


def _is_served(api: Api) -> bool:
    try:
        return api.find(FLEETS) is not None
    except ApiError as exc:
        if exc.status != 429:  # The storage of a new resource is made ready on first use.
            raise
        return False


def _at_size(bench: Bench, size: int, *, last: bool, strangers: int) -> None:
    _say(f"growing to {size} fleets")
    grown = time.monotonic()
    bench.crowd.grow(size)
    wait(f"{size} fleets are Ready", lambda: bench.crowd.ready() >= size, 3600, 2.0)
    _say(f"{size} fleets Ready after {time.monotonic() - grown:.0f} s")
    wait(f"{size} fleets have a plan made of their load", lambda: bench.crowd.planned() >= size, 900, 5.0)
    _say(f"{size} fleets planned after {time.monotonic() - grown:.0f} s")
    bench.settled(PLANNING_SECONDS, within=1800)
    suffix = "" if last else f"_at_{size}"
    if last:
        _rest(bench)
        crowd.add_strangers(bench.cluster.api, strangers)
        _say("strangers added")
    _edits(bench, suffix)
    _burst(bench, suffix)
    _restart(bench, suffix)
    _behind_failing(bench, suffix)
    _kill(bench, suffix)
    if last:
        _two_writers(bench)
        _memory(bench)


def _edits(bench: Bench, suffix: str) -> None:
    """Poisson edits while pods restart: from the answer to the edit to the last child's write."""
    count = int(os.environ.get("BENCH_EDITS", "300"))
    pods = bench.crowd.pods()
    stopping = threading.Event()
    restarts = threading.Thread(target=_keep_restarting, args=(bench.crowd, pods, stopping))
    restarts.start()
    edited: list[tuple[int, datetime, float]] = []
    bench.audit.skip()
    try:
        for number in range(count):
            time.sleep(bench.crowd.random.expovariate(2.0))
            index = bench.crowd.random.randrange(bench.crowd.count)
            began = time.monotonic()
            bench.crowd.edit(index, f"e{number}{suffix}")
            edited.append((index, datetime.now(UTC), time.monotonic() - began))
        time.sleep(5)
    finally:
        stopping.set()
        restarts.join()
    latencies = _reactions(edited, bench.writes())
    bench.report.add(f"spec_change_p99_seconds{suffix}", percentile(latencies, 0.99), "s", 1.0, latencies)
    api = [seconds for _, _, seconds in edited]
    bench.report.notes.append(
        f"API server's own answer to an edit{suffix}: median {statistics.median(api) * 1000:.0f} ms,"
        f" p99 {percentile(api, 0.99) * 1000:.0f} ms; edits seen {len(latencies)} of {count}"
    )
    bench.settled()


def _reactions(edited: list[tuple[int, datetime, float]], writes: list[Write]) -> list[float]:
    """Seconds from each edit to the routers' Service being written; an edit overtaken by the next one is left out."""
    services: dict[str, list[datetime]] = {}
    for write in writes:
        if write.resource == "services":
            services.setdefault(write.name, []).append(write.time)
    seconds = []
    for position, (index, when, _) in enumerate(edited):
        later = next((w for i, w, _ in edited[position + 1 :] if i == index), None)
        times = [t for t in services.get(f"{crowd.name(index)}-router", []) if t >= when]
        if times and (later is None or min(times) < later):
            seconds.append((min(times) - when).total_seconds())
    return seconds


def _keep_restarting(fleets: Crowd, pods: list[str], stopping: threading.Event) -> None:
    """One per cent of the pods a minute."""
    share = max(1, len(pods) // 100)
    while not stopping.wait(60 / share):
        fleets.crash([fleets.random.choice(pods)])


def _burst(bench: Bench, suffix: str) -> None:
    """A hundred edits at once (all fleets where there are fewer)."""
    indexes = bench.crowd.random.sample(range(bench.crowd.count), min(100, bench.crowd.count))
    bench.audit.skip()
    began = datetime.now(UTC)
    crowd.in_parallel(lambda index: bench.crowd.edit(index, f"burst{suffix}"), indexes)
    wanted = {f"{crowd.name(index)}-router" for index in indexes}
    seen: dict[str, datetime] = {}

    def all_written() -> bool:
        seen.update({w.name: w.time for w in bench.writes() if w.resource == "services" and w.time >= began})
        return wanted <= seen.keys()

    wait("all edits are applied", all_written, 300, 0.2)
    bench.report.add(f"burst_100_seconds{suffix}", (max(seen.values()) - began).total_seconds(), "s", 15.0)
    bench.settled()


def _behind_failing(bench: Bench, suffix: str) -> None:
    """An edit of a healthy fleet while 50 others (half of all where there are fewer) fail at every try."""
    failing = range(min(50, bench.crowd.count // 2))
    bench.crowd.break_fleets(failing)
    time.sleep(2)
    latencies = []
    for number in range(20):
        index = bench.crowd.random.randrange(len(failing), bench.crowd.count)
        latencies.append(_one_edit(bench, index, f"healthy{number}{suffix}"))
    bench.report.add(f"healthy_behind_50_failing_seconds{suffix}", max(latencies), "s", 2.0, latencies)
    mended = {"spec": {"router": {"service": {"annotations": {"no/slash/allowed": None}}}}}
    crowd.in_parallel(lambda i: bench.cluster.api.merge(f"{FLEETS}/{crowd.name(i)}", mended), failing)
    bench.settled(within=1200)


def _one_edit(bench: Bench, index: int, mark: str) -> float:
    """Seconds from an edit to its write."""
    bench.audit.skip()
    bench.crowd.edit(index, mark)
    began = datetime.now(UTC)
    return (_reaction_time(bench, index) - began).total_seconds()


def _reaction_time(bench: Bench, index: int, within: float = 120) -> datetime:
    found: list[datetime] = []

    def written() -> bool:
        found.extend(
            w.time for w in bench.writes() if w.resource == "services" and w.name == f"{crowd.name(index)}-router"
        )
        return bool(found)

    wait(f"the edit of {crowd.name(index)} is applied", written, within, 0.1)
    return found[0]


def _restart(bench: Bench, suffix: str) -> None:
    """A graceful restart with one edit made meanwhile: its reaction, then all fleets verified, and what was written."""
    operator = bench.operator("first")
    operator.stop()
    before = bench.crowd.statuses()
    index = bench.crowd.random.randrange(bench.crowd.count)
    bench.crowd.edit(index, f"restart{suffix}")
    bench.audit.skip()
    began, started = datetime.now(UTC), time.monotonic()
    operator.start()
    reacted = _reaction_time(bench, index)
    bench.report.add(f"restart_first_reaction_seconds{suffix}", (reacted - began).total_seconds(), "s", 10.0)
    wait("all fleets are verified", lambda: _reconciled(operator) >= bench.crowd.count, 600, 0.2)
    bench.report.add(f"restart_verified_seconds{suffix}", time.monotonic() - started, "s", 60.0)
    time.sleep(3)
    others = [w for w in bench.writes() if crowd.name(index) not in w.name]
    bench.report.add(f"restart_writes{suffix}", len(others), "writes", 0)
    edited = crowd.name(index)
    bench.report.notes += [line for line in changed(before, bench.crowd.statuses()) if not line.startswith(edited)][:40]


def _kill(bench: Bench, suffix: str) -> None:
    """The leader is killed beside a warm standby, with an edit at that moment; then the two change places again."""
    first, second = bench.operator("first"), bench.operator("second")
    second.start()
    index = bench.crowd.random.randrange(bench.crowd.count)
    bench.audit.skip()
    first.kill()
    bench.crowd.edit(index, f"kill{suffix}")
    began = datetime.now(UTC)
    reacted = _reaction_time(bench, index)
    seconds = (reacted - began).total_seconds()
    bench.report.add(f"kill_first_reaction_seconds{suffix}", seconds, "s", LEASE_SECONDS + 5.0)
    bench.settled()
    first.start()
    second.stop()
    wait("the first leads again", lambda: _leads(first), 60, 0.2)


def _two_writers(bench: Bench) -> None:
    """The leader is stopped past its lease and wakes up beside its successor, with work waiting for it."""
    paused, other = bench.operator("first"), bench.operator("second")
    other.start()
    indexes = bench.crowd.random.sample(range(bench.crowd.count), min(50, bench.crowd.count))
    crowd.in_parallel(lambda index: bench.crowd.edit(index, "paused"), indexes)
    paused.freeze()
    wait("the standby leads", lambda: _leads(other), 60, 0.2)
    bench.audit.skip()
    crowd.in_parallel(lambda index: bench.crowd.edit(index, "woken"), indexes)
    paused.thaw()
    time.sleep(10)
    written = bench.writes("first")
    bench.report.add("two_writers_writes", len(written), "writes", 0)
    bench.report.notes += [f"written by the woken one: {w.verb} {w.resource} {w.name} {w.time}" for w in written]
    bench.settled()
    bench.operators.pop("first").stop()


def _memory(bench: Bench) -> None:
    """Peak resident memory of an operator that came in with all fleets and strangers there, and then led."""
    peak = bench.operator("second").peak_memory_mb()
    bench.report.add("memory_peak_mb", peak, "MB", 300.0)


def _rest(bench: Bench) -> None:
    seconds = float(os.environ.get("BENCH_REST_SECONDS", "600"))
    _say(f"at rest for {seconds:.0f} s")
    bench.audit.skip()
    before = bench.crowd.statuses()
    time.sleep(seconds)
    written = bench.writes()
    _say(f"{len(written)} writes at rest")
    bench.report.add("writes_at_rest", len(written), "writes", 0)
    bench.report.notes += [f"written at rest: {w.verb} {w.resource} {w.name}" for w in written[:20]]
    bench.report.notes += changed(before, bench.crowd.statuses())[:40]
    bench.report.notes.append(f"fleets with a plan made of their load: {bench.crowd.planned()}")
    bench.report.notes.append(f"at rest was {seconds:.0f} s")


def _leads(operator: OperatorProcess) -> bool:
    return _metric(operator, "heterofleet_operator_leader") == 1


def _reconciled(operator: OperatorProcess) -> float:
    return _metric(operator, 'heterofleet_operator_reconciles_total{outcome="done"}')


def _metric(operator: OperatorProcess, name: str) -> float:
    for line in operator.metrics().splitlines():
        if line.startswith(f"{name} "):
            return float(line.rpartition(" ")[2])
    return 0.0


def _user(account: str) -> str:
    return f"system:serviceaccount:{SYSTEM}:{account}"


_started = time.monotonic()


def _say(sentence: str) -> None:
    print(f"bench {time.monotonic() - _started:6.0f} s  {sentence}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
