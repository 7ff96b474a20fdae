"""The command line against a real API server: what it prints, writes and refuses."""

import contextlib
import functools
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import pytest
import yaml

import heterofleet
from cases.reading import SMALLEST, with_values
from heterofleet import generate
from heterofleet.api import crd, labels
from heterofleet.api.labels import Manifest
from heterofleet.cli import main
from testbed.api import ApiError
from testbed.controlplane import Cluster, ClusterError
from testbed.eventually import eventually
from unit import markdown, typed
from unit.typed import Typed, Where

RESOURCE = f"{labels.FLEET_PLURAL}.{labels.GROUP}"
READY = {"type": "Ready", "observedGeneration": 1, "lastTransitionTime": "2026-05-04T12:00:00Z"}


@dataclass(frozen=True)
class Cli:
    """Runs `heterofleet` as its users do, with a kubeconfig and a namespace."""

    cluster: Cluster
    namespace: str
    kubeconfig: Path

    def environment(self) -> dict[str, str]:
        root = str(Path(heterofleet.__file__).parents[1])
        return {**os.environ, "PYTHONPATH": root, "KUBECONFIG": str(self.kubeconfig), "NO_COLOR": "1"}

    def command(self, *arguments: str) -> list[str]:
        # A shell that runs the tests in its background has told them to ignore interrupts; a user's shell has not.
        heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
        program = f"{heed}; import sys; from heterofleet.cli import main; sys.exit(main.main())"
        return [sys.executable, "-c", program, *arguments]

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """As in a process of its own, without the half second that one takes to start.

        Kubernetes' library reads $KUBECONFIG once for all, when it is loaded, so that the file is named here.
        """
        out, err = io.StringIO(), io.StringIO()
        if Typed(arguments, Path()).where is Where.CLUSTER and "--kubeconfig" not in arguments:
            arguments = (*arguments, "--kubeconfig", str(self.kubeconfig))
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.setenv("NO_COLOR", "1")
            patch.setattr("sys.stdin", io.StringIO(stdin))
            code = main.main(arguments)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def out(self, *arguments: str) -> str:
        done = self.run(*arguments, "-n", self.namespace)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def error(self, *arguments: str) -> str:
        done = self.run(*arguments, "-n", self.namespace)
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr

    @property
    def fleets(self) -> str:
        return f"/apis/{labels.API_VERSION}/namespaces/{self.namespace}/{labels.FLEET_PLURAL}"

    def create(self, name: str, *, usd_per_gpu_hour: float | None = None, **status: Any) -> None:
        price = None if usd_per_gpu_hour is None else {"usdPerGpuHour": usd_per_gpu_hour}
        priced = {} if price is None else {f"spec.{tier}.price": price for tier in labels.Tier}
        body = with_values(SMALLEST[labels.FLEET_KIND], {"metadata.name": name, **priced})
        self.cluster.api.create(self.fleets, body)
        if status:
            self.report(name, **status)

    def report(self, name: str, **status: Any) -> None:
        """Write a status as the operator would."""
        self.cluster.api.merge(f"{self.fleets}/{name}/status", {"status": status})


@pytest.fixture(scope="module")
def defined(cluster: Cluster) -> Cluster:
    for definition in crd.definitions():
        cluster.kubectl("apply", "-f", "-", input=generate.as_yaml(definition))
    for plural in (labels.FLEET_PLURAL, labels.TIER_PLURAL):
        eventually(functools.partial(_is_served, cluster, plural), message=f"{plural} are served")
    return cluster


def _is_served(cluster: Cluster, plural: str) -> bool:
    """`kubectl wait` stumbles over a definition that has no conditions yet."""
    try:
        cluster.api.items(f"/apis/{labels.API_VERSION}/{plural}")
    except ApiError:
        return False
    return True


@pytest.fixture
def cli(defined: Cluster, namespace: str) -> Cli:
    return Cli(defined, namespace, defined.kubeconfig)


@pytest.fixture
def led(cli: Cli) -> Iterator[None]:
    """An operator that was seen just now, as far as its Lease tells."""
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{cli.namespace}/leases"
    renewed = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    spec = {"holderIdentity": "operator-0", "renewTime": renewed, "leaseDurationSeconds": 3600}
    name = "heterofleet-operator"
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}
    cli.cluster.api.create(leases, body)
    yield
    cli.cluster.api.delete(f"{leases}/{name}")


