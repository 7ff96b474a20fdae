"""What lies around a fleet: storage for weights, DNS for its ranks, and whether NetworkPolicies mean anything."""

from collections.abc import Iterable
from typing import Final

from heterofleet.cli.checks.result import Question, Result, Verdict
from heterofleet.cluster import errors

_SHARED: Final = (
    "nfs", "efs.csi.aws.com", "fsx", "filestore", "file.csi.azure.com", "azure-file", "cephfs", "lustre", "weka",
    "vast", "beegfs", "gpfs", "spectrumscale", "juicefs", "glusterfs", "pxd", "portworx", "longhorn", "netapp",
    "gcsfuse", "blob.csi.azure.com", "s3.csi.aws.com",
)  # fmt: skip
"""Parts of the names of provisioners that can give ReadWriteMany; a class does not say it itself."""

_ENFORCERS: Final = (
    "calico", "cilium", "antrea", "weave-net", "kube-router", "canal", "ovnkube", "anetd", "azure-npm", "romana",
    "kube-ovn", "tigera",
)  # fmt: skip
_ENFORCERS_WHEN_ASKED: Final = ("aws-node",)
_NOT_ENFORCERS: Final = ("kube-flannel", "kindnet")


async def storage(question: Question) -> Iterable[Result]:
    try:
        classes = await question.api.list("/apis/storage.k8s.io/v1/storageclasses")
    except errors.Forbidden:
        return [Result("Storage", Verdict.WARN, "you may not read storage classes", "ask an administrator")]
    shared = [one["metadata"]["name"] for one in classes if any(name in one["provisioner"] for name in _SHARED)]
    if shared:
        return [Result("Storage", Verdict.OK, f"{', '.join(shared)} can probably give ReadWriteMany claims")]
    have = f"{len(classes)} storage classes, none known for" if classes else "no storage class, and so no"
    advice = "keep weights on each node (storage.cache.hostPath), or bring a ReadWriteMany claim of your own"
    return [Result("Storage", Verdict.WARN, f"{have} ReadWriteMany, which a cache shared by pods needs", advice)]


async def network_policies(question: Question) -> Iterable[Result]:
    try:
        found = await question.api.list("/apis/apps/v1/daemonsets")
    except errors.Forbidden:
        finding = "whether they are enforced is not known, since you may not read DaemonSets"
        return [Result("NetworkPolicy", Verdict.WARN, finding, "ask an administrator which network plugin runs")]
    names = sorted({str(one["metadata"]["name"]) for one in found})
    enforcers = [name for name in names if any(part in name for part in _ENFORCERS)]
    if enforcers:
        return [Result("NetworkPolicy", Verdict.OK, f"enforced, it seems, by {enforcers[0]}")]
    if any(name in names for name in _ENFORCERS_WHEN_ASKED):
        advice = "set enableNetworkPolicy on the VPC CNI add-on"
        return [Result("NetworkPolicy", Verdict.WARN, "aws-node enforces them only when asked", advice)]
    advice = "run a network plugin that enforces them, such as Cilium or Calico: engines' metrics have no key"
    weak = next((name for name in names if any(part in name for part in _NOT_ENFORCERS)), "")
    finding = f"{weak} does not enforce them" if weak else "no network plugin that enforces them was recognised"
    return [Result("NetworkPolicy", Verdict.WARN, finding, advice)]


async def dns(question: Question) -> Iterable[Result]:
    """The ranks of a group find one another by the names of a headless Service."""
    try:
        services = await question.api.list("/api/v1/services", {"labelSelector": "k8s-app=kube-dns"})
    except errors.Forbidden:
        return []
    if services:
        return [Result("DNS", Verdict.OK, f"{services[0]['metadata']['name']} answers for Services")]
    advice = "install CoreDNS, unless the cluster's names are resolved in another way"
    return [Result("DNS", Verdict.WARN, "no Service with the label k8s-app=kube-dns was found", advice)]
