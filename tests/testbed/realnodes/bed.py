"""A Kubernetes cluster of real nodes in a network of its own: etcd, the API server, and so many machines beside it."""

import contextlib
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from testbed.api import Api, ApiError
from testbed.eventually import eventually
from testbed.realnodes import addresses, archive, programs, settings
from testbed.realnodes.enclosure import Daemon, Enclosure
from testbed.realnodes.keys import Keys
from testbed.realnodes.node import Node
from testbed.realnodes.programs import Programs


class CommandFailed(Exception):
    """A program of the bed failed; the text holds what it said."""


class RealNodes:
    """A running bed. Within its `with` block the calling thread, with what it starts, is in the bed's network.

    What needs the outside meanwhile, such as building an image, goes into `with nodes.outside():`. At the end of the
    block everything is ended and removed, but for `logs` in the bed's folder.
    """

    def __init__(self, folder: Path, count: int, gpus: int, found: Programs) -> None:
        self.folder = folder
        self.gpus = gpus
        self.logs = folder / "logs"
        self.kubeconfig = folder / "keys" / "admin.kubeconfig"
        self._programs = found
        mark = f"hf-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}-"
        self._enclosure = Enclosure(folder, mark)
        names = [f"real-{index}" for index in range(count)]
        self._keys = Keys(folder / "keys", found, names)
        self.nodes = [self._node(name, index, f"{mark}{name}") for index, name in enumerate(names)]
        authority, certificate, key = (folder / "keys" / name for name in ("ca.crt", "admin.crt", "admin.key"))
        self.api = Api(addresses.HOST, addresses.API_PORT, authority=authority, certificate=certificate, key=key)
        self._daemons = self._control_plane()
        self._entered = contextlib.ExitStack()

    @classmethod
    def start(cls, folder: Path, *, nodes: int = 2, gpus: int = 8) -> "RealNodes":
        """Brings up a cluster of `nodes` machines that each claim `gpus` GPUs. Raises NodesUnavailable.

        `folder` must be empty or not exist. The first time, programs are built and unpacked into the cache.
        """
        found = programs.find()
        folder = folder.resolve()
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        bed = cls(folder, nodes, gpus, found)
        try:
            bed._entered.enter_context(bed.inside())
            bed._bring_up()
        except BaseException:  # Also on Ctrl-C: what is half made must not stay.
            bed.stop()
            raise
        return bed

    def __enter__(self) -> "RealNodes":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End and remove everything; harmless when repeated."""
        self.api.close()
        self._entered.close()
        self._enclosure.close()

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """The calling thread is in the bed's network: for threads that were made outside."""
        with self._enclosure.inside():
            yield

    @contextlib.contextmanager
    def outside(self) -> Iterator[None]:
        """The calling thread is in this machine's own network again."""
        with self._enclosure.outside():
            yield

    def kubectl(self, *arguments: str, input: str | None = None, timeout: float = 120) -> str:
        """Run kubectl as an administrator and return its output. Raises CommandFailed."""
        command = [self._programs["kubectl"], "--kubeconfig", str(self.kubeconfig), *arguments]
        return self._output(command, input, timeout)

    def helm(self, *arguments: str, timeout: float = 300) -> str:
        """Run helm as an administrator and return its output. Raises CommandFailed."""
        return self._output([self._programs["helm"], "--kubeconfig", str(self.kubeconfig), *arguments], None, timeout)

    def exec(self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
        """Start a process in all of the bed's namespaces, with pipes; KUBECONFIG is set."""
        return subprocess.Popen(
            self._enclosure.command(argv),
            env=self.environment() | dict(environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def environment(self) -> dict[str, str]:
        """This process's environment with KUBECONFIG of the cluster, and kubectl and helm on PATH."""
        folders = {str(Path(self._programs[name]).parent) for name in ("kubectl", "helm")}
        path = os.pathsep.join([*sorted(folders), os.environ.get("PATH", "")])
        return os.environ | {"KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def load(self, *archives: Path) -> None:
        """Import image archives (docker's or OCI's) into every node."""
        with ThreadPoolExecutor() as threads:
            for found in archives:
                list(threads.map(lambda node, image=found: node.load(image), self.nodes))

    def stop_node(self, index: int) -> None:
        """Cut a node's power: its kubelet, its pods and the ways to them are gone at once, and nobody is told."""
        self.nodes[index].stop()

    def start_node(self, index: int) -> None:
        """Start a node again, and wait until it is ready and has its GPUs."""
        self.nodes[index].start()
        self.nodes[index].wait_ready(self.api, self.gpus)

    def stop_apiserver(self) -> None:
        """End the API server at once."""
        self._daemons["kube-apiserver"].stop()

    def start_apiserver(self) -> None:
        """Start the API server again, and wait until it says that it is ready."""
        self._daemons["kube-apiserver"].start()
        eventually(self._ready, 60, "the API server is ready")

    def _node(self, name: str, index: int, group: str) -> Node:
        return Node(
            name,
            index,
            folder=self.folder / name,
            group=group,
            logs=self.logs,
            enclosure=self._enclosure,
            programs=self._programs,
        )

    def _control_plane(self) -> dict[str, Daemon]:
        """Its programs, in the order in which they are started."""
        arguments = {
            "etcd": settings.etcd(self.folder),
            "kube-apiserver": settings.apiserver(self._keys),
            "kube-controller-manager": settings.controller_manager(self._keys),
            "kube-scheduler": settings.scheduler(self._keys),
            "kube-proxy": [f"--config={self.folder}/proxy.yaml"],
            "coredns": ["-conf", str(self.folder / "Corefile")],
        }
        return {
            name: Daemon(self._enclosure, self.logs / f"{name}.log", [self._programs[name], *own])
            for name, own in arguments.items()
        }

    def _bring_up(self) -> None:
        self._lay_network()
        (self.folder / "proxy.yaml").write_text(json.dumps(settings.proxy(self._keys, self.nodes[0].name)))
        (self.folder / "Corefile").write_text(settings.dns(self._keys))
        pause = self.folder / "pause.tar"
        program = self._programs.paths["pause"]
        archive.write(pause, settings.PAUSE, {"/pause": program}, command=["/pause"], user="65535:65535")
        self._daemons["etcd"].start()
        self.start_apiserver()
        for daemon in self._daemons.values():
            daemon.start()
        for node in self.nodes:
            node.prepare(self._keys)
            node.start()
            node.load(pause)
        for node in self.nodes:
            node.wait_ready(self.api, self.gpus)
        self.api.create("/apis/storage.k8s.io/v1/storageclasses", settings.STORAGE_CLASS)
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        eventually(lambda: self.api.find(account), 30, "there is a default ServiceAccount")

    def _lay_network(self) -> None:
        """A bridge without ports holds the addresses of the API server and of the nodes."""
        self._ip("link", "add", "nodes", "type", "bridge")
        self._ip("link", "set", "nodes", "up")
        for address in (addresses.HOST, *(addresses.node(node.index) for node in self.nodes)):
            self._ip("address", "add", f"{address}/32", "dev", "nodes")
        # What kube-proxy does not translate ends here.
        self._ip("route", "add", addresses.SERVICES, "dev", "nodes", "src", addresses.HOST)

    def _ip(self, *arguments: str) -> None:
        self._output([self._programs["ip"], *arguments], None, 10)

    def _ready(self) -> bool:
        try:
            return self.api.get("/readyz") == {"text": "ok"}
        except (ApiError, OSError):
            return False

    def _output(self, command: Sequence[str], input: str | None, timeout: float) -> str:
        environment = self.environment()
        with self.inside():
            done = subprocess.run(
                command, env=environment, input=input, capture_output=True, text=True, timeout=timeout, check=False
            )
        if done.returncode:
            said = f"{done.stderr.strip()} {done.stdout.strip()[-2000:]}"
            raise CommandFailed(f"{' '.join(command)[:300]} exited with {done.returncode}: {said}")
        return done.stdout
