"""Which Go module builds a Kubernetes version: the pinned one of this folder, or one derived for another version.

Kubernetes' own go.mod replaces its staging modules by folders that a module download does not hold. Each of them
is also published as a module of its own, v0.NN.N for Kubernetes v1.NN.N, so the derived go.mod replaces each by that.
"""

import json
import re
import shutil
from pathlib import Path

from testbed import golang

PINNED = "v1.37.2"
PINNED_MODULE = Path(__file__).parent / "go" / "kubernetes"
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
NODE_PROGRAMS = ("kubelet", "kube-proxy")

_VERSION = re.compile(r"v1\.([0-9]+)\.([0-9]+)")
_REPLACED = re.compile(r"^\s*(?:replace\s+)?(k8s\.io/\S+) => \./staging/", re.MULTILINE)


def package(program: str) -> str:
    """The Go package of one of Kubernetes' programs."""
    return f"k8s.io/kubernetes/cmd/{program}"


def link_variables(version: str) -> dict[str, str]:
    """The variables by which Kubernetes' programs know their version: without them the server says v0.0.0."""
    major, minor, _ = version.removeprefix("v").split(".")
    names = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return {f"k8s.io/component-base/version.{name}": value for name, value in names.items()}


def module(version: str, toolchain: golang.Toolchain, scratch: Path) -> Path:
    """The folder of the Go module that builds a version; one that is not pinned is derived inside ``scratch``."""
    if version == PINNED:
        return PINNED_MODULE
    folder = scratch / "module"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module heterofleet.io/testbed/kubernetes\n\ngo 1.26.0\n")
    download = toolchain.run("mod", "download", "-json", f"k8s.io/kubernetes@{version}", cwd=folder)
    upstream = Path(json.loads(download)["GoMod"]).read_text()
    (folder / "go.mod").write_text(derived_module(version, upstream))
    toolchain.run("mod", "tidy", cwd=folder)
    return folder


def derived_module(version: str, upstream: str) -> str:
    """The go.mod that builds ``version``, given the text of that version's own go.mod."""
    match = _VERSION.fullmatch(version)
    if match is None:
        raise ValueError(f"{version!r} is not a Kubernetes version such as {PINNED}")
    staging = f"v0.{match.group(1)}.{match.group(2)}"
    replaced = "".join(f"\t{name} => {name} {staging}\n" for name in sorted(set(_REPLACED.findall(upstream))))
    tools = "".join(f"\t{package(program)}\n" for program in PROGRAMS)
    return (
        "module heterofleet.io/testbed/kubernetes\n\ngo 1.26.0\n\n"
        f"require k8s.io/kubernetes {version}\n\nreplace (\n{replaced})\n\ntool (\n{tools})\n"
    )
