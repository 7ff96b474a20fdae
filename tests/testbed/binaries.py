"""Finds or builds the programs of the control plane; everything else in the test bed asks here for their paths.

KUBEBUILDER_ASSETS comes first where it holds kube-apiserver, etcd and kubectl. What it lacks, and everything
without it, is built from the pinned Go modules beside this file into the user's cache, keyed by the module's
go.sum, the version and the Go that built it. KUBE=v1.NN.N chooses another Kubernetes.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from testbed import cache, golang, kubernetes

_MODULES = Path(__file__).parent / "go"
TOOLS_MODULE = _MODULES / "tools"
TOOLS = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "kwokctl": "sigs.k8s.io/kwok/cmd/kwokctl",
    "helm": "helm.sh/helm/v4/cmd/helm",
}
ASSETS = ("kube-apiserver", "etcd", "kubectl")
NODE_MODULES = {"coredns": _MODULES / "coredns", "pause": _MODULES / "pause"}


@dataclass(frozen=True)
class Binaries:
    """The programs of one Kubernetes version, by name, and that version (``v1.37.2``)."""

    kube: str
    paths: Mapping[str, Path]

    def __getitem__(self, name: str) -> str:
        return str(self.paths[name])


def ensure(kube: str | None = None) -> Binaries:
    """All programs, built where missing; ``kube`` (default: the environment's KUBE) is the Kubernetes version."""
    asked = kube or os.environ.get("KUBE") or None
    assets = _assets()
    offered = _version_of(assets["kube-apiserver"]) if assets else None
    version = asked or offered or kubernetes.PINNED
    if assets and offered != version:
        cache.say(f"KUBEBUILDER_ASSETS holds {offered}, not the {version} asked for: not used")
        assets = {}
    lacking = [name for name in (*kubernetes.PROGRAMS, *TOOLS) if name not in assets]
    return Binaries(kube=version, paths=_built(version, lacking) | assets)


def for_nodes() -> Binaries:
    """What real nodes run, of the pinned Kubernetes: that of `ensure`, kubelet, kube-proxy, CoreDNS and pause.

    These are built when they are first asked for, since most tests have played nodes.
    """
    toolchain = golang.toolchain()
    sources = [kubernetes.PINNED_MODULE / "go.sum", *(folder / "main.go" for folder in NODE_MODULES.values())]

    def make(folder: Path) -> None:
        variables = kubernetes.link_variables(kubernetes.PINNED)
        for program in kubernetes.NODE_PROGRAMS:
            package = kubernetes.package(program)
            toolchain.build(kubernetes.PINNED_MODULE, package, folder / program, variables)
        for name, module in NODE_MODULES.items():
            toolchain.build(module, ".", folder / name, variables={})

    folder = cache.product(f"nodes-{kubernetes.PINNED}-{cache.digest(*sources)}-{toolchain.version}", make)
    own = {name: folder / name for name in (*kubernetes.NODE_PROGRAMS, *NODE_MODULES)}
    return Binaries(kube=kubernetes.PINNED, paths={**ensure(kubernetes.PINNED).paths, **own})


def _built(version: str, names: list[str]) -> dict[str, Path]:
    toolchain = golang.toolchain()
    paths: dict[str, Path] = {}
    if any(name in kubernetes.PROGRAMS for name in names):
        folder = _kubernetes(version, toolchain)
        paths |= {name: folder / name for name in names if name in kubernetes.PROGRAMS}
    folder = _tools(toolchain)
    return paths | {name: folder / name for name in names if name in TOOLS}


def _kubernetes(version: str, toolchain: golang.Toolchain) -> Path:
    pinned = version == kubernetes.PINNED
    origin = cache.digest(kubernetes.PINNED_MODULE / "go.sum") if pinned else "derived"

    def make(folder: Path) -> None:
        with cache.step(f"resolving the modules of Kubernetes {version}"):
            module = kubernetes.module(version, toolchain, scratch=folder)
            toolchain.run("mod", "download", cwd=module)
        for program in kubernetes.PROGRAMS:
            variables = kubernetes.link_variables(version)
            toolchain.build(module, kubernetes.package(program), folder / program, variables)

    return cache.product(f"kubernetes-{version}-{origin}-{toolchain.version}", make)


def _tools(toolchain: golang.Toolchain) -> Path:
    def make(folder: Path) -> None:
        for name, package in TOOLS.items():
            toolchain.build(TOOLS_MODULE, package, folder / name, variables={})

    return cache.product(f"tools-{cache.digest(TOOLS_MODULE / 'go.sum')}-{toolchain.version}", make)


def _assets() -> dict[str, Path]:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder:
        return {}
    programs = {name: Path(folder) / name for name in (*kubernetes.PROGRAMS, *TOOLS)}
    present = {name: path for name, path in programs.items() if path.is_file()}
    missing = [name for name in ASSETS if name not in present]
    if missing:
        cache.say(f"KUBEBUILDER_ASSETS lacks {', '.join(missing)}: not used")
        return {}
    return present


def _version_of(apiserver: Path) -> str:
    said = subprocess.run([str(apiserver), "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"v1\.[0-9]+\.[0-9]+", said)
    if match is None:
        raise golang.BuildError(f"{apiserver} --version says {said!r}, which names no Kubernetes version")
    return match.group(0)