def ready(status: str, reason: str, message: str = "") -> list[Manifest]:
    return [{**READY, "status": status, "reason": reason, "message": message}]


@pytest.mark.usefixtures("led")
def test_status_shows_the_fleets_of_a_namespace(cli: Cli) -> None:
    cli.create("chat", observedGeneration=1, conditions=ready("True", "AllReady"), large={"summary": "1/1"})
    cli.create("search", observedGeneration=1, conditions=ready("False", "InstanceFailed"), large={"summary": "0/1"})
    rows = [line.split()[:5] for line in cli.out("status").splitlines()]
    assert rows == [
        ["NAME", "READY", "LARGE", "SMALL", "$/h"],
        ["chat", "True", "1/1", "0/0", "-"],
        ["search", "False", "0/1", "0/0", "-"],
    ]
    assert cli.out("status", "-o", "name").split() == ["chat", "search"]
    assert [item["kind"] for item in json.loads(cli.out("status", "-o", "json"))["items"]] == [labels.FLEET_KIND] * 2
    assert yaml.safe_load(cli.out("status", "chat", "-o", "yaml"))["metadata"]["name"] == "chat"


@pytest.mark.usefixtures("led")
def test_one_fleet_shows_the_ranks_of_what_is_not_ready(cli: Cli) -> None:
    instance = {"index": 0, "state": "Restarting", "readyRanks": 0, "ranks": 1, "restarts": 1}
    cli.create(
        "chat", conditions=ready("False", "GroupRestarting", "Instance 0 restarts."), large={"instances": [instance]}
    )
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "chat-large-0-0",
            "labels": {
                labels.FLEET: "chat",
                labels.TIER: "large",
                labels.INSTANCE: "0",
                labels.COMPONENT: "engine",
                labels.POD_INDEX: "0",
            },
        },
        "spec": {"containers": [{"name": "engine", "image": "none"}], "nodeSelector": {"no": "such-node"}},
    }
    cli.cluster.api.create(f"/api/v1/namespaces/{cli.namespace}/pods", pod)
    eventually(lambda: "Unschedulable" in cli.out("status", "chat"), message="the rank is shown as unschedulable")
    rows = [line.split()[:4] for line in cli.out("status", "chat").splitlines()]
    assert ["0", "chat-large-0-0", "Unschedulable", "-"] in rows
    assert ["0", "Restarting", "0/1", "-"] in rows


@pytest.mark.usefixtures("led")
def test_watching_shows_each_change_once_and_ends_with_an_interrupt(cli: Cli) -> None:
    cli.create("chat", observedGeneration=1, conditions=ready("False", "Starting"))
    command = cli.command("status", "-n", cli.namespace, "--watch")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=cli.environment()
    ) as process:
        assert process.stdout is not None
        assert _reads(process.stdout, "Starting")
        cli.report("chat", conditions=ready("True", "AllReady"))
        assert _reads(process.stdout, "AllReady")
        process.send_signal(2)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "")


def _reads(stream: IO[str], word: str) -> bool:
    return any(word in line for line in iter(stream.readline, ""))


@pytest.mark.usefixtures("led")
def test_acts_are_annotations_with_the_time(cli: Cli) -> None:
    override = {"instances": 3, "by": "kubectl-scale", "until": "2099-01-01T00:00:00Z"}
    failed = {"index": 1, "state": "Failed", "ranks": 1}
    cli.create("chat", conditions=ready("False", "InstanceFailed"), large={"override": override, "instances": [failed]})
    tiers = f"/apis/{labels.API_VERSION}/namespaces/{cli.namespace}/{labels.TIER_PLURAL}"
    tier = with_values(SMALLEST[labels.TIER_KIND], {"metadata.name": "chat-large"})
    cli.cluster.api.create(tiers, tier)
    before = datetime.now(UTC)
    assert cli.out("roll", "chat").startswith("chat: its pods are replaced one instance after the other.\n")
    assert cli.out("retry", "chat").startswith("chat: instance 1 will be tried again.\n")
    assert cli.out("release", "chat") == (
        "chat: the plan sets the count of the large tier again, which kubectl-scale had set to 3.\n"
    )
    fleet = cli.cluster.api.get(f"{cli.fleets}/chat")["metadata"]
    released = cli.cluster.api.get(f"{tiers}/chat-large")["metadata"]
    marks = [
        fleet["annotations"][labels.ROLL],
        fleet["annotations"][labels.RETRY],
        released["annotations"][labels.RELEASE],
    ]
    assert all(before <= datetime.fromisoformat(mark) <= datetime.now(UTC) for mark in marks)
    assert fleet["generation"] == 1, "an act never changes the spec"


