"""One machine of a bed: a containerd and a kubelet, with folder, control group and addresses of its own."""

import calendar
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from testbed.api import Api, ApiError
from testbed.eventually import eventually
from testbed.realnodes import addresses, groups, settings
from testbed.realnodes.enclosure import Daemon, Enclosure
from testbed.realnodes.keys import Keys
from testbed.realnodes.programs import Programs

_GPUS = "nvidia.com/gpu"
# A pull must never leave the machine: any is sent to a closed port and fails at once.
_NO_PULLS = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}


class Node:
    """The node `name`; `folder` is its own, `group` its control group."""

    def __init__(
        self, name: str, index: int, *, folder: Path, group: str, logs: Path, enclosure: Enclosure, programs: Programs
    ) -> None:
        self.name = name
        self.index = index
        self.group = group
        self._folder = folder
        self._enclosure = enclosure
        self._programs = programs
        self._socket = f"{folder}/containerd.sock"
        containerd = [programs["containerd"], "--config", str(folder / "containerd.toml")]
        self._containerd = Daemon(enclosure, logs / f"{name}-containerd.log", containerd, _NO_PULLS)
        self._kubelet = Daemon(enclosure, logs / f"{name}-kubelet.log", [])

    def prepare(self, keys: Keys) -> None:
        """Writes what its programs read."""
        for name in ("cni", "manifests"):
            (self._folder / name).mkdir(parents=True)
        groups.make(self.group)
        (self._folder / "resolv.conf").write_text(f"nameserver {addresses.HOST}\n")
        network = settings.network(self.group, self.index, self._folder)
        (self._folder / "cni" / "10-testbed.conflist").write_text(json.dumps(network))
        containerd = settings.containerd(self._folder, self._programs["runc"], self._programs.plugins)
        (self._folder / "containerd.toml").write_text(containerd)
        kubelet = settings.kubelet(self.name, self.index, self._folder, keys, self.group)
        (self._folder / "kubelet.yaml").write_text(json.dumps(kubelet))
        self._kubelet.command = [
            self._programs["kubelet"],
            f"--config={self._folder}/kubelet.yaml",
            f"--kubeconfig={keys.file(f'{self.name}.kubeconfig')}",
            f"--root-dir={self._folder}/kubelet",
            f"--hostname-override={self.name}",
            f"--node-ip={addresses.node(self.index)}",
            f"--cert-dir={keys.folder}",
        ]

    def start(self) -> None:
        """Starts what does not run; `wait_ready` waits for it."""
        self._run("ip", "route", "del", "blackhole", addresses.pods_of(self.index), check=False)
        self._containerd.start()
        eventually(lambda: self._ctr("version", check=False).returncode == 0, 30, f"{self.name}: containerd answers")
        self._kubelet.start()

    def load(self, archive: Path) -> None:
        """Imports the images of an archive, Docker's or OCI's."""
        self._ctr("images", "import", str(archive))

    def wait_ready(self, api: Api, gpus: int) -> None:
        """Until its kubelet has said so since it was started; then it has its GPUs."""
        began = time.time() - 1
        eventually(lambda: self._said_ready(api, began), 90, f"{self.name} is ready")
        # An extended resource that no plugin owns: heartbeats keep it, but a kubelet zeroes it when it registers.
        api.merge(f"{self.path}/status", {"status": {"capacity": {_GPUS: str(gpus)}}})
        eventually(lambda: self._allocatable(api) == str(gpus), 30, f"{self.name} offers its GPUs")

    @property
    def path(self) -> str:
        return f"/api/v1/nodes/{self.name}"

    def stop(self) -> None:
        """As if its power were cut: its programs and its pods are gone, and their addresses answer nothing."""
        self._kubelet.stop()
        self._containerd.stop()
        for _ in range(100):
            left = {*groups.processes(self.group), *self._shims()}
            if not left:
                break
            for pid in left:
                _kill(pid)
            time.sleep(0.05)
        self._cut_links()

    def _cut_links(self) -> None:
        """A packet to one of its pods is lost, as on the way to a machine that is off."""
        prefix = addresses.pods_of(self.index).rpartition(".")[0]
        for line in self._run("ip", "route", "show").stdout.splitlines():
            if found := re.match(rf"{re.escape(prefix)}\.\d+ dev (\S+)", line):
                self._run("ip", "link", "del", found.group(1), check=False)
        self._run("ip", "route", "replace", "blackhole", addresses.pods_of(self.index))

    def _shims(self) -> list[int]:
        mark = f"-address {self._socket}"
        everything = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [pid for pid in everything if mark in _command(pid)]

    def _said_ready(self, api: Api, since: float) -> bool:
        found = api.find(self.path)
        condition = next((c for c in _conditions(found) if c["type"] == "Ready"), None)
        if condition is None or condition["status"] != "True":
            return False
        beat = time.strptime(condition["lastHeartbeatTime"], "%Y-%m-%dT%H:%M:%SZ")
        return _seconds(beat) >= since

    def _allocatable(self, api: Api) -> str | None:
        try:
            found: str | None = api.get(self.path)["status"]["allocatable"].get(_GPUS)
        except ApiError:
            return None
        return found

    def _ctr(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._run(
            self._programs["ctr"], "--address", self._socket, "--namespace", "k8s.io", *arguments, check=check
        )

    def _run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = self._enclosure.command(argv)
        return subprocess.run(command, capture_output=True, text=True, check=check)


def _conditions(node: dict[str, Any] | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (node or {}).get("status", {}).get("conditions", [])
    return found


def _seconds(moment: time.struct_time) -> float:
    return calendar.timegm(moment)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # It ended since it was listed.
        return ""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
