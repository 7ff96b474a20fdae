"""The test bed from a shell: ``python -m testbed build | up | down | kubeconfig | kubectl``."""

import argparse
import os
import sys
from pathlib import Path

from testbed import binaries, cache
from testbed.controlplane import Cluster, ClusterError


def main() -> int:
    """Run one command; the folder of the cluster is --dir, else TESTBED_DIR, else a fixed one in the cache."""
    arguments, rest = _parser().parse_known_args()
    command: str = arguments.command
    if rest and command != "kubectl":
        _parser().error(f"unknown arguments: {' '.join(rest)}")
    folder: Path = arguments.dir
    try:
        if command == "build":
            _show(binaries.ensure(arguments.kube))
        elif command == "up":
            _up(folder, arguments)
        elif command == "down":
            Cluster.discard(folder)
        elif command == "kubeconfig":
            print(Cluster.attach(folder).kubeconfig)
        else:
            kept = Cluster.attach(folder)
            os.execve(kept.binary("kubectl"), ["kubectl", *rest], kept.environment())  # noqa: S606 - becomes kubectl
    except ClusterError as exc:
        print(f"testbed: {exc}", file=sys.stderr)
        return 1
    return 0


def _up(folder: Path, arguments: argparse.Namespace) -> None:
    with cache.step(f"starting a control plane in {folder}"):
        started = Cluster.start(
            folder,
            nodes=arguments.nodes,
            kube=arguments.kube,
            gang=arguments.gang,
            loopback_pods=arguments.loopback,
            audit=True,
            slow_leases=arguments.slow_leases,
            keep=True,
        )
    cache.say(f"Kubernetes {started.kube} at {started.url} with {arguments.nodes} nodes")
    print(f"export KUBECONFIG={started.kubeconfig} PATH={Path(started.binary('kubectl')).parent}:$PATH")


def _show(found: binaries.Binaries) -> None:
    for name, path in sorted(found.paths.items()):
        print(f"{name:<24} {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m testbed", description="A real control plane with played nodes.")
    parser.add_argument("command", choices=["build", "up", "down", "kubeconfig", "kubectl"])
    default = Path(os.environ.get("TESTBED_DIR") or cache.root() / "cluster")
    parser.add_argument("--dir", type=Path, default=default, help="folder of the cluster")
    parser.add_argument("--nodes", type=int, default=16, help="up: A100 nodes of 8 GPUs (default 16)")
    parser.add_argument("--kube", default=os.environ.get("KUBE"), help="Kubernetes version, v1.NN.N")
    parser.add_argument("--gang", action="store_true", help="up: with the scheduler's PodGroups")
    parser.add_argument("--loopback", action="store_true", help="up: pods get addresses inside 127.0.0.0/8")
    parser.add_argument("--slow-leases", action="store_true", help="up: nodes renew their leases every 10 minutes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