def test_every_refusal_is_one_sentence(cli: Cli, tmp_path: Path) -> None:
    cli.create("chat")
    assert cli.error("status", "caht") == (
        f"heterofleet: there is no fleet caht in namespace {cli.namespace}; did you mean chat?\n"
    )
    elsewhere = cli.error("roll", "chat", "--context", "nowhere")
    assert elsewhere.startswith("heterofleet: context nowhere is not in ")
    config = yaml.safe_load(cli.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "dead").write_text(yaml.safe_dump(config))
    dead = cli.error("status", "--kubeconfig", str(tmp_path / "dead"))
    assert dead.startswith("heterofleet: the API server at https://127.0.0.1:1 (context ")
    assert "does not answer" in dead
    config = yaml.safe_load(cli.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": "wrong"}
    (tmp_path / "wrong").write_text(yaml.safe_dump(config))
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(SMALLEST[labels.FLEET_KIND]))
    for command in (("status",), ("top", "--once"), ("explain", "chat"), ("diff", str(tmp_path / "fleet.yaml"))):
        refused = cli.error(*command, "--kubeconfig", str(tmp_path / "wrong"))
        assert "does not accept your credentials" in refused
        assert len(refused.splitlines()) == 1


def test_who_has_no_rights_is_told_which(cli: Cli, tmp_path: Path) -> None:
    kubeconfig = cli.cluster.service_account_kubeconfig(cli.namespace, "default", tmp_path / "nobody")
    nobody = Cli(cli.cluster, cli.namespace, kubeconfig)
    refused = nobody.error("status")
    assert 'cannot list resource "heterogeneousdeployments"' in refused
    assert refused.endswith("ask an administrator of the cluster for this right\n")
    examined = nobody.run("doctor", "-o", "json", "-n", cli.namespace)
    results = {result["subject"]: result["verdict"] for result in json.loads(examined.stdout)}
    assert (examined.returncode, results["Your rights"], results["GPUs"]) == (1, "fail", "warn")


@pytest.mark.usefixtures("led")
def test_doctor_finds_the_gpus_and_what_is_missing(cli: Cli) -> None:
    done = cli.run("doctor", "-n", cli.namespace)
    rows = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()[1:] if line[:1] in "owf" and line}
    assert done.returncode == 0
    found = {subject: rows[subject] for subject in ("Kubernetes", "HeterogeneousDeployment", "Operator", "GPUs")}
    assert set(found.values()) == {"ok"}
    assert " nvidia.com/gpu on " in done.stdout
    assert done.stdout.splitlines()[-1].startswith("Fleets can run here")


def test_what_is_rendered_is_taken_by_the_api_server(cli: Cli) -> None:
    fleet = with_values(
        SMALLEST[labels.FLEET_KIND], {"metadata.namespace": cli.namespace, "spec.large.parallelism.tensor": 8}
    )
    rendered = cli.run("render", "-", stdin=yaml.safe_dump(fleet))
    assert rendered.returncode == 0, rendered.stderr
    applied = cli.cluster.kubectl("apply", "--dry-run=server", "--server-side", "-f", "-", input=rendered.stdout)
    assert len(applied.splitlines()) == len(list(yaml.safe_load_all(rendered.stdout)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.large.engine", {"image": None}),
        ("spec.large.instances", {"min": None}),
        ("spec.large.model", {"source": None}),
        ("spec.large.placement", {"nodeSelector": {"a": None}}),
        ("spec.large.placement", {"tolerations": [None]}),
        ("spec.large.engine", {"extraArgs": [None]}),
        ("spec.large.engine", {"env": [{"name": "A", "value": None}]}),
        ("spec.large.podTemplate", {"spec": {"priority": None}}),
        ("spec.large", {"model": {"source": "hf://a/b"}, "unheard": None}),
        ("spec.large.instances", {"min": 4.0}),
        ("spec.large.instances", {"min": 4.5}),
    ],
)
def test_nulls_and_numbers_are_judged_as_by_the_server(cli: Cli, path: str, value: Any) -> None:
    body = with_values(SMALLEST[labels.FLEET_KIND], {path: value})
    taken = _takes(cli, body)
    assert cli.run("validate", "-", stdin=yaml.safe_dump(body)).returncode == (0 if taken else 1)


