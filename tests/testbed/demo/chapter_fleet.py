"""Chapter `fleet`: one resource becomes a running fleet, lives through what happens to fleets, and goes.

Everything is real but the nodes and the engines: API server, scheduler, controllers, Helm chart, operator and its
rights. Pods are played by KWOK; engines and routers answer at their pods' addresses on loopback.
"""

import os
import subprocess
from pathlib import Path

from testbed import stages
from testbed.controlplane import Cluster
from testbed.datacentre import DataCentre
from testbed.demo import house
from testbed.demo.house import FLEET, PLACE, Demo

FLEET_FILE = Path(__file__).with_name("fleet.yaml")
NODES = 16


def play(*, keep: bool, folder: Path) -> None:
    """Play the chapter; with `keep` the cluster and the operator run on until the user ends them."""
    acts = (_apply, _scale, _kill_a_rank, _drain_a_node, _ask_for_too_much, _operator_away, _delete)
    house.play(
        "Heterofleet: one resource, two tiers, one operator",
        acts,
        nodes=NODES,
        centre=_centre,
        keep=keep,
        folder=folder,
    )


def _centre(cluster: Cluster, _folder: Path) -> DataCentre:
    return DataCentre(cluster.api)


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


def _summaries(demo: Demo) -> tuple[str, str]:
    return demo.status["large"]["summary"], demo.status["small"]["summary"]


def _told_once(lines: list[str]) -> list[str]:
    """kubectl repeats itself while an eviction has to wait."""
    return [line for line in dict.fromkeys(lines) if line.strip()]


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))
