"""Chapter `fleet`: one resource becomes a running fleet, lives through what happens to fleets, and goes.

Everything is real but the nodes and the engines: API server, scheduler, controllers, Helm chart, operator and its
rights. Pods are played by KWOK; engines and routers answer at their pods' addresses on loopback.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testbed import binaries, stages
from testbed.controlplane import Cluster
from testbed.datacentre import DataCentre
from testbed.demo import charted
from testbed.demo.charted import NAMESPACE
from testbed.demo.stage import Stage, StepFailed
from testbed.operatorprocess import OperatorProcess

ROOT = Path(__file__).resolve().parents[3]
FLEET_FILE = Path(__file__).with_name("fleet.yaml")
FLEET = "chat"
PLACE = "demo"
NODES = 16

Status = dict[str, Any]


def play(*, keep: bool, folder: Path) -> None:
    """Play the chapter; with `keep` the cluster and the operator run on until the user ends them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stage = Stage("Heterofleet: one resource, two tiers, one operator")
    with contextlib.ExitStack() as things:
        try:
            demo = _bring_up(stage, folder, things)
            for act in (_apply, _scale, _kill_a_rank, _drain_a_node, _ask_for_too_much, _operator_away, _delete):
                act(demo)
        except (StepFailed, AssertionError, RuntimeError) as error:
            stage.fail(error)
            log = folder / "operator.log"
            if log.exists():
                stage.show("\n".join(log.read_text().splitlines()[-15:]))
            raise StepFailed(str(error)) from error
        stage.summary(_further(demo, keep))
        if keep:
            _linger()


class Demo:
    """What the acts share."""

    def __init__(self, stage: Stage, cluster: Cluster, operator: OperatorProcess, folder: Path) -> None:
        self.folder = folder
        self.stage = stage
        self.cluster = cluster
        self.operator = operator

    @property
    def fleet(self) -> Status:
        path = f"/apis/heterofleet.io/v1alpha1/namespaces/{PLACE}/heterogeneousdeployments/{FLEET}"
        return self.cluster.api.find(path) or {}

    @property
    def status(self) -> Status:
        found: Status = self.fleet.get("status", {})
        return found

    def condition(self, name: str) -> Status:
        return _condition(self.status, name)

    def line(self) -> str:
        """The fleet in one line."""
        status = self.status
        if not status:
            return "no status yet"
        ready = _condition(status, "Ready")
        tiers = "  ".join(f"{tier} {status[tier]['summary']}{_draining(status[tier])}" for tier in ("large", "small"))
        return f"Ready={ready.get('status')}  {tiers}  {ready.get('message')}"

    def pods(self, selector: str) -> list[Status]:
        return self.cluster.api.items(f"/api/v1/namespaces/{PLACE}/pods", labelSelector=selector)

    def group(self, index: int) -> list[Status]:
        chosen = f"heterofleet.io/fleet={FLEET},heterofleet.io/tier=large,heterofleet.io/instance={index}"
        return sorted(self.pods(chosen), key=lambda pod: pod["metadata"]["name"])

    def kubectl(self, *words: str, quiet: bool = False, timeout: float = 120) -> str:
        self.stage.command("kubectl", *words)
        printed = self.cluster.kubectl("-n", PLACE, *words, timeout=timeout)
        if not quiet:
            self.stage.show(printed)
        return printed

    def cli(self, *words: str) -> None:
        self.stage.command("heterofleet", *words)
        command = [str(Path(sys.executable).with_name("heterofleet")), *words, "--namespace", PLACE]
        environment = {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig), "COLUMNS": "118"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        self.stage.show(done.stdout + done.stderr)
        if done.returncode != 0:
            raise StepFailed(f"heterofleet {' '.join(words)} ended with {done.returncode}")

    def until(self, what: str, look: Callable[[], object], within: float = 30) -> None:
        self.stage.until(what, look, within=within, line=self.line)

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            raise StepFailed(f"{what}: {self.line()}")


def _bring_up(stage: Stage, folder: Path, things: contextlib.ExitStack) -> Demo:
    stage.step(f"A control plane with {NODES} A100 nodes of 8 GPUs, and the operator from its chart")
    cluster = things.enter_context(Cluster.start(nodes=NODES, loopback_pods=True, audit=True))
    cluster.kubectl("create", "namespace", PLACE)
    chart = str(ROOT / "charts" / "heterofleet")
    command = ["helm", "install", "heterofleet", chart, "--namespace", NAMESPACE, "--create-namespace", "--wait"]
    stage.command(*command[:3], "charts/heterofleet", *command[4:])
    subprocess.run(
        [str(binaries.ensure().paths["helm"]), *command[1:]],
        env={**os.environ, **cluster.environment()},
        check=True,
        capture_output=True,
    )
    operator = things.enter_context(charted.operator(cluster, folder))
    things.enter_context(DataCentre(cluster.api))
    stage.note("the operator runs as the chart's ServiceAccount; engines and routers answer on loopback")
    return Demo(stage, cluster, operator, folder)


