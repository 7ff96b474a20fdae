"""Faults of machines and of the control plane under load: simulated engines in containers on real nodes.

No Prometheus answers during the whole of it. The tests share one fleet and stand in the order of a run: each leaves it
settled, as it found it. Named failures are those that no system without a copy of every request could avoid.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from e2e import clients, facts, played
from e2e.clients import Kind, Load
from e2e.facts import Watch
from e2e.played import FLEET, NAMESPACE
from e2e.report import Report
from e2e.site import kill, processes, ready, restarts, seconds_until
from testbed.eventually import eventually, eventually_async
from testbed.namespaces import create_namespace
from testbed.realnodes import RealNodes

pytestmark = pytest.mark.timeout(900)

PYTHON: Final = "/opt/heterofleet/bin/python"
"""How the command lines of what our images run begin."""
COMMAND_SECONDS: Final = 240
"""For a command line of a second on a machine that is busy with everything else."""
MINUTE: Final = 60.0
SILENT_PROMETHEUS: Final = "http://prometheus.monitoring.svc:9090"
"""Nobody answers there."""
SOME: Final = 40
"""Requests that have been answered before anything is done, and after it is over."""
MACHINE_OFF: Final = frozenset({Kind.BROKEN, Kind.SILENT, Kind.CUT_OFF})
"""What a machine that goes off takes along: answers that its routers had begun, and streams of its engines."""
ROUTER_KILLED: Final = frozenset({Kind.BROKEN})
_PODS: Final = f"/api/v1/namespaces/{NAMESPACE}/pods"
_OPERATORS: Final = "/api/v1/namespaces/heterofleet-system/pods"
_OPERATOR: Final = "/apis/apps/v1/namespaces/heterofleet-system/deployments/heterofleet-operator"


class Fleet:
    """The fleet `played` on its bed, and what a test has seen of it."""

    def __init__(self, nodes: RealNodes, report: Report) -> None:
        self.nodes, self.api, self.report = nodes, nodes.api, report

    @property
    def url(self) -> str:
        service = self.api.get(f"/api/v1/namespaces/{NAMESPACE}/services/{FLEET}-router")
        return f"http://{service['spec']['clusterIP']}:8080"

    def condition(self, kind: str) -> tuple[str, str, str]:
        """Status, reason and message; empty where it is not there."""
        told = self.api.get(facts.FLEET_PATH).get("status", {}).get("conditions", [])
        found: dict[str, str] = next((c for c in told if c["type"] == kind), {})
        return found.get("status", ""), found.get("reason", ""), found.get("message", "")

    def pods(self, part: str) -> list[dict[str, Any]]:
        """Of a tier, or the routers."""
        selector = f"heterofleet.io/fleet={FLEET},heterofleet.io/{'component' if part == 'router' else 'tier'}={part}"
        return self.api.items(_PODS, labelSelector=selector)

    def operator(self) -> dict[str, Any] | None:
        """The pod of the operator that runs."""
        return next((pod for pod in self.api.items(_OPERATORS) if ready(pod)), None)

    def settled(self) -> bool:
        ready_pods = [len([pod for pod in self.pods(part) if ready(pod)]) for part in ("large", "small", "router")]
        told = self.condition("Ready")[0], self.condition("Reconciling")[0]
        return (told, ready_pods) == (("True", "False"), [played.LARGE, played.SMALL, played.ROUTERS])

    def wait_settled(self, within: float = 300) -> float:
        return seconds_until(self.settled, within, self.told)

    def told(self) -> str:
        pods = [f"{pod['metadata']['name']} ready={ready(pod)}" for pod in self.api.items(_PODS)]
        return "\n".join(["the fleet is settled", str(self.condition("Ready")), *pods])

    @contextlib.asynccontextmanager
    async def under_load(self, named: Collection[Kind] = ()) -> AsyncIterator[tuple[Load, Watch]]:
        """Clients ask and status is watched for the duration of a block; then both are judged and reported."""
        with facts.watching(self.nodes) as watch:
            async with clients.asking(self.url) as load:
                await answered(load, SOME)
                yield load, watch
                await answered(load, SOME)
        self.report.see(load=load.summary(), status=watch.summary(), named=sorted(kind.name for kind in named))
        assert load.failures(named) == []
        assert watch.lies == []
        assert watch.looks > 0

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line as a person does."""
        program = str(Path(sys.executable).with_name("heterofleet"))
        with self.nodes.inside():
            return subprocess.run(
                [program, *arguments, "--namespace", NAMESPACE],
                env=self.nodes.environment(),
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=False,
            )

    def status_command(self) -> str:
        """What `heterofleet status` shows."""
        done = self.command("status")
        return " ".join((done.stdout + done.stderr).split())


