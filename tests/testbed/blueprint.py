"""What a cluster is asked to be, and the kwokctl configuration that makes it so. Pure: values in, documents out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed import stages
from testbed.binaries import Binaries

Manifest = dict[str, Any]

NAME = "testbed"
# kwok plays the nodes that carry this label; without it a node is one whose kubelet is silent.
KUBELET_LABEL = "testbed.heterofleet.io/kubelet"
PORTS = 6

# The endpoint controllers refuse loopback addresses and would retry for ever.
_CONTROLLERS_ON_LOOPBACK = "*,-endpoints-controller,-endpointslice-controller,-endpointslice-mirroring-controller"
_POD_ADDRESSES = "10.64.0.0/10"

AUDIT_POLICY: Manifest = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "omitManagedFields": True,
    "rules": [
        {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
        {"level": "None"},
    ],
}


@dataclass(frozen=True)
class Blueprint:
    """The choices of one cluster; arguments of components are added to what kwokctl gives them."""

    gang: bool = False
    loopback: str | None = None  # the CIDR, inside 127.0.0.0/8, of which pods get their addresses
    audit: bool = False
    slow_leases: bool = False
    apiserver: Mapping[str, str] = field(default_factory=dict)
    controller_manager: Mapping[str, str] = field(default_factory=dict)
    scheduler: Mapping[str, str] = field(default_factory=dict)


def serves_pod_groups(kube: str) -> bool:
    """Does this Kubernetes have the scheduler's PodGroups as ``gang`` turns them on? They came with 1.37."""
    return int(kube.split(".")[1]) >= 37


def documents(blueprint: Blueprint, binaries: Binaries, ports: Sequence[int], audit_policy: Path) -> list[Manifest]:
    """The documents of kwokctl's --config: its own configuration, then the stages."""
    apiserver, etcd, etcd_peer, controller_manager, scheduler, kwok = ports
    options: Manifest = {
        "runtime": "binary",
        "kubeVersion": binaries.kube,
        "bindAddress": "127.0.0.1",
        "kubeApiserverPort": apiserver,
        "etcdPort": etcd,
        "etcdPeerPort": etcd_peer,
        "kubeControllerManagerPort": controller_manager,
        "kubeSchedulerPort": scheduler,
        "kwokControllerPort": kwok,
        "etcdBinary": binaries["etcd"],
        "kubeApiserverBinary": binaries["kube-apiserver"],
        "kubeControllerManagerBinary": binaries["kube-controller-manager"],
        "kubeSchedulerBinary": binaries["kube-scheduler"],
        "kubectlBinary": binaries["kubectl"],
        "kwokControllerBinary": binaries["kwok"],
        "disableQPSLimits": True,
        # Leases of 200 s renewed every 50 s: with the API server stopped for a minute no node is lost. Slow: 10 min.
        "heartbeatFactor": 60 if blueprint.slow_leases else 5,
    }
    if blueprint.gang:
        options |= {"kubeFeatureGates": "GenericWorkload=true", "kubeRuntimeConfig": "api/all=true"}
    if blueprint.audit:
        options["kubeAuditPolicy"] = str(audit_policy)
    configuration = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokctlConfiguration",
        "options": options,
        "componentsPatches": _patches(blueprint),
    }
    # As quick as a data centre of kubelets, which play their pods side by side. All four must be given: once there
    # is such a document kwokctl leaves out the defaults of the rest, and without the last one no pod of a node
    # that returns is looked at again.
    parallel = {
        "podPlayStageParallelism": 16,
        "nodePlayStageParallelism": 8,
        "nodeLeaseParallelism": 8,
        "podsOnNodeSyncParallelism": 4,
    }
    kwok_configuration = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokConfiguration",
        "options": parallel,
    }
    return [configuration, kwok_configuration, *stages.load()]


def _patches(blueprint: Blueprint) -> list[Manifest]:
    # kwokctl leaves leader election on; a component that lost its lease while the API server was stopped would
    # end, and nothing restarts it here.
    alone = {"leader-elect": "false"}
    loopback = {"controllers": _CONTROLLERS_ON_LOOPBACK} if blueprint.loopback else {}
    # A lost node is tainted within a second, and many at once are not rationed to one in ten seconds.
    prompt = {"node-eviction-rate": "50", "secondary-node-eviction-rate": "50", "unhealthy-zone-threshold": "1"}
    kwok = {
        "cidr": blueprint.loopback or _POD_ADDRESSES,
        "manage-nodes-with-label-selector": f"{KUBELET_LABEL}=running",
    }
    return [
        _patch("etcd", {"unsafe-no-fsync": "true"}),  # The data of a test need not survive a power cut.
        _patch("kube-apiserver", blueprint.apiserver),
        _patch(
            "kube-controller-manager",
            alone | prompt | loopback | dict(blueprint.controller_manager),
            override={"node-monitor-period": "1s"},
        ),
        _patch("kube-scheduler", alone | dict(blueprint.scheduler)),
        _patch("kwok-controller", kwok, override={"manage-all-nodes": "false"}),
    ]


def _patch(component: str, arguments: Mapping[str, str], override: Mapping[str, str] | None = None) -> Manifest:
    added = [{"key": key, "value": value, "override": False} for key, value in arguments.items()]
    replaced = [{"key": key, "value": value, "override": True} for key, value in (override or {}).items()]
    return {"name": component, "extraArgs": [*replaced, *added]}