def _takes(cli: Cli, body: Manifest) -> bool:
    try:
        cli.cluster.api.create(cli.fleets, body, dryRun="All", fieldValidation="Strict")
    except ApiError as refused:
        if refused.status not in (400, 422):
            raise
        return False
    return True


RAISED = {
    "at": "2026-05-04T12:00:00Z",
    "tier": "small",
    "before": 1,
    "after": 2,
    "bound": "Queue",
    "message": "100 work tokens/s come and what waits asks for 20 more: 2 at 60 each",
    "enforced": True,
}


@pytest.mark.usefixtures("led")
def test_decisions_are_explained_from_the_stored_status(cli: Cli) -> None:
    cli.create("chat", conditions=ready("True", "AllReady"), decisions=[RAISED])
    lines = cli.out("explain", "chat").splitlines()
    assert lines[0] == "chat in " + cli.namespace + "  mode Enforce"
    assert lines[-1] == (
        "bound      Queue: What waits asks for more than the forecast (scaling.reactive.queueSeconds: 30)."
    )
    (made,) = json.loads(cli.out("explain", "chat", "-o", "json"))["decisions"]
    assert {key: made[key] for key in RAISED} == RAISED
    assert cli.error("explain", "caht").endswith("; did you mean chat?\n")


@pytest.mark.usefixtures("led")
def test_top_shows_what_is_known_once_and_in_a_pipe(cli: Cli) -> None:
    cli.create("chat", conditions=ready("True", "AllReady"), large={"ready": 1, "desired": 2})
    cli.create("search", conditions=ready("False", "Starting"), cost={"usdPerHour": "12.50"})
    rows = [line.split() for line in cli.out("top", "--once", "--sort", "money").splitlines()[2:]]
    assert rows[1:] == [
        ["search", "0/0", "0/0", "-", "-", "-", "-", "-", "12.50", "Starting"],
        ["chat", "1/2", "0/0", "-", "-", "-", "-", "-", "-", "AllReady"],
    ]
    assert [row["reason"] for row in json.loads(cli.out("top", "-o", "json"))] == ["AllReady", "Starting"]
    unanswered = cli.out("top", "chat", "--prometheus", "http://127.0.0.1:1").splitlines()[-1]
    assert unanswered.startswith("The flow is not shown: http://127.0.0.1:1 cannot be asked")


def test_a_file_is_compared_as_its_fleet_was_applied(cli: Cli, tmp_path: Path) -> None:
    """By a client, by the server, by hand since: the same file shows what its own kind of apply would do."""
    file = tmp_path / "chat.yaml"
    before = with_values(SMALLEST[labels.FLEET_KIND], {"spec.small.instances": {"min": 2, "max": 9}})
    after = with_values(before, {"spec.small.instances": {"max": 12}, "spec.large.parallelism": {"tensor": 8}})
    file.write_text(yaml.safe_dump(before))
    assert cli.out("diff", str(file)) == (f"chat in {cli.namespace}: does not exist there, and would be created.\n")
    for by_server in ((), ("--server-side",)):
        cli.cluster.kubectl("apply", *by_server, "-n", cli.namespace, "-f", "-", input=yaml.safe_dump(before))
        cli.cluster.api.merge(f"{cli.fleets}/chat", {"spec": {"suspend": True}})
        file.write_text(yaml.safe_dump(before))
        assert cli.out("diff", str(file), "--exit-code") == f"chat in {cli.namespace}: nothing would change.\n"
        file.write_text(yaml.safe_dump(after))
        told = cli.out("diff", str(file)).splitlines()
        assert told[:4] == [
            f"chat in {cli.namespace}: 3 fields would change.",
            "~ spec.large.parallelism.tensor: 1 -> 8   rolls the large tier",
            "~ spec.small.instances.max: 9 -> 12",
            "~ spec.small.instances.min: 2 -> 1",
        ]
        assert told[4].startswith("The large tier rolls, ")
        stored = cli.cluster.api.get(f"{cli.fleets}/chat")
        assert stored["spec"]["large"]["parallelism"]["tensor"] == 1, "a dry run writes nothing"
        applied = cli.cluster.kubectl("apply", *by_server, "-n", cli.namespace, "-f", str(file))
        assert "chat" in applied
        assert cli.out("diff", str(file), "--exit-code") == f"chat in {cli.namespace}: nothing would change.\n"
        cli.cluster.api.delete(f"{cli.fleets}/chat")


