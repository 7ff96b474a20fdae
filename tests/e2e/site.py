"""A fleet on real nodes as its people see it: its status, its pods and their processes, and its address."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI

from e2e.realfleet import FLEET, NAMESPACE, Manifest
from testbed.eventually import eventually
from testbed.realnodes import RealNodes
from testbed.realnodes.bed import CommandFailed

START_SECONDS = 400
_FLEETS = f"/apis/heterofleet.io/v1alpha1/namespaces/{NAMESPACE}/heterogeneousdeployments"
_OPERATOR = "/apis/apps/v1/namespaces/heterofleet-system/deployments/heterofleet-operator"


class Site:
    """The fleet `chat` on a bed, with the chart's operator; `hub` is the URL of the hub that its engines know."""

    def __init__(self, nodes: RealNodes, hub: str) -> None:
        self.nodes = nodes
        self.api = nodes.api
        self.hub = hub
        self.starts: list[float] = []
        """Seconds from a large group's first container to its first answer, unforced."""

    def status(self) -> Manifest:
        found: Manifest = self.api.get(f"{_FLEETS}/{FLEET}").get("status", {})
        return found

    def condition(self, kind: str) -> Manifest:
        return next((c for c in self.status().get("conditions", []) if c["type"] == kind), {})

    def change(self, tier: str, **spec: Any) -> None:
        """Merge `spec` into a tier's spec."""
        self.api.merge(f"{_FLEETS}/{FLEET}", {"spec": {tier: spec}})

    def give(self, tier: str, source: str) -> None:
        """Have a tier serve another model."""
        self.change(tier, model={"source": source})

    def source(self, tier: str) -> str:
        """Of the model that a tier is to serve."""
        return str(self.api.get(f"{_FLEETS}/{FLEET}")["spec"][tier]["model"]["source"])

    def scale(self, tier: str, count: int) -> None:
        """As `kubectl scale` does."""
        self.nodes.kubectl(
            "scale", "heterogeneoustier", f"{FLEET}-{tier}", "--namespace", NAMESPACE, f"--replicas={count}"
        )

    def wait_settled(self, within: float = START_SECONDS) -> None:
        """Until the fleet is as it is wanted: nothing starts, rolls or drains."""
        eventually(self._settled, within, self.told)

    def _settled(self) -> bool:
        status = self.status()
        reasons = {c["type"]: c["reason"] for c in status.get("conditions", [])}
        seen = status.get("observedGeneration") == self.api.get(f"{_FLEETS}/{FLEET}")["metadata"]["generation"]
        return seen and (reasons.get("Ready"), reasons.get("Reconciling")) == ("AllReady", "Settled")

    def told(self) -> str:
        """What the fleet says of itself, for a failure's message."""
        told = [f"{c['type']}={c['status']}/{c['reason']}: {c['message']}" for c in self.status().get("conditions", [])]
        pods = [f"{p['metadata']['name']} {p['status'].get('phase')} ready={ready(p)}" for p in self.pods()]
        return "\n".join(["the fleet is settled", *told, *pods])

    def pods(self, tier: str = "") -> list[Manifest]:
        """The engines' pods in the order of their names; of one tier, if given."""
        selector = f"heterofleet.io/fleet={FLEET}" + (f",heterofleet.io/tier={tier}" if tier else "")
        found = self.api.items(f"/api/v1/namespaces/{NAMESPACE}/pods", labelSelector=selector)
        return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))

    def group(self) -> list[Manifest]:
        """The pods of the only large instance, its leader first."""
        return self.pods("large")

    def base_url(self) -> str:
        service = self.api.get(f"/api/v1/namespaces/{NAMESPACE}/services/{FLEET}-router")
        return f"http://{service['spec']['clusterIP']}:8080"

    def client(self) -> AsyncOpenAI:
        """The official client, which tries nothing again by itself."""
        return AsyncOpenAI(base_url=f"{self.base_url()}/v1", api_key="unused", max_retries=0, timeout=180)

    @contextmanager
    def without_operator(self) -> Iterator[None]:
        """No operator runs for the duration of a block."""
        self._operators(0)
        try:
            yield
        finally:
            self._operators(1)

    def _operators(self, count: int) -> None:
        self.api.merge(_OPERATOR, {"spec": {"replicas": count}})
        pods = "/api/v1/namespaces/heterofleet-system/pods"
        eventually(lambda: [ready(pod) for pod in self.api.items(pods)] == [True] * count, 120, "operators are as many")


def ready(pod: Manifest) -> bool:
    """A pod that is going is not."""
    conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def restarts(pod: Manifest) -> int:
    return sum(status["restartCount"] for status in pod["status"].get("containerStatuses", []))


def start_seconds(pod: Manifest) -> float:
    """From the start of a pod's running container to its readiness."""
    running = pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
    since = next(c["lastTransitionTime"] for c in pod["status"]["conditions"] if c["type"] == "Ready")
    return (moment(since) - moment(running)).total_seconds()


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def processes(pod: Manifest, title: str) -> list[int]:
    """The ids, as this machine counts, of a pod's processes whose command line begins so."""
    group = f"pod{pod['metadata']['uid']}"
    numbers = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in numbers if group in _read(pid, "cgroup") and _read(pid, "cmdline").startswith(title)]


def _read(pid: int, file: str) -> str:
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # It ended since it was listed.
        return ""


def kill(pod: Manifest, title: str) -> None:
    """End a pod's processes of that title at once."""
    found = processes(pod, title)
    assert found, f"{pod['metadata']['name']} has no process {title}"
    for pid in found:
        os.kill(pid, signal.SIGKILL)


@contextmanager
def frozen(pod: Manifest, title: str) -> Iterator[None]:
    """A pod's processes of that title are there and do nothing, for the duration of a block."""
    found = processes(pod, title)
    assert found, f"{pod['metadata']['name']} has no process {title}"
    for pid in found:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in found:
            os.kill(pid, signal.SIGCONT)


def exhaust(nodes: RealNodes, pod: Manifest) -> None:
    """Use up a container's memory by many small processes, so that the kernel ends a large one: the engine's."""
    command = ["exec", pod["metadata"]["name"], "--namespace", NAMESPACE, "--", "python3", "-c", _EXHAUST]
    with contextlib.suppress(CommandFailed):  # It is ended with the container.
        nodes.kubectl(*command)


_EXHAUST = """
import os, time
for _ in range(60):
    if os.fork() == 0:
        held = b"x" * (100 << 20)
        time.sleep(60)
        os._exit(0)
    time.sleep(0.05)
time.sleep(60)
"""


def is_healthy(nodes: RealNodes, pod: Manifest) -> bool:
    """Whether the engine of a pod says so itself, whatever its supervisor thinks of it."""
    ask = ("python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=5)")
    try:
        nodes.kubectl("exec", pod["metadata"]["name"], "--namespace", NAMESPACE, "--", *ask)
    except CommandFailed:
        return False
    return True


def seconds_until(predicate: Callable[[], object], within: float, message: str | Callable[[], str]) -> float:
    """How long it took until the predicate held."""
    began = time.monotonic()
    eventually(predicate, within, message)
    return round(time.monotonic() - began, 1)