async def answered(load: Load, count: int) -> None:
    """Until so many more requests have got their answer."""
    before = len(load.outcomes)

    async def more() -> bool:
        return sum(one.kind is Kind.ANSWERED for one in load.outcomes[before:]) >= count

    await eventually_async(more, within=120, message="requests are answered")


@pytest.fixture(scope="module")
def fleet(installed: RealNodes, report: Report) -> Iterator[Fleet]:
    """Applied in a namespace that enforces the restricted standard; its token is not there yet."""
    chart = str(Path(__file__).parents[2] / "charts" / "heterofleet")
    where = ("--namespace", "heterofleet-system", "--reuse-values", "--wait")
    installed.helm("upgrade", "heterofleet", chart, *where, "--set", f"prometheus.url={SILENT_PROMETHEUS}")
    create_namespace(installed.api, NAMESPACE, played.RESTRICTED)
    installed.kubectl("apply", "-f", "-", input=played.text())
    made = Fleet(installed, report)
    eventually(lambda: len([pod for pod in made.pods("router") if ready(pod)]) == played.ROUTERS, 180, made.told)
    eventually(lambda: made.condition("LargeTierReady")[0] == "True", 180, made.told)
    yield made
    installed.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


async def test_a_missing_token_is_told_by_name_and_costs_no_request(fleet: Fleet):
    def missing() -> bool:
        status, reason, message = fleet.condition("Degraded")
        return (status, reason) == ("True", "SecretMissing") and played.TOKEN in message

    async with fleet.under_load():
        await asyncio.to_thread(eventually, missing, 60, fleet.told)
        await asyncio.to_thread(_create_token, fleet)
        took = await asyncio.to_thread(fleet.wait_settled)
    fleet.report.see(settled_after_seconds=took)
    assert [restarts(pod) for pod in fleet.pods("small")] == [0] * played.SMALL


def _create_token(fleet: Fleet) -> None:
    fleet.api.create(f"/api/v1/namespaces/{NAMESPACE}/secrets", played.token())


async def test_top_shows_what_flows_through_the_routers(fleet: Fleet):
    """The API server asks their pods for their metrics."""
    async with fleet.under_load():
        top = await asyncio.to_thread(fleet.command, "top", FLEET, "--output", "json")
    assert (top.returncode, top.stderr) == (0, "")
    (shown,) = json.loads(top.stdout)
    fleet.report.see(top=shown)
    assert shown["requestsPerSecond"] > 0
    assert shown["tokensPerSecond"] > 0


async def test_a_router_that_is_killed_costs_only_what_it_was_answering(fleet: Fleet):
    async with fleet.under_load(ROUTER_KILLED):
        killed = fleet.pods("router")[0]
        kill(killed, PYTHON)
        await asyncio.to_thread(_restarted, fleet, killed)
        took = await asyncio.to_thread(fleet.wait_settled)
    fleet.report.see(settled_after_seconds=took)


def _restarted(fleet: Fleet, pod: dict[str, Any]) -> None:
    path, before = f"{_PODS}/{pod['metadata']['name']}", restarts(pod)
    eventually(lambda: restarts(fleet.api.get(path)) > before, 60, "the container was restarted")


async def test_a_minute_without_operator_costs_nothing_and_status_tells_its_age(fleet: Fleet):
    async with fleet.under_load():
        fleet.api.merge(_OPERATOR, {"spec": {"replicas": 0}})
        try:
            for pod in fleet.api.items(_OPERATORS):
                kill(pod, PYTHON)
            await asyncio.sleep(MINUTE)
            said = await asyncio.to_thread(fleet.status_command)
        finally:
            fleet.api.merge(_OPERATOR, {"spec": {"replicas": 1}})
        await asyncio.to_thread(eventually, fleet.operator, 120, "an operator runs")
        await asyncio.to_thread(fleet.wait_settled)
    fleet.report.see(heterofleet_status=said)
    assert "The operator has not been seen for" in said
    assert "what is shown may be that old" in said


