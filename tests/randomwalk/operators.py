"""The operators of one walk: two slots, each empty, or with a process that runs, is frozen, or has ended.

Each slot acts as a ServiceAccount of its own with the rights of manifests/install.yaml, so that the audit log tells
them apart. A process that ends by itself (a lost Lease, say) is started again as the kubelet would.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import yaml

from randomwalk.actions import Manifest
from testbed.controlplane import Cluster
from testbed.eventually import eventually

REPOSITORY = Path(__file__).parents[2]
SOURCES = REPOSITORY / "operator"
ROLE = "walked-operator"
LEASE = "heterofleet-operator"
TIMES = {"DURATION": "4", "RENEW_DEADLINE": "3", "RETRY_PERIOD": "0.5"}
STOP_SECONDS = 40
TOKEN_SECONDS = 6 * 3600


class Nursery:
    """The process from which operators are forked; one for each version of the sources."""

    def __init__(self, sources: Path = SOURCES) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(sources), str(REPOSITORY / "tests")])}
        # What is read at the import; the ~ of each process is another one.
        environment["KUBECONFIG"] = "~/.kube/config"
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "randomwalk.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(STOP_SECONDS)
        self._process.stdout.close()

    def start(self, environment: Mapping[str, str], log: Path) -> int:
        return self._ask({"environment": dict(environment), "log": str(log)})

    def wait(self, process: int) -> int:
        """The exit status of a process that has ended."""
        return self._ask({"wait": process})

    def _ask(self, request: Manifest) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())


@dataclass
class Slot:
    """One place for an operator."""

    name: str
    environment: Mapping[str, str]
    log: Path
    process: int | None = None
    wanted: bool = False
    frozen: bool = False
    ends: list[int] = field(default_factory=list)


class Crew:
    """The slots of one walk."""

    def __init__(
        self, cluster: Cluster, nursery: Nursery, namespace: str, folder: Path, slots: tuple[str, ...]
    ) -> None:
        self._nursery = nursery
        self.folder = folder
        self.slots: dict[str, Slot] = {}
        for name in slots:
            home = _home(cluster, namespace, name, folder / name)
            self.slots[name] = Slot(name, _environment(namespace, name, home), folder / f"{name}.log")

    def users(self, namespace: str) -> dict[str, str]:
        """The slot of each operator's user."""
        return {f"system:serviceaccount:{namespace}:{name}": name for name in self.slots}

    @property
    def running(self) -> int:
        return sum(slot.process is not None and not slot.frozen for slot in self.slots.values())

    def start(self, name: str) -> None:
        slot = self.slots[name]
        self.thaw(name)
        slot.wanted = True
        if slot.process is None:
            slot.process = self._nursery.start(slot.environment, slot.log)

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """End the process, at once or as it likes; the slot stays empty."""
        slot = self.slots[name]
        slot.wanted = False
        if slot.process is None:
            return
        self.thaw(name)
        _signal(slot.process, how)
        process = slot.process
        if how is not signal.SIGKILL:
            eventually(lambda: _has_ended(process), STOP_SECONDS, f"operator {name} ends after {how.name}")
        self._collect(slot)

    def freeze(self, name: str) -> None:
        slot = self.slots[name]
        if slot.process is not None and not slot.frozen:
            _signal(slot.process, signal.SIGSTOP)
            slot.frozen = True

    def thaw(self, name: str) -> None:
        slot = self.slots[name]
        if slot.process is not None and slot.frozen:
            _signal(slot.process, signal.SIGCONT)
            slot.frozen = False

    def revive(self) -> None:
        """Start again what has ended by itself."""
        for slot in self.slots.values():
            if slot.process is not None and _has_ended(slot.process):
                slot.ends.append(self._collect(slot))
                if slot.wanted:
                    self.start(slot.name)

    def stop(self) -> None:
        for name in self.slots:
            self.kill(name)

    def errors(self) -> list[str]:
        """What the operators logged as errors that a walk does not cause."""
        found = []
        for slot in self.slots.values():
            if slot.log.exists():
                text = slot.log.read_text(errors="replace")
                found += [f"operator {slot.name}: {line}" for line in _errors(text)]
                explained = sum(any(words in line for words in EXPECTED) for line in text.splitlines())
                if len(slot.ends) > explained:
                    found.append(f"operator {slot.name} ended by itself with {slot.ends}: {text.splitlines()[-1:]}")
        return found

    def _collect(self, slot: Slot) -> int:
        assert slot.process is not None
        status = self._nursery.wait(slot.process)
        slot.process, slot.frozen = None, False
        return status


