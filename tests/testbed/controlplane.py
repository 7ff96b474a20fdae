"""Starts and ends a whole Kubernetes control plane on loopback; tests get it from the fixtures in conftest.

kwokctl starts etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok from a folder of its own on
free ports. A cluster ends with its owner: by ``stop``, or, when the owner is killed, by the reaper beside it.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from testbed import binaries, blueprint, nodes, ports, reaper
from testbed.api import Api, ApiError
from testbed.components import Components
from testbed.eventually import eventually

Manifest = dict[str, Any]


class ClusterError(Exception):
    """The control plane did not come up, or kubectl refused; the message holds what the program said."""


class UnsupportedError(ClusterError):
    """This version of Kubernetes cannot be what was asked for; the fixtures skip what needs it."""


class Cluster:
    """A running control plane. Made by ``start`` or, for one that another process keeps, ``attach``.

    At the end of a ``with`` block it is stopped, but a kept one is left running.
    """

    def __init__(self, workdir: Path, kube: str) -> None:
        self.workdir = workdir
        self.kube = kube
        self.kubeconfig = workdir / "kubeconfig"
        self.folder = workdir / "kwok" / "clusters" / blueprint.NAME
        self.audit_log = self.folder / "logs" / "audit.log"
        self.components = Components(self.folder)
        self._binaries = binaries.ensure(kube)
        self._guard: subprocess.Popen[bytes] | None = None
        self._api: Api | None = None

    @classmethod
    def start(
        cls,
        workdir: Path | None = None,
        *,
        nodes: int = 0,
        kube: str | None = None,
        gang: bool = False,
        loopback_pods: bool = False,
        audit: bool = False,
        slow_leases: bool = False,
        apiserver: Mapping[str, str] | None = None,
        controller_manager: Mapping[str, str] | None = None,
        scheduler: Mapping[str, str] | None = None,
        keep: bool = False,
    ) -> "Cluster":
        """Bring up a control plane with so many A100 nodes of 8 GPUs.

        ``workdir`` (default: a new temporary folder) must not exist or be empty; it is removed by ``stop``.
        ``gang`` turns on the scheduler's PodGroups, ``loopback_pods`` gives pods addresses a process can listen on,
        ``audit`` records every write (see ``testbed.audit``), ``slow_leases`` makes nodes renew every 10 minutes.
        The mappings add arguments to the components. ``keep`` lets the cluster outlive this process.
        """
        plan = blueprint.Blueprint(
            gang=gang,
            loopback=f"127.{random.randint(2, 254)}.0.0/16" if loopback_pods else None,
            audit=audit,
            slow_leases=slow_leases,
            apiserver=apiserver or {},
            controller_manager=controller_manager or {},
            scheduler=scheduler or {},
        )
        programs = binaries.ensure(kube)
        if gang and not blueprint.serves_pod_groups(programs.kube):
            raise UnsupportedError(f"Kubernetes {programs.kube} has no PodGroups: they came with 1.37")
        cluster = cls(_empty_folder(workdir), programs.kube)
        if not keep:
            cluster._guard = _guard(cluster.workdir)
        try:
            cluster._create(plan, programs)
            cluster.add_nodes(nodes)
        except BaseException:  # Also on Ctrl-C: a cluster that is half made must not stay.
            cluster.stop()
            raise
        return cluster

    @classmethod
    def attach(cls, workdir: Path) -> "Cluster":
        """The cluster that ``start(..., keep=True)`` left in a folder; ClusterError where none runs."""
        cluster = cls._left_in(workdir)
        if cluster.components.process("kube-apiserver") is None:
            raise ClusterError(f"the cluster in {workdir} does not run")
        return cluster

    @classmethod
    def discard(cls, workdir: Path) -> None:
        """End and remove the cluster that was kept in a folder, whatever still runs of it."""
        cls._left_in(workdir).stop()

    @classmethod
    def _left_in(cls, workdir: Path) -> "Cluster":
        folder = workdir.resolve()
        try:
            state = json.loads((folder / "testbed.json").read_text())
        except FileNotFoundError as exc:
            raise ClusterError(f"no cluster was started in {folder}") from exc
        return cls(folder, state["kube"])

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        if self._guard is None:
            self.leave()
        else:
            self.stop()

    def leave(self) -> None:
        """Close this process's connections; the cluster runs on if it is a kept one."""
        if self._api is not None:
            self._api.close()

    def stop(self) -> None:
        """End every process of this cluster and remove its folder; harmless when repeated."""
        self.leave()
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait(60)
        reaper.reap(self.workdir)
        self.components.forget()

    @property
    def url(self) -> str:
        """The API server's address."""
        return str(self._connection()["cluster"]["server"])

    @property
    def api(self) -> Api:
        """A quick client with an administrator's rights."""
        if self._api is None:
            host, port = self.url.removeprefix("https://").split(":")
            pki = self.folder / "pki"
            certificate, key = pki / "admin.crt", pki / "admin.key"
            self._api = Api(host, int(port), authority=pki / "ca.crt", certificate=certificate, key=key)
        return self._api

    def binary(self, name: str) -> str:
        """The path of a program that goes with this cluster, such as ``kubectl`` or ``helm``."""
        return self._binaries[name]

    def environment(self) -> dict[str, str]:
        """This process's environment with KUBECONFIG of the cluster and kubectl and helm on PATH."""
        folders = {str(Path(self._binaries[name]).parent) for name in ("kubectl", "helm")}
        path = os.pathsep.join([*sorted(folders), os.environ.get("PATH", "")])
        return os.environ | {"KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def kubectl(self, *arguments: str, input: str | None = None, timeout: float = 120) -> str:
        """Run kubectl and return its output; ClusterError with what it said when it fails."""
        command = [self.binary("kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(command, input=input, capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)} exited with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, *manifests: Manifest, namespace: str | None = None) -> str:
        """``kubectl apply --server-side`` of manifests."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        scope = ("--namespace", namespace) if namespace else ()
        return self.kubectl("apply", "--server-side", *scope, "-f", "-", input=text)

    def add_nodes(self, count: int) -> list[str]:
        """A100 nodes of 8 GPUs; more choices in ``testbed.nodes``."""
        return nodes.add_gpu_nodes(self.api, count)

    def service_account_kubeconfig(self, namespace: str, name: str, path: Path) -> Path:
        """Write a kubeconfig that speaks as a ServiceAccount (token of 24 h), to see what its rights allow."""
        document = yaml.safe_load(self.kubeconfig.read_text())
        token = self.kubectl("create", "token", name, "--namespace", namespace, "--duration", "24h").strip()
        for user in document["users"]:
            user["user"] = {"token": token}
        for context in document["contexts"]:
            context["context"]["namespace"] = namespace
        path.write_text(yaml.safe_dump(document))
        return path

    @contextmanager
    def without(self, component: str, how: signal.Signals = signal.SIGKILL) -> Iterator[None]:
        """Stop a component for the duration of a block, then start it and wait until the server answers."""
        self.components.stop(component, how)
        try:
            yield
        finally:
            self.components.start(component)
            self.wait_until_ready()

    def wait_until_ready(self, timeout: float = 60) -> None:
        """Wait until the API server says that it is ready."""
        eventually(self._ready, timeout, "the API server is ready")

    def _ready(self) -> bool:
        try:
            return self.api.get("/readyz") == {"text": "ok"}
        except (ApiError, OSError):
            return False

    def _create(self, plan: blueprint.Blueprint, programs: binaries.Binaries) -> None:
        policy = self.workdir / "audit-policy.yaml"
        policy.write_text(yaml.safe_dump(blueprint.AUDIT_POLICY))
        documents = blueprint.documents(plan, programs, ports.free(blueprint.PORTS), policy)
        configuration = self.workdir / "kwokctl.yaml"
        configuration.write_text(yaml.safe_dump_all(documents, sort_keys=False))
        state = {"kube": programs.kube, "blueprint": asdict(plan)}
        (self.workdir / "testbed.json").write_text(json.dumps(state, indent=2))
        command = ["create", "cluster", "--name", blueprint.NAME, "--config", str(configuration), "--wait", "90s"]
        done = subprocess.run(
            [programs["kwokctl"], *command, "--kubeconfig", str(self.kubeconfig)],
            # kwokctl asks the server by the kubectl on PATH.
            env=self.environment() | {"KWOK_WORKDIR": str(self.workdir / "kwok")},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ClusterError(f"kwokctl exited with {done.returncode}:\n{done.stderr}\n{self._last_log_lines()}")
        self.wait_until_ready()

    def _connection(self) -> Manifest:
        document = yaml.safe_load(self.kubeconfig.read_text())
        connection: Manifest = document["clusters"][0]
        return connection

    def _last_log_lines(self) -> str:
        logs = sorted((self.folder / "logs").glob("*.log"))
        return "\n".join(f"--- {log.name}\n{_tail(log)}" for log in logs)


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-8:])


def _empty_folder(workdir: Path | None) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="heterofleet-testbed-")) if workdir is None else workdir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ClusterError(f"{folder} is not empty: stop the cluster there, or choose another folder")
    return folder


def _guard(workdir: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", str(Path(reaper.__file__)), str(workdir)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
