"""The documents and arguments of a bed's programs. Pure: names, addresses and folders in, documents out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from testbed.realnodes import addresses
from testbed.realnodes.keys import Keys

Manifest = dict[str, Any]

PAUSE: Final = "testbed.local/pause:1"


def etcd(folder: Path) -> list[str]:
    # The data of a test need not survive a power cut.
    urls = ("--listen-client-urls", addresses.ETCD, "--advertise-client-urls", addresses.ETCD)
    return ["--data-dir", str(folder / "etcd"), *urls, "--listen-peer-urls", addresses.ETCD_PEER, "--unsafe-no-fsync"]


def apiserver(keys: Keys) -> list[str]:
    return list(
        _flags(
            etcd_servers=addresses.ETCD,
            secure_port=addresses.API_PORT,
            bind_address=addresses.HOST,
            advertise_address=addresses.HOST,
            tls_cert_file=keys.file("apiserver.crt"),
            tls_private_key_file=keys.file("apiserver.key"),
            client_ca_file=keys.file("ca.crt"),
            cert_dir=keys.folder,
            service_account_issuer="https://kubernetes.default.svc",
            service_account_signing_key_file=keys.file("accounts.key"),
            service_account_key_file=keys.file("accounts.key"),
            authorization_mode="Node,RBAC",
            enable_admission_plugins="NodeRestriction",
            service_cluster_ip_range=addresses.SERVICES,
            allow_privileged="true",
            kubelet_client_certificate=keys.file("kubelet-client.crt"),
            kubelet_client_key=keys.file("kubelet-client.key"),
            kubelet_certificate_authority=keys.file("ca.crt"),
            kubelet_preferred_address_types="InternalIP",
            proxy_client_cert_file=keys.file("front-proxy.crt"),
            proxy_client_key_file=keys.file("front-proxy.key"),
            requestheader_client_ca_file=keys.file("ca.crt"),
            requestheader_allowed_names="front-proxy",
            requestheader_username_headers="X-Remote-User",
            requestheader_group_headers="X-Remote-Group",
            requestheader_extra_headers_prefix="X-Remote-Extra-",
        )
    )


def controller_manager(keys: Keys) -> list[str]:
    own = _flags(
        service_account_private_key_file=keys.file("accounts.key"),
        root_ca_file=keys.file("ca.crt"),
        cluster_signing_cert_file=keys.file("ca.crt"),
        cluster_signing_key_file=keys.file("ca.key"),
        use_service_account_credentials="true",
        # Its own test provisioner makes a folder for each claim.
        enable_hostpath_provisioner="true",
    )
    return [*_component(keys, "controller-manager"), *own]


def scheduler(keys: Keys) -> list[str]:
    return list(_component(keys, "scheduler"))


def _component(keys: Keys, name: str) -> Iterator[str]:
    # A component that lost its lease while the API server was stopped would end, and nothing restarts it here.
    yield from _flags(
        kubeconfig=keys.file(f"{name}.kubeconfig"), leader_elect="false", bind_address="127.0.0.1", secure_port=0
    )


def _flags(**values: object) -> Iterator[str]:
    return (f"--{name.replace('_', '-')}={value}" for name, value in values.items())


STORAGE_CLASS: Final[Manifest] = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "hostpath", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "kubernetes.io/host-path",
}


def proxy(keys: Keys, first_node: str) -> Manifest:
    """Of the kube-proxy: all nodes share one kernel and one network, so that one serves them all."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": keys.file("proxy.kubeconfig")},
        "hostnameOverride": first_node,
        "clusterCIDR": addresses.PODS,
        "healthzBindAddress": "127.0.0.1:20256",
        "metricsBindAddress": "127.0.0.1:20249",
        "nodePortAddresses": ["10.245.0.0/24"],
        "conntrack": {"maxPerCore": 0, "min": 0},
    }


def dns(keys: Keys) -> str:
    """CoreDNS' Corefile."""
    return f"""\
.:53 {{
  bind {addresses.HOST}
  errors
  ready {addresses.DNS_READY}
  cache 5 {{
    disable denial
  }}
  kubernetes cluster.local in-addr.arpa ip6.arpa {{
    kubeconfig {keys.file("coredns.kubeconfig")}
    pods insecure
    ttl 5
  }}
}}
"""


def network(name: str, index: int, folder: Path) -> Manifest:
    """CNI's: a pair of links a pod, without a bridge."""
    addressed = {
        "type": "host-local",
        "dataDir": str(folder / "leases"),
        "ranges": [[{"subnet": addresses.pods_of(index)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugin = {"type": "ptp", "mtu": 1500, "ipMasq": False, "ipam": addressed}
    return {"cniVersion": "0.4.0", "name": name, "plugins": [plugin]}


def containerd(folder: Path, runc: str, plugins: Path) -> str:
    """containerd's TOML; `folder` is the node's own."""
    return f"""\
version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
oom_score = 0
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # A score below containerd's own cannot be set without CAP_SYS_RESOURCE.
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{runc}"
      SystemdCgroup = false
"""


def kubelet(name: str, index: int, folder: Path, keys: Keys, group: str) -> Manifest:
    """KubeletConfiguration; `folder` is the node's own, `group` the control group of its pods."""
    authentication = {
        "anonymous": {"enabled": False},
        "webhook": {"enabled": True},
        "x509": {"clientCAFile": keys.file("ca.crt")},
    }
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": addresses.node(index),
        "healthzBindAddress": addresses.node(index),
        "authentication": authentication,
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": keys.file(f"{name}.crt"),
        "tlsPrivateKeyFile": keys.file(f"{name}.key"),
        "clusterDNS": [addresses.HOST],
        "clusterDomain": "cluster.local",
        "resolvConf": str(folder / "resolv.conf"),
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "staticPodPath": str(folder / "manifests"),
        "volumePluginDir": str(folder / "volume-plugins"),
        "podLogsDir": str(folder / "pod-logs"),
        # The kubelet's default refuses the older kind of control groups, which is all that some machines have.
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{group}",
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": False,
        # Images cannot be pulled again: they are never collected.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "serializeImagePulls": False,
        "nodeStatusUpdateFrequency": "5s",
        "shutdownGracePeriod": "0s",
    }