EXPECTED = ("Exiting: the lease",)
RETRIED = " kopf._co"
"""What kopf says of a server that is away for a moment, and of a connection that is closed at a stop."""
REFUSED = "IncompleteError"
"""An apply that the server refused: the walk's quotas do that."""


def _errors(text: str) -> list[str]:
    """Error lines, each with the end of the traceback that follows it."""
    lines = text.splitlines()
    found = []
    for number, line in enumerate(lines):
        if " ERROR " not in line or any(words in line for words in (*EXPECTED, RETRIED)):
            continue
        after = lines[number + 1 : number + 80]
        cause = next((other for other in after if other and not other.startswith((" ", "Traceback"))), "")
        if REFUSED not in cause:
            found.append(f"{line} {cause}".strip())
    return found


def _environment(namespace: str, name: str, home: Path) -> dict[str, str]:
    return {
        "HOME": str(home),
        "POD_NAMESPACE": namespace,
        "POD_NAME": name,
        "HETEROFLEET_NAMESPACES": namespace,
        "HETEROFLEET_LOG_FORMAT": "text",
        "HETEROFLEET_METRICS_HOST": "127.0.0.1",
        "HETEROFLEET_METRICS_PORT": "0",
        "HETEROFLEET_LEASE_NAME": LEASE,
        "HETEROFLEET_LEASE_NAMESPACE": namespace,
        **{f"HETEROFLEET_LEASE_{key}_SECONDS": value for key, value in TIMES.items()},
    }


def grant(cluster: Cluster, namespace: str, slots: tuple[str, ...]) -> None:
    """The ServiceAccounts of a walk's operators, with the rights that the installation gives."""
    documents = list(yaml.safe_load_all((REPOSITORY / "manifests" / "install.yaml").read_text()))
    rules = next(d["rules"] for d in documents if d["kind"] == "ClusterRole" and d["metadata"]["name"] == LEASE)
    election = next(d["rules"] for d in documents if d["kind"] == "Role")
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": namespace} for name in slots]
    api = "rbac.authorization.k8s.io"
    version = f"{api}/v1"
    metadata = {"name": f"{ROLE}-{namespace}"}
    own = {"name": ROLE, "namespace": namespace}
    accounts = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
        for name in slots
    ]
    roles: list[Manifest] = [
        {"apiVersion": version, "kind": "ClusterRole", "metadata": metadata, "rules": rules},
        {"apiVersion": version, "kind": "Role", "metadata": own, "rules": election},
    ]
    bindings = [
        {
            "apiVersion": version,
            "kind": f"{role['kind']}Binding",
            "metadata": role["metadata"],
            "subjects": subjects,
            "roleRef": {"apiGroup": api, "kind": role["kind"], "name": role["metadata"]["name"]},
        }
        for role in roles
    ]
    cluster.apply(*accounts, *roles, *bindings)


def _home(cluster: Cluster, namespace: str, name: str, home: Path) -> Path:
    """A home folder with the kubeconfig of a slot: where to look for one, a process reads at its import."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    spec = {"spec": {"expirationSeconds": TOKEN_SECONDS}}
    answer = cluster.api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", request | spec)
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    for user in document["users"]:
        user["user"] = {"token": answer["status"]["token"]}
    (home / ".kube").mkdir(parents=True, exist_ok=True)
    (home / ".kube" / "config").write_text(yaml.safe_dump(document))
    return home


def _signal(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return  # It ended by itself.


def _has_ended(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"