def test_what_the_server_refuses_is_its_own_sentence(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "chat.yaml"
    named = with_values(SMALLEST[labels.FLEET_KIND], {"spec.small.model.servedName": "act"})
    cli.cluster.api.create(cli.fleets, named)
    file.write_text(yaml.safe_dump(with_values(named, {"spec.small.model.servedName": "other"})))
    refused = cli.run("diff", str(file), "-n", cli.namespace)
    assert (refused.returncode, refused.stderr) == (1, "")
    assert refused.stdout.startswith(f"chat in {cli.namespace}: would be refused: spec.small.model: Invalid value: ")
    file.write_text(yaml.safe_dump(with_values(named, {"spec.sacling": {}})))
    assert "spec.sacling: unknown field; did you mean scaling?" in cli.error("diff", str(file))


def test_who_may_only_read_is_told_what_diff_and_top_need(cli: Cli, tmp_path: Path) -> None:
    cli.create("chat")
    cli.cluster.kubectl("-n", cli.namespace, "create", "role", "reader", "--verb=get,list", f"--resource={RESOURCE}")
    account = f"--serviceaccount={cli.namespace}:default"
    cli.cluster.kubectl("-n", cli.namespace, "create", "rolebinding", "reader", "--role=reader", account)
    kubeconfig = cli.cluster.service_account_kubeconfig(cli.namespace, "default", tmp_path / "reader")
    reader = Cli(cli.cluster, cli.namespace, kubeconfig)
    file = tmp_path / "chat.yaml"
    file.write_text(yaml.safe_dump(SMALLEST[labels.FLEET_KIND]))
    assert 'cannot patch resource "heterogeneousdeployments"' in reader.error("diff", str(file))
    assert 'cannot list resource "pods"' in reader.out("top", "--once").splitlines()[-1]


@pytest.fixture
def documented(cli: Cli, tmp_path: Path) -> Cli:
    """The fleets that the documents speak of, as they speak of them, and the file of one."""
    failed = {"index": 1, "state": "Failed", "ranks": 1}
    override = {"instances": 12, "by": "kubectl-scale", "until": "2099-01-01T00:00:00Z"}
    for name in ("chat", "search", "failed"):
        cli.create(
            name,
            usd_per_gpu_hour=2.2,
            conditions=ready("False", "InstanceFailed"),
            large={"instances": [failed]},
            small={"override": override},
            decisions=[RAISED],
        )
    tiers = f"/apis/{labels.API_VERSION}/namespaces/{cli.namespace}/{labels.TIER_PLURAL}"
    small = with_values(
        SMALLEST[labels.TIER_KIND], {"metadata.name": "chat-small", "spec": {"tier": "small", "instances": 1}}
    )
    cli.cluster.api.create(tiers, small)
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(SMALLEST[labels.FLEET_KIND]))
    return cli


def within(namespace: str, words: tuple[str, ...]) -> list[str]:
    """A command line of a document, in the namespace of this test where it names one or none."""
    named = [flag for flag in ("-n", "--namespace") if flag in words]
    if not named:
        return [*words, *([] if {"-A", "--all-namespaces"} & set(words) else ["-n", namespace])]
    place = words.index(named[0]) + 1
    return [*words[:place], namespace, *words[place + 1 :]]


@pytest.mark.usefixtures("led")
def test_every_command_line_of_the_documents_that_asks_a_cluster_succeeds(
    documented: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = typed.all_of(markdown.documents(), Where.CLUSTER)
    assert {command.words[0] for command in commands} >= typed.OF_A_CLUSTER
    done = {command.text: documented.run(*within(documented.namespace, command.words)) for command in commands}
    assert {text: one.stderr for text, one in done.items() if one.returncode != 0} == {}


def test_every_line_of_kubectl_in_the_documents_that_is_about_fleets_succeeds(documented: Cli) -> None:
    failed = {}
    for line in typed.kubectl_of_fleets(markdown.documents()):
        try:
            documented.cluster.kubectl(*within(documented.namespace, line.words))
        except ClusterError as refused:
            failed[line.text] = str(refused)
    assert failed == {}
