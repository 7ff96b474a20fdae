"""Writes what is made from the chart and for it: `python charts/generate.py [--check]`.

The chart's dashboard is built from `panels`; manifests/grafana/dashboard.json is the same, for whoever imports it.
manifests/install.yaml is what `kubectl apply` needs in place of Helm: the chart with its default values in the
namespace heterofleet-system, led by that namespace and without the marks that only Helm reads (they would let a later
`helm install` take the objects for its own). `--check` writes nothing and shows what has drifted.
"""

import argparse
import difflib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import dashboard
import yaml

from heterofleet import generate
from heterofleet.api.labels import Manifest
from testbed import binaries

ROOT: Final = Path(__file__).resolve().parent.parent
CHART: Final = ROOT / "charts" / "heterofleet"
INSTALL: Final = ROOT / "manifests" / "install.yaml"
DASHBOARDS: Final = (CHART / "files" / "dashboard.json", ROOT / "manifests" / "grafana" / "dashboard.json")
NAMESPACE: Final = "heterofleet-system"
_BY_HAND: Final = "# Generated from charts/heterofleet by `make generate`; edits are lost.\n"
_OF_HELM: Final = frozenset({"helm.sh/chart", "helm.sh/resource-policy", "app.kubernetes.io/managed-by"})


def rendered(helm: str, *arguments: str, release: str = "heterofleet", namespace: str = NAMESPACE) -> list[Manifest]:
    """The chart's objects for the given arguments of `helm template`, without the test of `helm test`."""
    command = [helm, "template", release, str(CHART), "--namespace", namespace, "--skip-tests", *arguments]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [document for document in yaml.safe_load_all(printed) if document]


def install(helm: str) -> str:
    """The text of install.yaml."""
    objects = [_namespace(), *(_without_helm(manifest) for manifest in rendered(helm))]
    return _BY_HAND + "---\n".join(generate.as_yaml(manifest) for manifest in objects)


def _namespace() -> Manifest:
    restricted = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    labels = {"app.kubernetes.io/name": "heterofleet", **restricted}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


def _without_helm(manifest: Manifest) -> Manifest:
    def kept(key: str, value: Manifest) -> Iterator[tuple[str, object]]:
        if key not in ("labels", "annotations"):
            yield key, value
        elif left := {name: text for name, text in value.items() if name not in _OF_HELM}:
            yield key, left

    metadata = {name: value for key, part in manifest["metadata"].items() for name, value in kept(key, part)}
    return {**manifest, "metadata": metadata}


def files(helm: str) -> Mapping[Path, str]:
    """Every file that is written here, and what it holds."""
    return {INSTALL: install(helm), **dict.fromkeys(DASHBOARDS, dashboard.text())}


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes manifests/install.yaml and the dashboard.")
    parser.add_argument("--check", action="store_true", help="show drift and write nothing")
    parser.add_argument("--helm", default=os.environ.get("HELM"), help="the helm to run; the test bed's unless given")
    given = parser.parse_args()
    wanted = files(given.helm or binaries.ensure()["helm"])
    if not given.check:
        for path, text in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        return 0
    drift = [line for path, text in wanted.items() for line in _difference(path, text)]
    sys.stdout.writelines(drift)
    return int(bool(drift))


def _difference(path: Path, wanted: str) -> Iterator[str]:
    present = path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []
    name = str(path.relative_to(ROOT))
    return difflib.unified_diff(present, wanted.splitlines(keepends=True), name, "as generated")


if __name__ == "__main__":
    sys.exit(main())
