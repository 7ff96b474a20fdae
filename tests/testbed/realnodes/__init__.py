"""Real nodes: containerd and a kubelet each, on the pinned Kubernetes, for what played pods cannot show.

    with RealNodes.start(folder, nodes=2, gpus=8) as nodes:
        nodes.load(archive)
        nodes.kubectl("apply", "-f", "fleet.yaml")

A bed lies in namespaces of its own (`enclosure`): its network has no link to the outside, and what it starts, mounts
or configures ends with one process. `bed` puts it together from `programs`, `keys` and `settings`; `node` is one
machine of it, `archive` makes an image from files.
"""

from testbed.realnodes.bed import RealNodes
from testbed.realnodes.programs import NodesUnavailable

__all__ = ["NodesUnavailable", "RealNodes"]
