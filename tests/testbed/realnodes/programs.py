"""Which programs a bed of real nodes needs, and whether this machine can have them.

Kubernetes' and CoreDNS' are built (`binaries`), the rest are Debian's packages, installed where they are missing: they
start one another by name, and who runs real nodes is root.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from testbed import binaries, debian

_PLUGINS: Final = Path("/usr/lib/cni")
_PACKAGES: Final = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "nft": "nftables",
    "openssl": "openssl",
    "nsenter": "util-linux",
    f"{_PLUGINS}/ptp": "containernetworking-plugins",
}
"""What a bed starts of the machine, and the package that brings it."""


class NodesUnavailable(Exception):
    """This machine cannot have real nodes; the text says why."""


@dataclass(frozen=True)
class Programs:
    """Programs by name, and the folder of the CNI plugins."""

    paths: Mapping[str, Path]
    plugins: Path

    def __getitem__(self, name: str) -> str:
        return str(self.paths[name])


def find() -> Programs:
    """All of them, brought where they are missing. Raises NodesUnavailable."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NodesUnavailable("real nodes need root on Linux: containers are started, and namespaces made for them")
    lacking = _lacking()
    if lacking and shutil.which("apt-get") is not None:
        try:
            debian.install(*sorted({_PACKAGES[name] for name in lacking}))
        except subprocess.CalledProcessError as exc:
            raise NodesUnavailable(f"real nodes need {', '.join(lacking)}, and apt says: {exc.stderr.strip()}") from exc
    if lacking := _lacking():
        raise NodesUnavailable(f"real nodes need {', '.join(lacking)}, which this machine lacks")
    found = {name: Path(shutil.which(name) or name) for name in _PACKAGES}
    return Programs({**found, **binaries.for_nodes().paths}, _PLUGINS)


def _lacking() -> list[str]:
    return [name for name in _PACKAGES if shutil.which(name) is None]