def _apply(demo: Demo) -> None:
    demo.stage.step("One resource: Qwen3-235B plans on 4 nodes x 8 GPUs, Qwen3-4B executes")
    demo.stage.show(_without_comments(FLEET_FILE.read_text()))
    demo.stage.command("kubectl", "apply", "-f", "tests/testbed/demo/fleet.yaml")
    demo.cluster.kubectl("-n", PLACE, "apply", "-f", str(FLEET_FILE))
    demo.until("the fleet becomes Ready", lambda: demo.condition("Ready").get("status") == "True", within=60)
    demo.kubectl("get", "hd")
    demo.kubectl("get", "statefulset,deployment,service,poddisruptionbudget")
    demo.until("the routers run the config", lambda: demo.condition("RouterConfigured").get("status") == "True")
    demo.stage.proved("a fleet of a 32-GPU group, 8 small instances and 2 routers is Ready from one resource")


def _scale(demo: Demo) -> None:
    demo.stage.step("Scale both tiers, as an HPA, KEDA or a person would")
    demo.kubectl("scale", "ht/chat-large", "--replicas=2")
    demo.kubectl("scale", "ht/chat-small", "--replicas=16")
    demo.until("both tiers are larger", lambda: _summaries(demo) == ("2/2", "16/16"), within=60)
    demo.cli("status", FLEET)
    override = demo.status["small"].get("override", {})
    demo.expect(override.get("instances") == 16, "the status says who set the count, and until when")
    demo.stage.proved("kubectl scale sets a tier; the count is shown as an override with who and until when")
    demo.kubectl("scale", "ht/chat-small", "--replicas=10")
    demo.until("6 pods leave the endpoints", lambda: demo.status["small"]["draining"] == 6)
    gone = f"heterofleet.io/fleet={FLEET},heterofleet.io/tier=small"
    demo.until("6 pods are gone", lambda: len(demo.pods(gone)) == 10, within=60)
    drain = demo.status["lastDrain"]
    demo.expect(drain["aborted"] is False, "the drain has its proof")
    demo.stage.proved(f"6 pods left the endpoints, were seen empty twice, then went (last: {drain['instance']})")


def _kill_a_rank(demo: Demo) -> None:
    demo.stage.step("A rank of a 4-pod group dies of memory: the group restarts as one")
    before = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in demo.group(0)}
    victim = sorted(before)[2]
    demo.stage.note(f"{victim} is killed; its peers' supervisors notice the new start epoch and leave, too")
    _crash(demo, victim, "oom", "torch.OutOfMemoryError: CUDA out of memory")
    for name in sorted(set(before) - {victim}):
        _crash(demo, name, "exit-90", "a rank of the group restarted")
    demo.until("the group goes down", lambda: demo.status["large"]["ready"] == 1)
    demo.until("the group is Ready again", lambda: _summaries(demo)[0] == "2/2", within=60)
    demo.cli("status", FLEET)
    instance = demo.status["large"]["instances"][0]
    demo.expect(instance["restarts"] == 1, "one failure is counted once")
    demo.expect(instance["lastExit"]["pod"] == victim, "the cause is the rank that died of itself")
    after = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in demo.group(0)}
    demo.expect(before == after, "the group healed in place")
    demo.stage.proved(
        "one failure, counted once, with the rank and the reason that began it; the other group served on"
    )


def _crash(demo: Demo, pod: str, how: str, words: str) -> None:
    marks = {stages.CRASH: how, stages.CRASH_MESSAGE: words}
    demo.cluster.api.merge(f"/api/v1/namespaces/{PLACE}/pods/{pod}", {"metadata": {"annotations": marks}})


