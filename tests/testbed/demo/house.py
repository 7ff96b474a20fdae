"""What every chapter plays on: a control plane with A100 nodes, the chart's operator, and what answers for the pods."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from testbed import binaries
from testbed.controlplane import Cluster
from testbed.datacentre import DataCentre
from testbed.demo import charted
from testbed.demo.charted import NAMESPACE
from testbed.demo.stage import Stage, StepFailed
from testbed.operatorprocess import OperatorProcess

ROOT = Path(__file__).resolve().parents[3]
FLEET = "chat"
PLACE = "demo"

Status = dict[str, Any]


class Demo:
    """What the acts share."""

    def __init__(
        self, stage: Stage, cluster: Cluster, operator: OperatorProcess, centre: DataCentre, folder: Path
    ) -> None:
        self.folder = folder
        self.stage = stage
        self.cluster = cluster
        self.operator = operator
        self.centre = centre

    @property
    def fleet(self) -> Status:
        path = f"/apis/heterofleet.io/v1alpha1/namespaces/{PLACE}/heterogeneousdeployments/{FLEET}"
        return self.cluster.api.find(path) or {}

    @property
    def status(self) -> Status:
        found: Status = self.fleet.get("status", {})
        return found

    def condition(self, name: str) -> Status:
        return condition_of(self.status, name)

    def line(self) -> str:
        """The fleet in one line."""
        status = self.status
        if not status:
            return "no status yet"
        ready = condition_of(status, "Ready")
        tiers = "  ".join(f"{tier} {status[tier]['summary']}{draining(status[tier])}" for tier in ("large", "small"))
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
        command = [heterofleet(), *words, "--namespace", PLACE]
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


def heterofleet() -> str:
    """The command line's program."""
    return str(Path(sys.executable).with_name("heterofleet"))


Act = Callable[[Demo], None]
OpenCentre = Callable[[Cluster, Path], DataCentre]


def play(
    title: str,
    acts: Sequence[Act],
    *,
    nodes: int,
    centre: OpenCentre,
    keep: bool,
    folder: Path,
    values: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Play a chapter; with `keep` the cluster and the operator run on until the user ends them. Raises StepFailed.

    `values` are the chart's; `environment` is of the test bed alone, for the operator's process.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stage = Stage(title)
    with contextlib.ExitStack() as things:
        try:
            demo = _bring_up(stage, folder, things, nodes, centre, values or {}, environment or {})
            for act in acts:
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


def _bring_up(
    stage: Stage,
    folder: Path,
    things: contextlib.ExitStack,
    nodes: int,
    centre: OpenCentre,
    values: Mapping[str, str],
    environment: Mapping[str, str],
) -> Demo:
    stage.step(f"A control plane with {nodes} A100 nodes of 8 GPUs, and the operator from its chart")
    cluster = things.enter_context(Cluster.start(nodes=nodes, loopback_pods=True, audit=True))
    cluster.kubectl("create", "namespace", PLACE)
    chart = str(ROOT / "charts" / "heterofleet")
    command = ["helm", "install", "heterofleet", chart, "--namespace", NAMESPACE, "--create-namespace", "--wait"]
    command += [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    stage.command(*command[:3], "charts/heterofleet", *command[4:])
    subprocess.run(
        [str(binaries.ensure().paths["helm"]), *command[1:]],
        env={**os.environ, **cluster.environment()},
        check=True,
        capture_output=True,
    )
    operator = things.enter_context(charted.operator(cluster, folder, environment))
    opened = things.enter_context(centre(cluster, folder))
    stage.note("the operator runs as the chart's ServiceAccount; engines and routers answer on loopback")
    return Demo(stage, cluster, operator, opened, folder)


def condition_of(status: Status, name: str) -> Status:
    conditions: list[Status] = status.get("conditions", [])
    return next((c for c in conditions if c["type"] == name), {})


def draining(tier: Status) -> str:
    return f" (+{tier['draining']} draining)" if tier["draining"] else ""


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