async def test_a_minute_without_api_server_costs_nothing(fleet: Fleet):
    before = {pod["metadata"]["uid"]: restarts(pod) for pod in fleet.api.items(_PODS)}
    async with fleet.under_load():
        await asyncio.to_thread(fleet.nodes.stop_apiserver)
        try:
            await asyncio.sleep(MINUTE)
            said = await asyncio.to_thread(fleet.status_command)
        finally:
            await asyncio.to_thread(_start_apiserver, fleet.nodes)
        took = await asyncio.to_thread(fleet.wait_settled)
    after = {pod["metadata"]["uid"]: restarts(pod) for pod in fleet.api.items(_PODS)}
    fleet.report.see(heterofleet_status=said, settled_after_seconds=took)
    assert after == before


def _start_apiserver(nodes: RealNodes) -> None:
    with nodes.inside():
        nodes.start_apiserver()


async def test_a_node_that_goes_off_costs_only_what_it_was_answering(fleet: Fleet):
    node = _without_operator(fleet)
    held = [pod["metadata"]["name"] for pod in fleet.api.items(_PODS) if pod["spec"].get("nodeName") == node]
    async with fleet.under_load(MACHINE_OFF) as (load, _):
        await asyncio.to_thread(fleet.nodes.stop_node, _index(node))
        took = await asyncio.to_thread(seconds_until, lambda: _served_elsewhere(fleet, node), 300, fleet.told)
        await answered(load, SOME)
        await asyncio.to_thread(fleet.nodes.start_node, _index(node))
        again = await asyncio.to_thread(fleet.wait_settled)
    assert held
    fleet.report.see(held=held, whole_again_elsewhere_after_seconds=took, settled_after_seconds=again)


async def test_kubectl_drain_of_a_node_costs_no_request(fleet: Fleet):
    node = _fullest(fleet)
    async with fleet.under_load():
        drain = ("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s")
        said = await asyncio.to_thread(fleet.nodes.kubectl, *drain, timeout=320)
        left = [pod["metadata"]["name"] for pod in fleet.api.items(_PODS) if pod["spec"].get("nodeName") == node]
        fleet.nodes.kubectl("uncordon", node)
        await asyncio.to_thread(fleet.wait_settled)
    fleet.report.see(evicted=said.splitlines()[-20:])
    assert left == []


def _served_elsewhere(fleet: Fleet, node: str) -> bool:
    """Both tiers have their instances on the other node."""
    counts = [
        len([pod for pod in fleet.pods(tier) if ready(pod) and pod["spec"]["nodeName"] != node])
        for tier in ("large", "small")
    ]
    return counts == [played.LARGE, played.SMALL]


def _index(node: str) -> int:
    return int(node.rpartition("-")[2])


def _without_operator(fleet: Fleet) -> str:
    operator = eventually(fleet.operator, 120, "an operator runs")
    return next(node.name for node in fleet.nodes.nodes if node.name != operator["spec"]["nodeName"])


def _fullest(fleet: Fleet) -> str:
    """The node that holds most of the fleet."""
    return Counter(str(pod["spec"]["nodeName"]) for pod in fleet.api.items(_PODS)).most_common(1)[0][0]


def test_without_prometheus_the_plan_holds_and_says_so(fleet: Fleet):
    # An operator that has just come asks within a minute.
    eventually(lambda: fleet.condition("MetricsAvailable")[:2] == ("False", "MetricsLost"), 90, fleet.told)
    fleet.report.see(metrics_available=fleet.condition("MetricsAvailable"))
    assert fleet.settled()


def test_every_pod_of_the_fleet_met_the_restricted_standard(fleet: Fleet):
    """The namespace refuses others, and what it admits runs as the user that its image names."""
    pods = fleet.api.items(_PODS)
    assert {pod["spec"]["securityContext"]["runAsNonRoot"] for pod in pods} == {True}
    assert all(processes(pod, PYTHON) for pod in pods)
    assert {_owner(pid) for pod in pods for pid in processes(pod, PYTHON)} == {65532}


def _owner(pid: int) -> int:
    return Path("/proc", str(pid)).stat().st_uid