def _drain_a_node(demo: Demo) -> None:
    demo.stage.step("An admin drains a node under a running group: a successor comes first")
    leaving = demo.group(0)[0]["spec"]["nodeName"]
    low = 2

    def drained() -> bool:
        nonlocal low
        low = min(low, demo.status["large"]["ready"])
        return process.poll() is not None

    words = ["drain", leaving, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=90s"]
    demo.stage.command("kubectl", *words)
    command = [demo.cluster.binary("kubectl"), *words]
    environment = {**os.environ, **demo.cluster.environment()}
    output = Path(demo.folder, "drain.log")
    with output.open("wb") as log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process:
        demo.until("kubectl drain goes through", drained, within=100)
    demo.stage.show("\n".join(_told_once(output.read_text().splitlines())))
    demo.expect(process.returncode == 0, "kubectl drain ended well")
    demo.until("both groups are Ready elsewhere", lambda: _summaries(demo)[0] == "2/2", within=60)
    demo.expect(low >= 2, "two groups served all the time")
    demo.kubectl("get", "statefulset")
    demo.cluster.kubectl("uncordon", leaving)
    demo.stage.proved(f"{leaving} is empty, and at no moment fewer than 2 large groups were ready")


def _ask_for_too_much(demo: Demo) -> None:
    demo.stage.step("More GPUs than there are: nothing half-made, and a sentence")
    demo.kubectl("scale", "ht/chat-large", "--replicas=5")

    def waits() -> bool:
        return demo.condition("LargeTierReady").get("reason") == "WaitingForGpus"

    demo.until("the tier says what it waits for", waits, within=60)
    demo.stage.say(demo.condition("LargeTierReady")["message"])
    pending = [p for p in demo.pods("heterofleet.io/tier=large") if p["status"].get("phase") == "Pending"]
    demo.expect(not pending, "no pod of a group is left Pending")
    demo.stage.proved("a group is created only when it fits whole; the rest waits and says for how many GPUs")
    demo.cli("release", FLEET)
    demo.until("the plan is back", lambda: _summaries(demo) == ("1/1", "8/8") and _is_still(demo), within=90)
    demo.stage.proved("`heterofleet release` ends the counts set by hand; surplus instances drained and went")


def _operator_away(demo: Demo) -> None:
    demo.stage.step("The operator is killed: fleets serve on, and it finds everything as it was")
    uids = {pod["metadata"]["uid"] for pod in demo.pods(f"heterofleet.io/fleet={FLEET}")}
    demo.operator.kill()
    demo.kubectl("delete", "service", "chat-small")
    demo.stage.note("while nobody watches, somebody deletes a Service of the fleet; then the operator comes back")
    demo.operator.start()
    log = demo.operator.log
    started = len(log.read_text())
    demo.until("it leads again", lambda: "Leading" in log.read_text()[started:], within=40)
    services = f"/api/v1/namespaces/{PLACE}/services/chat-small"
    demo.until("the Service is back", lambda: demo.cluster.api.find(services))
    demo.expect(
        uids == {pod["metadata"]["uid"] for pod in demo.pods(f"heterofleet.io/fleet={FLEET}")},
        "no pod was replaced",
    )
    demo.stage.proved("an operator that comes back mends what is wrong and changes nothing that is right")


def _delete(demo: Demo) -> None:
    demo.stage.step("Delete the fleet: nothing is left")
    demo.kubectl("delete", "hd", FLEET, quiet=True)
    kinds = "statefulset,deployment,pod,service,configmap,controllerrevision,pdb,networkpolicy,serviceaccount,ht"
    chosen = f"heterofleet.io/fleet={FLEET}"

    def left() -> list[str]:
        return demo.cluster.kubectl("-n", PLACE, "get", kinds, "-l", chosen, "-o", "name").split()

    demo.stage.until("nothing is left", lambda: not left(), within=60, line=lambda: f"{len(left())} objects left")
    demo.stage.proved("owner references took every object; no finalizer was needed")


def _is_still(demo: Demo) -> bool:
    status = demo.status
    return not (status["large"]["draining"] or status["small"]["draining"]) and len(status["large"]["instances"]) == 1


def _condition(status: Status, name: str) -> Status:
    conditions: list[Status] = status.get("conditions", [])
    return next((c for c in conditions if c["type"] == name), {})


def _draining(tier: Status) -> str:
    return f" (+{tier['draining']} draining)" if tier["draining"] else ""


def _summaries(demo: Demo) -> tuple[str, str]:
    return demo.status["large"]["summary"], demo.status["small"]["summary"]


def _told_once(lines: list[str]) -> list[str]:
    """kubectl repeats itself while an eviction has to wait."""
    return [line for line in dict.fromkeys(lines) if line.strip()]


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def _further(demo: Demo, keep: bool) -> list[str]:
    if not keep:
        return ["", "Go on by hand: `KEEP=1 make demo` leaves the cluster and the operator running."]
    path = demo.cluster.binary("kubectl").rpartition("/")[0]
    return [
        "",
        "The cluster and the operator run on; in another shell:",
        f"  export KUBECONFIG={demo.cluster.kubeconfig} PATH={path}:$PATH",
        "  kubectl apply -n demo -f manifests/samples/minimal.yaml",
        "Ctrl-C here ends everything.",
    ]


def _linger() -> None:
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
