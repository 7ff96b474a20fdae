"""Which programs a bed of real nodes needs, and whether this machine can have them.

Kubernetes' and CoreDNS' are built (`binaries`), the rest are Debian's packages, unpacked into the cache where they are
not installed. Neither changes the machine.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from testbed import binaries, debian

_MACHINE: Final = ("containerd", "ctr", "runc", "ip", "nft", "openssl", "nsenter")


class NodesUnavailable(Exception):
    """This machine cannot have real nodes; the text says why."""


@dataclass(frozen=True)
class Programs:
    """Programs by name, the folder of the CNI plugins, and a PATH that has them all."""

    paths: Mapping[str, Path]
    plugins: Path
    search: str

    def __getitem__(self, name: str) -> str:
        return str(self.paths[name])


def find() -> Programs:
    """All of them, brought where they are missing. Raises NodesUnavailable."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NodesUnavailable("real nodes need root on Linux: containers are started, and namespaces made for them")
    found = {name: debian.tool(name) for name in _MACHINE}
    plugins = debian.folder("/usr/lib/cni", "containernetworking-plugins")
    lacking = [name for name, path in found.items() if path is None] + ([] if plugins else ["CNI's plugins"])
    if lacking or plugins is None:
        raise NodesUnavailable(f"real nodes need {', '.join(lacking)}, which this machine lacks and apt did not bring")
    paths = {name: path for name, path in found.items() if path is not None}
    # containerd looks for its shim beside itself only by PATH; a launcher's program lies elsewhere.
    folders = {str(path.parent): None for path in paths.values()}
    folders |= {str(found.parent): None for path in paths.values() for found in path.parent.glob("root/usr/*bin/*")}
    search = os.pathsep.join([*folders, os.environ.get("PATH", "")])
    return Programs({**paths, **binaries.for_nodes().paths}, plugins, search)
